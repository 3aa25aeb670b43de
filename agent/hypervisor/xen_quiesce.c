/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_quiesce.c - a guest comes to rest around its cut, so that its snapshot is
 * all there is: no frame of the job's is in a ring that a restore throws away.
 *
 *	freeze    the runner stops the job's processes and answers: no frame is made any more
 *	given     what had come for the guest is taken from the receive ring by its kernel
 *	(suspend)
 *	taken     what its kernel had put into the transmit ring has come out of the vif
 *
 * Each is bounded, and what was not seen is said in the snapshot's record.  A
 * guest without a runner is known by an answer that is empty: it is not waited for.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/hypervisor/netback.h"
#include "agent/hypervisor/xen.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"

#define FREEZE_MAX_MS 500
#define GIVEN_MAX_MS 200
#define TAKEN_MAX_MS 200
#define THAWED_MAX_MS 2000
#define LOOK_MS 1
/* Of the guest's own time; far more than the agent lets a guest stand. */
#define FREEZE_LIMIT_MS 15000

struct xen_quiesce {
	struct hypervisor *hv;
	struct domain_info info;
	struct netback *netback;
	char *freeze, *frozen; /* keys */
	char token[48];        /* "": the guest was not told to freeze */
};

static char *key(struct hypervisor *hv, uint32_t domid, const char *name)
{
	FM_AUTO_FREE char *domain = xs_get_domain_path(hv->xs, domid);

	return domain ? fm_format("%s/fermata/%s", domain, name) : NULL;
}

struct xen_quiesce *xen_quiesce_begin(struct hypervisor *hv, uint32_t domid, const char *name, struct fm_error *err)
{
	struct xen_quiesce *q = calloc(1, sizeof(*q));

	if (q && xen_info(hv, domid, name, &q->info, err) < 0) {
		free(q);
		return NULL;
	}
	if (q) {
		q->hv = hv;
		q->freeze = key(hv, domid, "freeze");
		q->frozen = key(hv, domid, "frozen");
	}
	if (!q || !q->freeze || !q->frozen || !xs_watch(hv->xs, q->frozen, "frozen")) {
		fm_fail(err, FM_FAILED, "xenstore: cannot watch the runner's answer: %s", strerror(errno));
		xen_quiesce_end(q);
		return NULL;
	}
	q->netback = netback_open();
	return q;
}

void xen_quiesce_end(struct xen_quiesce *q)
{
	if (!q)
		return;
	if (q->frozen)
		xs_unwatch(q->hv->xs, q->frozen, "frozen");
	netback_close(q->netback);
	free(q->freeze);
	free(q->frozen);
	free(q);
}

static double ms_since(int64_t begun_ns)
{
	return (double)(xen_mono_ns() - begun_ns) / 1e6;
}

static bool answer_is(struct xen_quiesce *q, const char *text)
{
	FM_AUTO_FREE char *value = xs_read(q->hv->xs, XBT_NULL, q->frozen, NULL);

	return value && strcmp(value, text) == 0;
}

static bool has_runner(struct xen_quiesce *q)
{
	FM_AUTO_FREE char *value = xs_read(q->hv->xs, XBT_NULL, q->frozen, NULL);

	return value && *value;
}

/* Any change of what is watched, or the time. */
static void wait_answer(struct xen_quiesce *q, int timeout_ms)
{
	struct pollfd fd = { .fd = xs_fileno(q->hv->xs), .events = POLLIN };
	char **event;

	if (poll(&fd, 1, timeout_ms) <= 0)
		return;
	while ((event = xs_check_watch(q->hv->xs)))
		free(event);
}

static bool freeze(struct xen_quiesce *q)
{
	int64_t begun = xen_mono_ns();
	FM_AUTO_FREE char *order = NULL;

	if (!has_runner(q))
		return false;
	snprintf(q->token, sizeof(q->token), "%ld.%" PRIx64, (long)getpid(), begun);
	order = fm_format("%s %d", q->token, FREEZE_LIMIT_MS);
	if (!order || !xs_write(q->hv->xs, XBT_NULL, q->freeze, order, (unsigned)strlen(order)))
		return false;
	while (!answer_is(q, q->token)) {
		int left = FREEZE_MAX_MS - (int)ms_since(begun);

		if (left <= 0)
			return false;
		wait_answer(q, left);
	}
	return true;
}

/* Of all vifs: nothing left that is to go to the guest, or come from it. */
static bool at_rest(struct xen_quiesce *q, bool suspended)
{
	for (unsigned i = 0; i < q->info.vif_count; i++) {
		struct netback_state state;

		if (netback_look(q->netback, q->info.vifs[i], &state) < 0 || !state.taken ||
		    (!suspended && !state.given))
			return false;
	}
	return true;
}

static bool wait_rest(struct xen_quiesce *q, bool suspended, int max_ms)
{
	int64_t begun = xen_mono_ns();

	if (!q->netback)
		return false;
	while (!at_rest(q, suspended)) {
		if (ms_since(begun) >= max_ms)
			return false;
		poll(NULL, 0, LOOK_MS);
	}
	return true;
}

void xen_quiesce_freeze(struct xen_quiesce *q, struct save_cut *cut)
{
	int64_t begun = xen_mono_ns();

	cut->frozen = freeze(q);
	cut->freeze_ms = ms_since(begun);
}

void xen_quiesce_before(struct xen_quiesce *q, struct save_cut *cut)
{
	int64_t begun = xen_mono_ns();

	cut->quiet = wait_rest(q, false, GIVEN_MAX_MS);
	cut->quiet_ms = ms_since(begun);
}

void xen_quiesce_after(struct xen_quiesce *q, struct save_cut *cut)
{
	int64_t begun = xen_mono_ns();

	if (*q->token) /* it may have answered late; or its limit has run out while it was slow to suspend */
		cut->frozen = answer_is(q, q->token);
	cut->quiet = wait_rest(q, true, TAKEN_MAX_MS) && cut->quiet;
	cut->quiet_ms += ms_since(begun);
}

void xen_quiesce_thawed(struct xen_quiesce *q)
{
	int64_t begun = xen_mono_ns();
	int left = THAWED_MAX_MS;

	while (*q->token && answer_is(q, q->token) && left > 0) {
		wait_answer(q, left);
		left = THAWED_MAX_MS - (int)ms_since(begun);
	}
	fm_debug("domain=%u thawed after %.0f ms", q->info.domid, ms_since(begun));
}

int xen_freeze_restored(struct hypervisor *hv, uint32_t domid, struct fm_error *err)
{
	FM_AUTO_FREE char *path = key(hv, domid, "freeze");

	if (path && xs_write(hv->xs, XBT_NULL, path, "restored", (unsigned)strlen("restored")))
		return 0;
	return fm_fail(err, FM_FAILED, "xenstore %s: %s", path ? path : "freeze", strerror(errno));
}

/* A guest that is stopped finds it changed when it goes on: it is not waited for. */
int xen_thaw_domain(struct hypervisor *hv, uint32_t domid, struct fm_error *err)
{
	FM_AUTO_FREE char *path = key(hv, domid, "freeze");
	FM_AUTO_FREE char *value = path ? xs_read(hv->xs, XBT_NULL, path, NULL) : NULL;

	if (!path || (value && *value && !xs_write(hv->xs, XBT_NULL, path, "", 0)))
		return fm_fail(err, FM_FAILED, "xenstore %s: %s", path ? path : "freeze", strerror(errno));
	return 0;
}

int xen_thaw(struct hypervisor *hv, const char *name, struct fm_error *err)
{
	uint32_t domid;

	return xen_find(hv, name, &domid, err) < 0 ? -1 : xen_thaw_domain(hv, domid, err);
}
