/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * format.h - the stream of a saved Xen domain, as `xl save` and our worker write
 * it and `xl restore` reads it: three layers, one inside the other.  Pure bytes.
 *
 * 1. xl: a header, little-endian
 *	 0  32 bytes  "Xen saved domain, xl format\n \0 \r"
 *	32  u32       0x01020304, the byte order
 *	36  u32       mandatory features: 1 the configuration is JSON, 2 libxl's stream version 2
 *	40  u32       optional features, to be ignored
 *	44  u32 m     bytes that follow: 0, or 4 + n
 *	48  u32 n     length of the configuration, and it: JSON with its NUL
 * 2. libxl: a header, big-endian
 *	 0  u64 "LibxlFmt"    8  u32 version, 2    12  u32 options: 1 big-endian, 2 converted from a legacy stream
 *    then records, little-endian: u32 type, u32 length of the body, the body, zeros up to a multiple of 8
 *	0 END                          the last bytes of the stream
 *	1 LIBXC_CONTEXT      length 0; layer 3 follows, up to its END or a CHECKPOINT
 *	2 EMULATOR_XENSTORE_DATA, 3 EMULATOR_CONTEXT   of a domain with a device model
 *	4 CHECKPOINT_END               the checkpoint is whole; layer 3 goes on with records
 *	5 CHECKPOINT_STATE             COLO only: refused
 * 3. libxc: two headers
 *	 0  u64 all ones     8  u32 "XENF"    12  u32 version, 2 or 3    16  u16 options: 1 big-endian   (all big-endian)
 *	24  u32 1 PV, 2 HVM (PVH too)   28  u16 page shift, 12    32  u32 Xen's major    36  u32 minor   (little-endian)
 *    then records of the same shape, of at most 128 MiB; type | 2^31 is optional: who does not know it passes over it
 *	 0 END                0x02 X86_PV_INFO            0x08 X86_TSC_INFO       0x0d VERIFY
 *	 1 PAGE_DATA          0x03 X86_PV_P2M_FRAMES      0x09 HVM_CONTEXT        0x0e CHECKPOINT
 *	                      0x04 X86_PV_VCPU_BASIC      0x0a HVM_PARAMS         0x10 STATIC_DATA_END
 *	                      0x05 _EXTENDED, 0x06 _XSAVE 0x0b TOOLSTACK: refused 0x11 X86_CPUID_POLICY
 *	                      0x0c _MSRS  0x07 SHARED_INFO 0x0f of COLO: refused  0x12 X86_MSR_POLICY
 *    PAGE_DATA: u32 count, u32 0, count entries u64, then 4096 bytes for each entry whose type has content
 *	an entry: bits 63-60 type, 59-52 zero, 51-0 pfn
 *
 * The order is order.h's.  A live save sends a pfn as often as it got dirty: the last one counts (fold.h).
 * Sources: Xen's docs/specs/libxc-migration-stream and libxl-migration-stream, tools/xl/xl.h, and what Xen 4.17 writes:
 * there HVM_CONTEXT goes before HVM_PARAMS, against the specification's text.
 */
#ifndef FM_XENSTREAM_FORMAT_H
#define FM_XENSTREAM_FORMAT_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define XENSTREAM_PAGE_SIZE ((size_t)4096)
#define XENSTREAM_XL_MAGIC "Xen saved domain, xl format\n \0 \r" /* 32 bytes without the NUL C adds */
#define XENSTREAM_XL_MAGIC_SIZE ((size_t)32)
#define XENSTREAM_XL_HEADER ((size_t)48)
#define XENSTREAM_CONFIG_MAX ((uint32_t)1 << 20) /* what xl_file.h reads */
#define XENSTREAM_LIBXL_HEADER ((size_t)16)
#define XENSTREAM_LIBXC_HEADER ((size_t)40)
#define XENSTREAM_RECORD_HEADER ((size_t)8)
#define XENSTREAM_RECORD_MAX ((uint32_t)128 << 20) /* of a body: Xen's own bound */
/* Entries of a PAGE_DATA.  Xen writes at most 1024; a reader's memory is 8 bytes each. */
#define XENSTREAM_BATCH_MAX ((uint32_t)1 << 16)
#define XENSTREAM_BATCH_USUAL ((size_t)1024)

enum xenstream_layer { XENSTREAM_XL, XENSTREAM_LIBXL, XENSTREAM_LIBXC };

#define XENSTREAM_OPTIONAL 0x80000000u

enum xenstream_libxl_type {
	LIBXL_END,
	LIBXL_LIBXC_CONTEXT,
	LIBXL_EMULATOR_XENSTORE_DATA,
	LIBXL_EMULATOR_CONTEXT,
	LIBXL_CHECKPOINT_END,
	LIBXL_CHECKPOINT_STATE,
};

enum xenstream_libxc_type {
	LIBXC_END,
	LIBXC_PAGE_DATA,
	LIBXC_X86_PV_INFO,
	LIBXC_X86_PV_P2M_FRAMES,
	LIBXC_X86_PV_VCPU_BASIC,
	LIBXC_X86_PV_VCPU_EXTENDED,
	LIBXC_X86_PV_VCPU_XSAVE,
	LIBXC_SHARED_INFO,
	LIBXC_X86_TSC_INFO,
	LIBXC_HVM_CONTEXT,
	LIBXC_HVM_PARAMS,
	LIBXC_TOOLSTACK,
	LIBXC_X86_PV_VCPU_MSRS,
	LIBXC_VERIFY,
	LIBXC_CHECKPOINT,
	LIBXC_CHECKPOINT_DIRTY_PFN_LIST,
	LIBXC_STATIC_DATA_END,
	LIBXC_X86_CPUID_POLICY,
	LIBXC_X86_MSR_POLICY,
};

/* Types of a page. 1-4 and 9-12: page tables of a PV guest, whose content is in terms of pfns. */
enum xenstream_page_type {
	XENSTREAM_NOTAB = 0,
	XENSTREAM_BROKEN = 13, /* no content */
	XENSTREAM_XALLOC = 14, /* no content, but memory is there */
	XENSTREAM_XTAB = 15,   /* no content: a hole */
};

#define XENSTREAM_PFN_MASK 0x000fffffffffffffull
#define XENSTREAM_RESERVED_MASK 0x0ff0000000000000ull

static inline uint64_t xenstream_entry(uint64_t pfn, unsigned type)
{
	return (uint64_t)type << 60 | pfn;
}

static inline uint64_t xenstream_pfn(uint64_t entry)
{
	return entry & XENSTREAM_PFN_MASK;
}

static inline unsigned xenstream_type(uint64_t entry)
{
	return (unsigned)(entry >> 60);
}

static inline bool xenstream_type_known(unsigned type)
{
	return type <= 4 || type >= 9;
}

/* Are 4096 bytes of it in the stream? */
static inline bool xenstream_type_content(unsigned type)
{
	return type < XENSTREAM_BROKEN;
}

/* Does Xen give the domain memory for it when it restores? */
static inline bool xenstream_type_memory(unsigned type)
{
	return type < XENSTREAM_BROKEN || type == XENSTREAM_XALLOC;
}

static inline uint32_t xenstream_le32(const void *bytes)
{
	uint32_t v;

	memcpy(&v, bytes, sizeof(v));
	return le32toh(v);
}

static inline uint64_t xenstream_le64(const void *bytes)
{
	uint64_t v;

	memcpy(&v, bytes, sizeof(v));
	return le64toh(v);
}

static inline uint32_t xenstream_be32(const void *bytes)
{
	uint32_t v;

	memcpy(&v, bytes, sizeof(v));
	return be32toh(v);
}

static inline void xenstream_put_le32(void *bytes, uint32_t v)
{
	v = htole32(v);
	memcpy(bytes, &v, sizeof(v));
}

static inline void xenstream_put_le64(void *bytes, uint64_t v)
{
	v = htole64(v);
	memcpy(bytes, &v, sizeof(v));
}

/* A record's body with its padding. */
static inline uint64_t xenstream_padded(uint32_t length)
{
	return ((uint64_t)length + 7) & ~(uint64_t)7;
}

#endif
