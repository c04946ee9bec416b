/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory for devices: spaces of I/O addresses that devices are attached to,
 * through VFIO's type1 containers or iommufd, with one interface for both; and
 * devices that read and write there when they are told to.
 *
 * The devices are QEMU's "edu": each has a buffer of 4 KiB, and an engine that
 * copies between that and memory.
 */
#ifndef _SELFTESTS_KTASK_DMA_H
#define _SELFTESTS_KTASK_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DMA_MAX_DEVICES	8

/* The most that one transfer moves: half of a device's buffer */
#define DMA_MAX_BYTES	2048

/*
 * Addresses that tests may use: clear of where x86 has its interrupts
 * (0xfee00000), and below what an IOMMU with 39 bits can do.
 */
#define DMA_BASE	(UINT64_C(1) << 32)
#define DMA_END		(UINT64_C(1) << 38)

/* Where a space has memory of its own for devices, and how much: the window */
#define DMA_WINDOW	DMA_END
#define DMA_WINDOW_SIZE	(UINT64_C(1) << 16)

enum dma_api {
	DMA_TYPE1,
	DMA_IOMMUFD,
};

struct dma_device {
	int		fd;
	int		group;		/* type1 only, else -1 */
	char		*regs;
	size_t		regs_size;
};

/**
 * struct dma - a space of I/O addresses and the devices that are attached to it
 * @api: what the kernel calls it
 * @fd: the container, or the iommufd
 * @ioas: number of the space within the iommufd
 * @nr_devices: how many devices
 * @devices: the devices
 * @window: %DMA_WINDOW_SIZE of memory, mapped at %DMA_WINDOW for as long as this
 *	is open; children of the process share it
 */
struct dma {
	enum dma_api		api;
	int			fd;
	uint32_t		ioas;
	unsigned int		nr_devices;
	struct dma_device	devices[DMA_MAX_DEVICES];
	char			*window;
};

/**
 * struct dma_copy - a piece of memory that a device is to copy
 * @from: I/O address of what it reads
 * @to: I/O address of where it writes that
 * @size: how much, at most %DMA_MAX_BYTES
 */
struct dma_copy {
	uint64_t	from;
	uint64_t	to;
	size_t		size;
};

/* How many devices there are in this machine; 0 if VFIO is not to be had. */
unsigned int dma_count(enum dma_api api);

/*
 * Make a space and attach @nr devices to it, the first of which is number
 * @first of the machine. A device can be attached to one space at a time. What
 * fails is printed.
 */
bool dma_open(struct dma *dma, enum dma_api api, unsigned int first,
	      unsigned int nr);
void dma_close(struct dma *dma);

/* Map this process's memory for devices, and end that. 0 or a negative errno. */
int dma_map(struct dma *dma, void *memory, size_t size, uint64_t iova,
	    bool writable);
int dma_unmap(struct dma *dma, uint64_t iova, size_t size);

/*
 * Let the devices do these copies, as many at once as there are devices. Each
 * takes a fifth of a second, so a few have to tell about all. Whether a device
 * could reach an address is seen in memory and nowhere else. False, and a
 * message, if a device does not do what it should.
 */
bool dma_copy(struct dma *dma, const struct dma_copy *copies, size_t nr);

/* The same between an I/O address and a buffer of this process. */
bool dma_read(struct dma *dma, uint64_t from, void *buffer, size_t size);
bool dma_write(struct dma *dma, uint64_t to, const void *buffer, size_t size);

#endif /* _SELFTESTS_KTASK_DMA_H */
