// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/iommufd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kselftest.h"
#include "dma.h"

#define PCI_DEVICES		"/sys/bus/pci/devices"
#define PCI_DRIVERS		"/sys/bus/pci/drivers"
#define EDU_VENDOR		0x1234
#define EDU_DEVICE		0x11e8

/* Registers of an edu device, and its own address of its buffer */
#define EDU_DMA_SRC		0x80
#define EDU_DMA_DST		0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_CMD		0x98
#define EDU_DMA_START		1UL
#define EDU_DMA_TO_MEMORY	2UL
#define EDU_BUFFER		0x40000UL

/* Milliseconds between looks at a device, and until it counts as stuck */
#define DMA_POLL		5
#define DMA_PATIENCE		60000

static bool complain(const char *what, const char *name)
{
	ksft_print_msg("dma: %s %s: %s\n", what, name, strerror(errno));
	return false;
}

/*
 * Devices as sysfs knows them
 */

struct pci_name {
	char	name[32];
};

static unsigned long read_hex(const char *device, const char *file)
{
	char path[PATH_MAX];
	unsigned long value = 0;
	FILE *stream;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", device, file);
	stream = fopen(path, "r");
	if (!stream)
		return 0;
	if (fscanf(stream, "%lx", &value) != 1)
		value = 0;
	fclose(stream);
	return value;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void look_for_devices(struct pci_name *names, unsigned int *nr)
{
	struct dirent *entry;
	DIR *dir = opendir(PCI_DEVICES);

	while (dir && *nr < DMA_MAX_DEVICES) {
		entry = readdir(dir);
		if (!entry)
			break;
		if (read_hex(entry->d_name, "vendor") != EDU_VENDOR ||
		    read_hex(entry->d_name, "device") != EDU_DEVICE)
			continue;
		snprintf(names[*nr].name, sizeof(names[*nr].name), "%.31s",
			 entry->d_name);
		++*nr;
	}
	if (dir)
		closedir(dir);
	qsort(names, *nr, sizeof(*names), compare_names);
}

/* All devices, in the order of their addresses. They neither come nor go. */
static unsigned int find_devices(const struct pci_name **found)
{
	static struct pci_name names[DMA_MAX_DEVICES];
	static unsigned int nr;

	if (!nr)
		look_for_devices(names, &nr);
	*found = names;
	return nr;
}

unsigned int dma_count(enum dma_api api)
{
	const struct pci_name *names;
	const char *node = api == DMA_TYPE1 ? "/dev/vfio/vfio" : "/dev/iommu";

	/* sysfs shows the driver when it is there to be bound to. */
	if (access(node, R_OK | W_OK) || access(PCI_DRIVERS "/vfio-pci", F_OK))
		return 0;
	return find_devices(&names);
}

static bool write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) ==
			     (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* The last part of what a link in the directory of a device leads to. */
static bool link_name(const char *device, const char *link, char *name,
		      size_t size)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t len;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", device, link);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return false;
	target[len] = '\0';
	snprintf(name, size, "%s", strrchr(target, '/') + 1);
	return true;
}

static bool bind_device(const char *device)
{
	char path[PATH_MAX], driver[NAME_MAX];

	if (link_name(device, "driver", driver, sizeof(driver)) &&
	    !strcmp(driver, "vfio-pci"))
		return true;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver_override", device);
	if (!write_to(path, "vfio-pci"))
		return complain("cannot choose the driver of", device);
	if (!write_to("/sys/bus/pci/drivers_probe", device))
		return complain("vfio-pci does not take", device);
	return true;
}

/*
 * Opening
 */

/* A device through its group, which is added to the container. */
static bool attach_type1(struct dma *dma, struct dma_device *device,
			 const char *name)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[PATH_MAX], group[NAME_MAX];

	if (!link_name(name, "iommu_group", group, sizeof(group)))
		return complain("no IOMMU group of", name);
	snprintf(path, sizeof(path), "/dev/vfio/%s", group);
	device->group = open(path, O_RDWR | O_CLOEXEC);
	if (device->group < 0)
		return complain("cannot open", path);
	if (ioctl(device->group, VFIO_GROUP_GET_STATUS, &status) ||
	    !(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return complain("not viable: the group of", name);
	if (ioctl(device->group, VFIO_GROUP_SET_CONTAINER, &dma->fd))
		return complain("cannot add to a container:", name);
	/* What a container is gets fixed with its first group. */
	if (device == dma->devices &&
	    ioctl(dma->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return complain("no type1 for", name);
	device->fd = ioctl(device->group, VFIO_GROUP_GET_DEVICE_FD, name);
	return device->fd >= 0 || complain("cannot open", name);
}

/* The file in /dev/vfio/devices is named in sysfs. */
static bool open_cdev(struct dma_device *device, const char *name)
{
	char path[PATH_MAX], *cdev = NULL;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/vfio-dev", name);
	dir = opendir(path);
	while (dir && !cdev) {
		entry = readdir(dir);
		if (!entry)
			break;
		if (*entry->d_name != '.')
			cdev = strdup(entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (!cdev)
		return complain("no file in /dev/vfio/devices for", name);

	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", cdev);
	free(cdev);
	device->fd = open(path, O_RDWR | O_CLOEXEC);
	return device->fd >= 0 || complain("cannot open", path);
}

static bool attach_iommufd(struct dma *dma, struct dma_device *device,
			   const char *name)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = dma->fd,
	};
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
		.pt_id = dma->ioas,
	};

	if (!open_cdev(device, name))
		return false;
	if (ioctl(device->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return complain("iommufd does not take", name);
	if (ioctl(device->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		return complain("cannot attach", name);
	return true;
}

/* Devices of PCI do no DMA until they are told that they may. */
static bool enable_master(struct dma_device *device, const char *name)
{
	struct vfio_region_info config = {
		.argsz = sizeof(config),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	uint16_t command;

	if (ioctl(device->fd, VFIO_DEVICE_GET_REGION_INFO, &config) ||
	    pread(device->fd, &command, sizeof(command),
		  config.offset + PCI_COMMAND) != sizeof(command))
		return complain("cannot read the configuration of", name);
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(device->fd, &command, sizeof(command),
		   config.offset + PCI_COMMAND) != sizeof(command))
		return complain("cannot write the configuration of", name);
	return true;
}

static bool map_registers(struct dma_device *device, const char *name)
{
	struct vfio_region_info bar = {
		.argsz = sizeof(bar),
		.index = VFIO_PCI_BAR0_REGION_INDEX,
	};
	void *regs;

	if (ioctl(device->fd, VFIO_DEVICE_GET_REGION_INFO, &bar))
		return complain("no registers of", name);
	regs = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		    device->fd, bar.offset);
	if (regs == MAP_FAILED)
		return complain("cannot map the registers of", name);
	device->regs = regs;
	device->regs_size = bar.size;
	return true;
}

static bool open_space(struct dma *dma)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	if (dma->api == DMA_TYPE1) {
		dma->fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
		return dma->fd >= 0 || complain("cannot open", "a container");
	}
	dma->fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (dma->fd < 0)
		return complain("cannot open", "/dev/iommu");
	if (ioctl(dma->fd, IOMMU_IOAS_ALLOC, &alloc))
		return complain("iommufd gives no", "address space");
	dma->ioas = alloc.out_ioas_id;
	return true;
}

static bool map_window(struct dma *dma)
{
	int ret;

	dma->window = mmap(NULL, DMA_WINDOW_SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (dma->window == MAP_FAILED) {
		dma->window = NULL;
		return complain("no memory for", "the window");
	}
	ret = dma_map(dma, dma->window, DMA_WINDOW_SIZE, DMA_WINDOW, true);
	errno = -ret;
	return !ret || complain("cannot map", "the window");
}

static bool open_device(struct dma *dma, struct dma_device *device,
			const char *name)
{
	if (!bind_device(name))
		return false;
	if (dma->api == DMA_TYPE1 ? !attach_type1(dma, device, name) :
				    !attach_iommufd(dma, device, name))
		return false;
	return enable_master(device, name) && map_registers(device, name);
}

bool dma_open(struct dma *dma, enum dma_api api, unsigned int first,
	      unsigned int nr)
{
	const struct pci_name *names;
	unsigned int i;

	*dma = (struct dma){ .api = api, .fd = -1 };
	if (first + nr > find_devices(&names)) {
		errno = ENODEV;
		return complain("too few", "devices");
	}

	if (!open_space(dma))
		goto fail;
	for (i = 0; i < nr; i++) {
		dma->devices[i] = (struct dma_device){ .fd = -1, .group = -1 };
		dma->nr_devices++;
		if (!open_device(dma, &dma->devices[i], names[first + i].name))
			goto fail;
	}
	if (map_window(dma))
		return true;
fail:
	dma_close(dma);
	return false;
}

void dma_close(struct dma *dma)
{
	struct dma_device *device;

	while (dma->nr_devices) {
		device = &dma->devices[--dma->nr_devices];
		if (device->regs)
			munmap(device->regs, device->regs_size);
		if (device->fd >= 0)
			close(device->fd);
		if (device->group >= 0)
			close(device->group);
	}
	if (dma->fd >= 0)
		close(dma->fd);
	dma->fd = -1;
	if (dma->window)
		munmap(dma->window, DMA_WINDOW_SIZE);
	dma->window = NULL;
}

/*
 * Mapping
 */

int dma_map(struct dma *dma, void *memory, size_t size, uint64_t iova,
	    bool writable)
{
	struct vfio_iommu_type1_dma_map type1 = {
		.argsz = sizeof(type1),
		.flags = VFIO_DMA_MAP_FLAG_READ |
			 (writable ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};
	struct iommu_ioas_map iommufd = {
		.size = sizeof(iommufd),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 (writable ? IOMMU_IOAS_MAP_WRITEABLE : 0),
		.ioas_id = dma->ioas,
		.user_va = (uintptr_t)memory,
		.length = size,
		.iova = iova,
	};
	int ret;

	if (dma->api == DMA_TYPE1)
		ret = ioctl(dma->fd, VFIO_IOMMU_MAP_DMA, &type1);
	else
		ret = ioctl(dma->fd, IOMMU_IOAS_MAP, &iommufd);
	return ret ? -errno : 0;
}

int dma_unmap(struct dma *dma, uint64_t iova, size_t size)
{
	struct vfio_iommu_type1_dma_unmap type1 = {
		.argsz = sizeof(type1),
		.iova = iova,
		.size = size,
	};
	struct iommu_ioas_unmap iommufd = {
		.size = sizeof(iommufd),
		.ioas_id = dma->ioas,
		.iova = iova,
		.length = size,
	};

	if (dma->api == DMA_IOMMUFD)
		return ioctl(dma->fd, IOMMU_IOAS_UNMAP, &iommufd) ? -errno : 0;
	if (ioctl(dma->fd, VFIO_IOMMU_UNMAP_DMA, &type1))
		return -errno;
	/* It is no error for type1 if there was less, or nothing. */
	return type1.size == size ? 0 : -ENOENT;
}

/*
 * Transfers
 */

/* One access each, and in order: to the device it is all in that. */
static uint64_t get_reg(struct dma_device *device, size_t reg)
{
	return __atomic_load_n((uint64_t *)(device->regs + reg),
			       __ATOMIC_ACQUIRE);
}

static void set_reg(struct dma_device *device, size_t reg, uint64_t value)
{
	__atomic_store_n((uint64_t *)(device->regs + reg), value,
			 __ATOMIC_RELEASE);
}

/* A process that was killed may have left the engine running. */
static bool wait_for_device(struct dma_device *device)
{
	int patience = DMA_PATIENCE / DMA_POLL;

	while (get_reg(device, EDU_DMA_CMD) & EDU_DMA_START) {
		if (!patience--) {
			ksft_print_msg("dma: a device does not end its transfer\n");
			return false;
		}
		usleep(DMA_POLL * 1000);
	}
	return true;
}

static void start(struct dma_device *device, uint64_t src, uint64_t dst,
		  size_t size, uint64_t direction)
{
	set_reg(device, EDU_DMA_SRC, src);
	set_reg(device, EDU_DMA_DST, dst);
	set_reg(device, EDU_DMA_COUNT, size);
	set_reg(device, EDU_DMA_CMD, EDU_DMA_START | direction);
}

static bool wait_for_devices(struct dma *dma, size_t nr)
{
	bool ok = true;
	size_t i;

	for (i = 0; i < nr; i++)
		ok &= wait_for_device(&dma->devices[i]);
	return ok;
}

bool dma_copy(struct dma *dma, const struct dma_copy *copies, size_t nr)
{
	size_t i, now;

	for (; nr; nr -= now, copies += now) {
		now = nr < dma->nr_devices ? nr : dma->nr_devices;
		if (!wait_for_devices(dma, now))
			return false;
		for (i = 0; i < now; i++)
			start(&dma->devices[i], copies[i].from, EDU_BUFFER,
			      copies[i].size, 0);
		if (!wait_for_devices(dma, now))
			return false;
		for (i = 0; i < now; i++)
			start(&dma->devices[i], EDU_BUFFER, copies[i].to,
			      copies[i].size, EDU_DMA_TO_MEMORY);
		if (!wait_for_devices(dma, now))
			return false;
	}
	return true;
}

bool dma_read(struct dma *dma, uint64_t from, void *buffer, size_t size)
{
	struct dma_copy copy = { .from = from, .to = DMA_WINDOW, .size = size };
	bool ok = dma_copy(dma, &copy, 1);

	memcpy(buffer, dma->window, size);
	return ok;
}

bool dma_write(struct dma *dma, uint64_t to, const void *buffer, size_t size)
{
	struct dma_copy copy = { .from = DMA_WINDOW, .to = to, .size = size };

	memcpy(dma->window, buffer, size);
	return dma_copy(dma, &copy, 1);
}
