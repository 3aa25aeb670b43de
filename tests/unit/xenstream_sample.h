/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xenstream_sample.h - small saved domains, put together byte by byte after Xen's specification and
 * without the code under test; and what a restore would make of a stream, after Xen's rules.
 */
#ifndef FM_TEST_XENSTREAM_SAMPLE_H
#define FM_TEST_XENSTREAM_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/xenstream/fold.h"

/* Where a header or record lies. */
struct sample_mark {
	size_t at, size;
	const char *name;
	size_t fixed; /* its first bytes that are fields, not content */
};

struct sample {
	unsigned char *data;
	size_t size, room;
	struct sample_mark *marks;
	size_t mark_count;
};

enum sample_kind {
	SAMPLE_LIVE,        /* PVH, three rounds of pre-copy, as Xen 4.17 writes it */
	SAMPLE_PV,          /* stop-and-copy, page tables */
	SAMPLE_OLD,         /* PVH, version 2 */
	SAMPLE_EMULATED,    /* HVM with an emulator's records, and optional ones */
	SAMPLE_CHECKPOINTS, /* Remus: three states, the last without pages of its own, then END */
	SAMPLE_VERIFY,
	SAMPLE_BARE,        /* no configuration, and pages without content */
	SAMPLE_KINDS,
};

/* Dispose in any case. */
void sample_make(struct sample *s, enum sample_kind kind);
void sample_dispose(struct sample *s);
const char *sample_name(enum sample_kind kind);

/* Building blocks. */
void sample_bytes(struct sample *s, const void *bytes, size_t size);
void sample_mark(struct sample *s, const char *name, size_t fixed); /* what follows, up to the next mark, is this */
void sample_xl(struct sample *s, const char *json); /* NULL: no configuration */
void sample_libxl(struct sample *s);
void sample_libxc(struct sample *s, unsigned version, unsigned type);
/* A body of `length` bytes that follow from type and seed. */
void sample_record(struct sample *s, const char *name, uint32_t type, uint32_t length, unsigned seed);
struct sample_page {
	uint64_t pfn;
	unsigned type;
	unsigned content; /* 0: zeros */
};
void sample_pages(struct sample *s, const struct sample_page *pages, size_t count);
/*
 * One by its letter: libxl's LIBXC_CONTEXT L, END E, EMULATOR_CONTEXT M, CHECKPOINT_END K, an optional one O; libxc's headers 3 (HVM),
 * 2 (HVM, version 2), P (PV); its PAGE_DATA p (pfn 5), CPUID c, STATIC_DATA_END s, HVM_CONTEXT x, HVM_PARAMS h, TSC t, VERIFY v,
 * CHECKPOINT k, PV_INFO i, P2M_FRAMES f, SHARED_INFO n, VCPU_BASIC u, END e, an optional one o.  false: no such letter.
 */
bool sample_add(struct sample *s, char letter);
void sample_letters(struct sample *s, const char *letters); /* a whole stream */
void sample_page_fill(unsigned char page_r[4096], uint64_t pfn, unsigned content);

/* A stream of a random domain: seeded, of any length up to a few hundred entries. */
void sample_random(struct sample *s, unsigned seed, bool hvm);

/* ---- what a restore makes of a stream */

#ifndef RESTORED_PFNS
#define RESTORED_PFNS 4096 /* a stream with higher ones is none for the model */
#endif

struct restored {
	struct restored_page {
		bool memory;
		unsigned type;    /* PV: the last; HVM: none */
		uint64_t content; /* a hash; 0: never written */
	} pages[RESTORED_PFNS];
	uint64_t state; /* a hash over the last of each other record, in order */
	bool hvm, verify;
	uint64_t records[32]; /* by type: the last one's hash */
};

/* Takes a whole stream: false when its framing is wrong. */
bool restored_from(struct restored *r, const unsigned char *data, size_t size);
/* The same domain? Says what is not. */
bool restored_same(const struct restored *a, const struct restored *b);

#endif
