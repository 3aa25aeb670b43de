/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * order.h - which record may come next, how long it may be, and what follows it.
 * Pure: a record's header in, a verdict out.
 *
 *	xl header ─▶ libxl header ─▶ libxl ─LIBXC_CONTEXT▶ libxc headers ─▶ libxc
 *	libxc ─END▶ libxl (after) ─END▶ over
 *	libxc ─CHECKPOINT▶ libxl (checkpoint) ─CHECKPOINT_END▶ libxc, a further state or END at once
 *
 * libxc, in this order: static data (CPUID and MSR policy, PV_INFO), STATIC_DATA_END (inferred in version 2), P2M_FRAMES
 * (PV), PAGE_DATA, the rest (PV: no PAGE_DATA after the first of a VCPU).  A state must be whole, with
 * all that a restore needs, before END or CHECKPOINT.  What Xen itself does not mind is let through: an HVM
 * guest's records of the end may go among its pages.
 */
#ifndef FM_XENSTREAM_ORDER_H
#define FM_XENSTREAM_ORDER_H

#include "agent/xenstream/format.h"
#include "common/error.h"

struct order {
	enum xenstream_layer layer; /* whose record comes next */
	bool hvm;
	unsigned version;    /* of the libxc stream; 0: not yet begun */
	bool libxc_over;     /* its END was there */
	bool in_checkpoint;  /* between CHECKPOINT and CHECKPOINT_END */
	bool fresh;          /* a checkpoint has ended, nothing of a further state has come */
	bool over;           /* libxl's END was there */
	bool static_end;
	bool verify;
	bool vcpus;          /* in this checkpoint */
	uint32_t seen;       /* one bit a libxc type, of this checkpoint; what is static or memory stays */
};

enum order_next {
	ORDER_RECORD,  /* pass it on, then a record of order.layer */
	ORDER_PAGES,   /* it is PAGE_DATA */
	ORDER_HEADERS, /* then libxc's headers */
	ORDER_OVER,    /* then nothing */
};

/* The layer's record, its body `length` bytes: FM_CORRUPT, or FM_INCOMPATIBLE when it is of a kind this version does not read. */
int order_record(struct order *o, uint32_t type, uint32_t length, enum order_next *next_r, struct fm_error *err);

/* For texts; "record 0x1234" is put in buffer when it has no name. */
#define ORDER_NAME_MAX 32
const char *order_record_name(enum xenstream_layer layer, uint32_t type, char buffer[ORDER_NAME_MAX]);

#endif
