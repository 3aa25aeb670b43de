/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_save.h - between xen_save.c (one save, its pre-copy and its cut) and xen_checkpoint.c (those that follow on it). */
#ifndef FM_XEN_SAVE_H
#define FM_XEN_SAVE_H

#include "agent/hypervisor/xen.h"

#include <xenguest.h> /* needs xenctrl.h before it */

#include "agent/hypervisor/xen_track.h"

/* Between two rounds of the hold: short, so that little is left for the cut; longer
 * the longer it takes, since each round lengthens the stream. */
#define ROUND_FIRST_MS 200
#define ROUND_MOST_MS 500
/* Rounds before armed: until so few pages get dirty in one, or it does not help. */
#define FEW_PAGES 2048
#define ROUNDS_MOST 5

struct xen_saver {
	struct hypervisor *hv;
	const char *name;
	xc_interface *xch;
	const struct save_calls *calls;
	uint32_t domid;
	bool live;
	uint64_t raw_bytes;
	int round_ms;
	long dirty, dirty_before; /* pages of the last rounds */
	bool armed, aborted;
	bool go;           /* the word to cut has come */
	bool torn;         /* dirty logging was off at the cut */
	int suspend_rc;    /* of libxl, negative: failed */
	bool suspend_tried;
	struct xen_quiesce *quiesce;
	struct save_cut cut;
	int64_t freeze_mono_ns; /* 0: it is not frozen */
	int64_t suspend_mono_ns, suspended_mono_ns;
	char *config; /* as in the stream */
	/* xen_checkpoint.c */
	struct xen_track *track; /* NULL: not (any more) */
	int fd;         /* libxenguest's: ours to turn elsewhere */
	bool over;      /* nothing is left to be done */
	bool last;      /* but to end the stream */
	int result;     /* where it was we who left; why says more */
	struct fm_error why;
};

/* xen_save.c */
int xen_save_look_at(struct xen_saver *s, struct fm_error *err);
/* As JSON, for the stream; caller frees. */
char *xen_save_config(struct xen_saver *s, struct fm_error *err);
/* The next word, but for one to freeze: that is done here. */
enum save_verdict xen_save_hold(struct xen_saver *s, int timeout_ms);
/* After so many rounds: does another one help? */
bool xen_save_settled(const struct xen_saver *s, unsigned iteration);
/* Why libxenguest has failed: 1, -1. */
int xen_save_why(struct xen_saver *s, struct fm_error *err);
/* Copied, r 0, or not: tells of the cut, waits, lets the domain run and tells. 0, 1, -1. */
int xen_save_cut(struct xen_saver *s, int r, struct fm_error *err);

/* xen_checkpoint.c */
/* xc_domain_save() for one snapshot after the other; s->over: nothing is left to be done. */
int xen_checkpoint_save(struct xen_saver *s, struct save_callbacks *callbacks, int fd, struct fm_error *err);
/* The first one's policy; false: as without tracking. */
bool xen_checkpoint_policy(struct xen_saver *s, const struct precopy_stats *stats, int *decision_r);
/* It has just been suspended: the log is ours, and what it says goes out. */
int xen_checkpoint_rest(struct xen_saver *s);

#endif
