/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_checkpoint.c - snapshot after snapshot in one call of xc_domain_save(), each of what was written to since the last.
 *
 *	xc_domain_save(REMUS) ─▶ all pages once
 *	policy():     rounds of our own (xen_track.c) while the guest runs: armed, hold, …; the word to go
 *	suspend():    the last round is ours, too  ◀──────────────────────────────────────────┐
 *	              libxenguest's own finds next to nothing; registers; CHECKPOINT           │
 *	postcopy():   CHECKPOINT_END; cut() tells, waits; resume; released                     │
 *	checkpoint(): next() waits, for minutes; then rounds of our own, as in policy() ───────┘
 *
 * libxenguest pre-copies before its first checkpoint only (send_domain_memory_checkpointed() of xg_sr_save.c): all that
 * was written to in an hour would be copied in the stop.  Hence the rounds; and that all of them are ours lets us see
 * the bitmaps that are used: xen_track.h says why that matters.  What is left for libxenguest is what it alone can do:
 * the first pass, and the records of the processor.
 *
 * Whatever makes us leave, xc_domain_save() switches logging off at its end, and the next snapshot is a whole one.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/hypervisor/xen_save.h"
#include "agent/xenstream/format.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"

/* It ends here. */
static int leave(struct xen_saver *s, int result)
{
	s->over = true;
	s->result = result;
	return 0;
}

/* ---- the rounds ---- */

/* Rounds, armed, and on until the word to go. 0, 1: aborted, -1: s->why. */
static int precopy(struct xen_saver *s)
{
	for (unsigned iteration = 1; !s->go; iteration++) {
		enum save_verdict verdict;

		s->dirty_before = s->dirty;
		if (xen_track_round(s->track, false, s->fd, &s->dirty, &s->why) < 0)
			return -1;
		if (!s->armed && xen_save_settled(s, iteration)) {
			s->armed = true;
			s->calls->armed(true, s->raw_bytes, s->calls->data);
		}
		verdict = xen_save_hold(s, s->armed ? s->round_ms : 0);
		s->go = verdict == SAVE_CUT;
		if (verdict != SAVE_HOLD && !s->go)
			return 1;
		if (s->armed)
			s->round_ms = s->round_ms * 2 < ROUND_MOST_MS ? s->round_ms * 2 : ROUND_MOST_MS;
	}
	return 0;
}

/* Called first when logging has just been switched on, then when libxenguest has sent all of the memory once. */
bool xen_checkpoint_policy(struct xen_saver *s, const struct precopy_stats *stats, int *decision_r)
{
	int r;

	if (stats->iteration == 0) {
		s->track = xen_track_create(s->hv, s->xch, s->domid, &s->why);
		if (!s->track)
			fm_warning("domain=%s its snapshots will all be whole: %s", s->name, s->why.text);
		s->why.code = FM_OK;
	}
	if (!s->track || stats->iteration == 0)
		return false;
	r = precopy(s);
	s->aborted = r == 1;
	*decision_r = r == 0 ? XGS_POLICY_STOP_AND_COPY : XGS_POLICY_ABORT;
	return true;
}

int xen_checkpoint_rest(struct xen_saver *s)
{
	long pages;

	if (xen_track_same_memory(s->track, &s->why) < 0)
		return -1;
	return xen_track_round(s->track, true, s->fd, &pages, &s->why);
}

/* ---- between two snapshots ---- */

static int write_checkpoint_end(struct xen_saver *s)
{
	unsigned char record[XENSTREAM_RECORD_HEADER] = { 0 };

	xenstream_put_le32(record, LIBXL_CHECKPOINT_END);
	return fm_write_all(s->fd, record, sizeof(record)) == 0 ?
		       0 : fm_fail(&s->why, FM_FAILED, "writing the stream: %s", strerror(errno));
}

/* The domain is suspended, so what is marked here is the first of the next snapshot's log. 1: and go on. */
static int on_postcopy(void *data)
{
	struct xen_saver *s = data;
	struct fm_error why;
	int r = write_checkpoint_end(s);

	if (r == 0 && s->track && xen_track_mark(s->track, &why) < 0) {
		fm_warning("domain=%s the next snapshot will be a whole one: %s", s->name, why.text);
		xen_track_destroy(fm_steal_ptr(&s->track));
	}
	r = xen_save_cut(s, r, &s->why);
	s->freeze_mono_ns = 0;
	return r == 0 ? 1 : leave(s, r);
}

/* Where the stream goes; -1: nowhere, until the next one. */
static void turn(struct xen_saver *s, int fd)
{
	FM_AUTO_CLOSE int nowhere = fd < 0 ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;

	dup3(fd < 0 ? nowhere : fd, s->fd, O_CLOEXEC);
}

static void begin_again(struct xen_saver *s)
{
	s->cut = (struct save_cut){ .tracked = true };
	s->round_ms = ROUND_FIRST_MS;
	s->dirty = s->dirty_before = 0;
	s->armed = s->go = false;
}

/* Is it still the domain that it was? */
static int check_same(struct xen_saver *s)
{
	FM_AUTO_FREE char *config = NULL;

	if (xen_save_look_at(s, &s->why) < 0)
		return -1;
	config = xen_save_config(s, &s->why);
	if (!config)
		return -1;
	if (strcmp(config, s->config) != 0)
		return fm_fail(&s->why, FM_INCOMPATIBLE, "the domain's configuration was changed");
	return xen_track_same_memory(s->track, &s->why);
}

/* 1: to the suspension, 0: that was all. */
static int on_checkpoint(void *data)
{
	struct xen_saver *s = data;
	int fd, r;

	s->last = !s->track; /* whole ones only */
	if (s->last)
		return leave(s, 0);
	turn(s, -1);
	xen_quiesce_end(fm_steal_ptr(&s->quiesce));
	if (!s->calls->next(&fd, s->calls->data))
		return leave(s, 0);
	turn(s, fd);
	begin_again(s);
	r = check_same(s);
	if (r == 0) {
		s->quiesce = xen_quiesce_begin(s->hv, s->domid, s->name, &s->why);
		r = s->quiesce ? precopy(s) : -1;
	}
	if (r == 0)
		return 1;
	return leave(s, r < 0 && !s->armed && s->why.code == FM_INCOMPATIBLE ? SAVE_AGAIN : r);
}

/* ---- all of it ---- */

/* A stream of which no further part will come: END of both layers. */
static int write_end(struct xen_saver *s, struct fm_error *err)
{
	static const unsigned char ends[2 * XENSTREAM_RECORD_HEADER];

	return fm_write_all(s->fd, ends, sizeof(ends)) == 0 ?
		       0 : fm_fail(err, FM_FAILED, "writing the stream: %s", strerror(errno));
}

/* libxenguest broke off, or suspend() or policy() had it do so. */
static int broke_off(struct xen_saver *s, struct fm_error *err)
{
	if (s->why.code == FM_OK || s->aborted)
		return xen_save_why(s, err);
	*err = s->why;
	return -1;
}

/* What its return value says is not enough: it is 0 also where we left. */
static int conclude(struct xen_saver *s, struct fm_error *err)
{
	int r = s->over ? s->result : broke_off(s, err);

	if (s->over)
		*err = s->why;
	s->over = true;
	if (r == 0)
		return s->last ? write_end(s, err) : 0;
	if (r == -1 && err->code == FM_INCOMPATIBLE) /* it was doubt, at a time when it is too late for a whole one */
		err->code = FM_FAILED;
	return s->suspend_tried || s->freeze_mono_ns ? xen_save_cut(s, r, err) : r;
}

int xen_checkpoint_save(struct xen_saver *s, struct save_callbacks *callbacks, int fd, struct fm_error *err)
{
	int r;

	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (s->fd < 0)
		return fm_fail(err, FM_FAILED, "dup: %s", strerror(errno));
	callbacks->postcopy = on_postcopy;
	callbacks->checkpoint = on_checkpoint;
	xc_domain_save(s->xch, s->fd, s->domid, XCFLAGS_LIVE, callbacks, XC_STREAM_REMUS, -1);
	r = conclude(s, err);
	close(s->fd);
	return r;
}
