/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * track.h - a worker that stays between two snapshots of its domain, so that the next one is of what has changed.
 *
 *	saved {"tracking":true} ─▶ waits ─{"op":"save", …}▶ goes on ─▶ armed, …, saved
 *	                             │           └──in doubt──▶ begins anew, a whole snapshot, whose pages are found by hash
 *	                             └─ EOF, a signal, {"cmd":…}: ends
 *
 * A page that is not noted as written to is what the last snapshot says it was. So that one must be what it was: the
 * request names it (`base`), its manifest must be there, and then stream_writer_continue() looks at its map and packs. And
 * of the notes nothing may be lost: that is the driver's (hypervisor.h). Whatever is in doubt, the snapshot is whole.
 */
#ifndef FM_WORKER_TRACK_H
#define FM_WORKER_TRACK_H

#include "agent/store/stream.h"
#include "agent/worker/operations.h"

struct track {
	bool asked;  /* save_calls.next was called: what follows save() is the track_result() */
	int result;   /* SAVE_AGAIN, 0: ended as told, 1, -1 */
	struct fm_error err;
	struct request request; /* the last one that came, in root */
	struct json_object *root, *before;
	char *map; /* of the last snapshot that was saved */
};

/* Before the driver is called. */
void track_begin(struct track *t);
void track_dispose(struct track *t);
int track_result(const struct track *t, struct fm_error *err);
/* What the manifest has of it. fields may be NULL. */
void track_cut(const struct track *t, const struct save_cut *cut, struct json_object *fields);

/* last has been saved. Waits for the next request, the track's; NULL: the end, told_r: by the agent. */
const struct request *track_await(struct track *t, struct worker *w, const struct request *last, bool *told_r);
/* Can the request's snapshot be of what has changed? w then goes on with its map. Else the result is SAVE_AGAIN. */
bool track_goes_on(struct track *t, const struct request *request, struct stream_writer *w);

#endif
