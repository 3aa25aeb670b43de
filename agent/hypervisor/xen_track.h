/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_track.h - which pages a PVH domain has written to since its last snapshot, for certain.
 *
 * Xen has one log of dirty pages a domain, and no owner of it: whoever calls CLEAN gets its bits and clears them, and
 * every save, xl's too, at its end calls OFF, which throws them away; a live one begins with OFF and ON.  Then the log is
 * empty and looks healthy, and a page that is not in it would be taken from the last snapshot, silently wrong.
 *
 * The invariant: at each of our CLEANs, every page that was written to since the one before is in the bitmap.  How each
 * doubt is found (FM_INCOMPATIBLE: not certain any more; any other code: a failure):
 *
 *	somebody else's CLEAN, OFF, OFF and ON    a canary: a page that no guest writes to (the ring of a memory monitor,
 *	                                          which a domain of ours has none of) is marked dirty behind each CLEAN; where
 *	                                          it is not in the next bitmap, another one has had that.  The bitmap itself
 *	                                          is the proof: there is no moment between looking and using.
 *	the guest has marked the canary itself    looked at when the tracking begins; then the canary proves nothing
 *	memory that came or went                  Xen does not log a page that is populated while logging is on, as long as
 *	                                          it has not been cleaned once (p2m_add_page(), 4.17): number of pages, highest
 *	                                          frame, and a watch of memory/target, at each begin and at each cut
 *	another configuration (devices)           the stream has the first one's: compared at each begin
 *
 * Not found: somebody else's CLEAN between ours and the mark behind it (some 10 µs, while the guest runs), and a guest that by itself gives
 * a page away and takes one back.  Writes that no log of Xen's has, and so no live migration: those of Dom0 through a
 * mapping that lasts (rings, which a restore makes anew; persistent grants, which a frontend copies from).
 */
#ifndef FM_XEN_TRACK_H
#define FM_XEN_TRACK_H

#include "agent/hypervisor/xen.h"

struct xen_track;

/* Dirty logging has just been switched on: what is written to from now on is in the first round. FM_INCOMPATIBLE: this domain cannot be tracked. */
struct xen_track *xen_track_create(struct hypervisor *hv, xc_interface *xch, uint32_t domid, struct fm_error *err);
void xen_track_destroy(struct xen_track *t); /* NULL is fine */

/* Behind libxenguest's last CLEAN, while the domain is still suspended. */
int xen_track_mark(struct xen_track *t, struct fm_error *err);
/* Has the domain still the memory it had when the tracking began? */
int xen_track_same_memory(struct xen_track *t, struct fm_error *err);

/* What was written to since the last round goes to fd, as PAGE_DATA; *pages_r: how many. last: the domain is suspended. */
int xen_track_round(struct xen_track *t, bool last, int fd, long *pages_r, struct fm_error *err);

#endif
