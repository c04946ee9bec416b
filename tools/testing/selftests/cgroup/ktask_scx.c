// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load and unload a BPF scheduler. It is a map whose only value is a struct
 * sched_ext_ops with a name and flags: no program, so no compiler for these.
 * Where the members are is in the kernel's own BTF.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ktask_scx.h"

/* enum scx_ops_flags */
#define SCX_OPS_SWITCH_PARTIAL	8ULL

static const char scx_name[] = "ktask_test";

struct types {
	char		*btf;
	const char	*first;
	const char	*end;
	const char	*names;
};

static bool read_types(struct types *types)
{
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY);
	const struct btf_header *header;
	ssize_t got, done = 0;
	struct stat st;

	*types = (struct types) { };
	if (fd < 0)
		return false;
	if (!fstat(fd, &st))
		types->btf = malloc(st.st_size);
	while (types->btf && done < st.st_size) {
		got = read(fd, types->btf + done, st.st_size - done);
		if (got <= 0)
			break;
		done += got;
	}
	close(fd);
	header = (const void *)types->btf;
	if (!types->btf || done < (ssize_t)sizeof(*header))
		return false;

	types->first = types->btf + header->hdr_len + header->type_off;
	types->end = types->first + header->type_len;
	types->names = types->btf + header->hdr_len + header->str_off;
	return true;
}

static size_t size_of_type(const struct btf_type *type)
{
	size_t nr = BTF_INFO_VLEN(type->info);

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return sizeof(*type) + sizeof(__u32);
	case BTF_KIND_ARRAY:
		return sizeof(*type) + sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return sizeof(*type) + nr * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return sizeof(*type) + nr * sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
		return sizeof(*type) + nr * sizeof(struct btf_enum64);
	case BTF_KIND_FUNC_PROTO:
		return sizeof(*type) + nr * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return sizeof(*type) + nr * sizeof(struct btf_var_secinfo);
	default:
		return sizeof(*type);
	}
}

static const struct btf_type *find_struct(const struct types *types,
					  const char *name, __u32 *id)
{
	const struct btf_type *type;
	const char *pos;

	*id = 1;
	for (pos = types->first; pos < types->end; pos += size_of_type(type)) {
		type = (const void *)pos;
		if (BTF_INFO_KIND(type->info) == BTF_KIND_STRUCT &&
		    !strcmp(types->names + type->name_off, name))
			return type;
		++*id;
	}
	return NULL;
}

/* Where a member is in its struct, in bytes, or -1 */
static long find_member(const struct types *types, const struct btf_type *type,
			const char *name)
{
	const struct btf_member *members = (const void *)(type + 1);
	size_t i;

	for (i = 0; i < BTF_INFO_VLEN(type->info); i++)
		if (!strcmp(types->names + members[i].name_off, name))
			return BTF_MEMBER_BIT_OFFSET(members[i].offset) / 8;
	return -1;
}

static int bpf(int cmd, union bpf_attr *attr)
{
	return syscall(__NR_bpf, cmd, attr, sizeof(*attr));
}

/* A map that has a value of one of the kernel's types has to have types itself. */
static int load_types(void)
{
	static const struct {
		struct btf_header	header;
		struct btf_type		type;
		__u32			bits;
		char			names[5];
	} any = {
		.header = {
			.magic		= BTF_MAGIC,
			.version	= BTF_VERSION,
			.hdr_len	= sizeof(struct btf_header),
			.type_len	= sizeof(struct btf_type) + sizeof(__u32),
			.str_off	= sizeof(struct btf_type) + sizeof(__u32),
			.str_len	= sizeof(any.names),
		},
		.type = {
			.name_off	= 1,
			.info		= BTF_KIND_INT << 24,
			.size		= sizeof(int),
		},
		.bits = BTF_INT_SIGNED << 24 | 8 * sizeof(int),
		.names = "\0int",
	};
	union bpf_attr attr = { };

	attr.btf = (__u64)(unsigned long)&any;
	attr.btf_size = offsetof(typeof(any), names) + sizeof(any.names);
	return bpf(BPF_BTF_LOAD, &attr);
}

/* The value of the map; the caller frees it */
static char *make_ops(const struct types *types, const struct btf_type *value,
		      bool all)
{
	__u64 flags = all ? 0 : SCX_OPS_SWITCH_PARTIAL;
	const struct btf_type *ops;
	long data, name, at;
	char *made;
	__u32 id;

	ops = find_struct(types, "sched_ext_ops", &id);
	data = find_member(types, value, "data");
	if (!ops || data < 0)
		return NULL;
	name = find_member(types, ops, "name");
	at = find_member(types, ops, "flags");
	made = name < 0 || at < 0 ? NULL : calloc(1, value->size);
	if (!made)
		return NULL;
	memcpy(made + data + name, scx_name, sizeof(scx_name));
	memcpy(made + data + at, &flags, sizeof(flags));
	return made;
}

static int load_ops(const struct types *types, bool all)
{
	const struct btf_type *value;
	union bpf_attr attr = { };
	__u32 id, key = 0;
	int map = -1;
	char *ops;

	value = find_struct(types, "bpf_struct_ops_sched_ext_ops", &id);
	ops = value ? make_ops(types, value, all) : NULL;
	if (!ops)
		return -1;

	attr.map_type = BPF_MAP_TYPE_STRUCT_OPS;
	attr.key_size = sizeof(key);
	attr.value_size = value->size;
	attr.max_entries = 1;
	attr.btf_vmlinux_value_type_id = id;
	attr.btf_fd = load_types();
	map = bpf(BPF_MAP_CREATE, &attr);
	close(attr.btf_fd);

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map;
	attr.key = (__u64)(unsigned long)&key;
	attr.value = (__u64)(unsigned long)ops;
	if (map >= 0 && bpf(BPF_MAP_UPDATE_ELEM, &attr)) {
		close(map);
		map = -1;
	}
	free(ops);
	return map;
}

int load_scx(bool all)
{
	struct types types;
	int scx = -1;

	if (read_types(&types))
		scx = load_ops(&types, all);
	free(types.btf);
	return scx;
}

bool unload_scx(int scx)
{
	union bpf_attr attr = { };
	bool unloaded;
	__u32 key = 0;

	attr.map_fd = scx;
	attr.key = (__u64)(unsigned long)&key;
	unloaded = !bpf(BPF_MAP_DELETE_ELEM, &attr);
	close(scx);
	return unloaded;
}
