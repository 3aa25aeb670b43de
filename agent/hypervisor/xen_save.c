/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_save.c - a domain's state through libxenguest with callbacks of our own.
 *
 * PVH, live:
 *	xc_domain_save ─▶ first pass, rounds of what got dirty ─▶ armed
 *	   policy() waits for the word between rounds, the guest runs
 *	freeze ─▶ the job stands still (xen_quiesce.c) ─▶ frozen: one more round, then little is dirty
 *	cut ─▶ suspend(): quiet, suspend, quiet ─▶ last dirty pages, registers ─▶ xc_domain_save
 *	   returns ─▶ cut() tells, waits ─▶ thaw, resume ─▶ released
 * PV, whose dirty pages Debian's Xen cannot log: all of it between suspend()
 * and cut().
 *
 * xc_domain_save resumes nothing: whatever happens after suspend(), save_domain()
 * does.  Its return value is not to be trusted alone: somebody else's save of the
 * same domain switches dirty logging off and it then returns 0 for a torn image.
 *
 * With tracking it goes on after that, see xen_checkpoint.c.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hypervisor/xen_save.h"
#include "agent/hypervisor/xl_file.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"

#define RESUME_TRIES 3

/* While dirty logging is on, switching it on is EINVAL. */
static bool dirty_log_is_on(struct xen_saver *s)
{
	return xc_shadow_control(s->xch, s->domid, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0) < 0 &&
	       errno == EINVAL;
}

static void freeze(struct xen_saver *s)
{
	s->freeze_mono_ns = xen_mono_ns();
	xen_quiesce_freeze(s->quiesce, &s->cut);
}

/* libxenguest: 1 is success. */
static int on_suspend(void *data)
{
	struct xen_saver *s = data;
	int64_t begun;

	if (!s->freeze_mono_ns)
		freeze(s);
	s->suspend_tried = true;
	s->suspend_mono_ns = xen_mono_ns();
	s->cut.suspend_ns = hypervisor_now_ns();
	xen_quiesce_before(s->quiesce, &s->cut);
	begun = xen_mono_ns();
	s->suspend_rc = libxl_domain_suspend_only(s->hv->ctx, s->domid, NULL);
	s->suspended_mono_ns = xen_mono_ns();
	s->cut.suspended_ns = hypervisor_now_ns();
	s->cut.suspend_ms = (double)(s->suspended_mono_ns - begun) / 1e6;
	if (s->suspend_rc)
		return 0;
	xen_quiesce_after(s->quiesce, &s->cut);
	/* A busy guest may have taken its time: is the cut still wanted? */
	s->aborted = s->calls->hold(0, s->calls->data) == SAVE_ABORT;
	if (s->aborted)
		return 0;
	s->torn = s->live && !dirty_log_is_on(s);
	return !s->torn && (!s->track || xen_checkpoint_rest(s) == 0);
}

/* The next word, but for one to freeze: that is done here. */
enum save_verdict xen_save_hold(struct xen_saver *s, int timeout_ms)
{
	enum save_verdict verdict = s->calls->hold(timeout_ms, s->calls->data);

	if (verdict != SAVE_FREEZE)
		return verdict;
	freeze(s);
	s->round_ms = ROUND_FIRST_MS;
	s->calls->frozen(&s->cut, s->calls->data);
	return SAVE_HOLD;
}

static int abort_save(struct xen_saver *s)
{
	s->aborted = true;
	return XGS_POLICY_ABORT;
}

bool xen_save_settled(const struct xen_saver *s, unsigned iteration)
{
	if (iteration < 2)
		return false;
	return s->dirty <= FEW_PAGES || s->dirty > s->dirty_before / 4 * 3 || iteration >= ROUNDS_MOST;
}

/*
 * Asked twice a round: before its pages are sent (dirty_count says how many) and
 * after (-1).  Only the latter is a place to wait or to go from: there the next
 * step is to suspend, with nothing else left to send first.
 */
static int on_policy(struct precopy_stats stats, void *data)
{
	struct xen_saver *s = data;
	bool place = stats.dirty_count < 0 && stats.iteration > 0 && (s->armed || xen_save_settled(s, stats.iteration));
	enum save_verdict verdict;
	int decision;

	if (s->calls->next && xen_checkpoint_policy(s, &stats, &decision))
		return decision;
	if (stats.dirty_count >= 0) {
		s->dirty_before = s->dirty;
		s->dirty = stats.dirty_count;
	}
	if (place && !s->armed)
		s->calls->armed(true, s->raw_bytes, s->calls->data);
	s->armed = s->armed || place;
	verdict = xen_save_hold(s, place && !s->go ? s->round_ms : 0);
	if (verdict == SAVE_CUT) /* it may come when this is no place to go from */
		s->go = true;
	else if (verdict != SAVE_HOLD)
		return abort_save(s);
	if (place)
		s->round_ms = s->round_ms * 2 < ROUND_MOST_MS ? s->round_ms * 2 : ROUND_MOST_MS;
	return place && s->go ? XGS_POLICY_STOP_AND_COPY : XGS_POLICY_CONTINUE_PRECOPY;
}

static int on_device_model(uint32_t domid, unsigned enable, void *data)
{
	return 0; /* a PVH domain has none; libxenguest wants the callback all the same */
}

/* Also one that somebody has given it since. */
static int check_disks(const struct xen_saver *s, const libxl_domain_config *config, struct fm_error *err)
{
	for (int i = 0; i < config->num_disks; i++) {
		const libxl_device_disk *disk = &config->disks[i];

		if (disk->readwrite && !s->calls->has_disk(disk->vdev ? disk->vdev : "", s->calls->data))
			return fm_fail(err, FM_INCOMPATIBLE,
				       "it can write to its disk %s, which is none that Fermata copies: a restore would roll its memory "
				       "back over a newer disk", disk->vdev ? disk->vdev : "?");
	}
	return 0;
}

char *xen_save_config(struct xen_saver *s, struct fm_error *err)
{
	libxl_domain_config config;
	bool refused;
	char *json;
	int rc;

	libxl_domain_config_init(&config);
	rc = libxl_retrieve_domain_configuration(s->hv->ctx, s->domid, &config, NULL);
	config.c_info.domid = 0;
	refused = rc == 0 && check_disks(s, &config, err) < 0;
	json = rc || refused ? NULL : libxl_domain_config_to_json(s->hv->ctx, &config);
	libxl_domain_config_dispose(&config);
	if (refused)
		return NULL;
	if (!json)
		xen_fail(s->hv, err, FM_FAILED, "cannot get its configuration");
	return json;
}

static int write_header(struct xen_saver *s, int fd, struct fm_error *err)
{
	FM_AUTO_FREE void *begin = NULL;
	size_t size;

	s->config = xen_save_config(s, err);
	if (!s->config)
		return -1;
	begin = xl_file_begin(s->config, &size, err);
	if (!begin)
		return -1;
	return fm_write_all(fd, begin, size) == 0 ?
		       0 : fm_fail(err, FM_FAILED, "writing the stream: %s", strerror(errno));
}

/* Stop-and-copy has nothing to do before the cut. 0: go, 1: aborted. */
static int wait_stopped_copy(struct xen_saver *s)
{
	enum save_verdict verdict = s->calls->hold(0, s->calls->data);

	if (verdict != SAVE_HOLD)
		return 1;
	s->calls->armed(false, s->raw_bytes, s->calls->data);
	do
		verdict = xen_save_hold(s, ROUND_MOST_MS);
	while (verdict == SAVE_HOLD);
	return verdict == SAVE_CUT ? 0 : 1;
}

int xen_save_why(struct xen_saver *s, struct fm_error *err)
{
	if (s->aborted)
		return 1;
	if (s->torn)
		return fm_fail(err, FM_FAILED, "another program saved or migrated the domain meanwhile");
	if (s->suspend_rc)
		return xen_fail(s->hv, err, FM_FAILED, "the guest did not suspend");
	return xen_fail(s->hv, err, FM_FAILED, "libxenguest");
}

static int copy_state(struct xen_saver *s, int fd, struct fm_error *err)
{
	struct save_callbacks callbacks = { .suspend = on_suspend,
					    .precopy_policy = on_policy,
					    .switch_qemu_logdirty = on_device_model,
					    .data = s };

	if (!s->live && wait_stopped_copy(s) != 0)
		return 1;
	if (s->live && s->calls->next)
		return xen_checkpoint_save(s, &callbacks, fd, err);
	if (xc_domain_save(s->xch, fd, s->domid, s->live ? XCFLAGS_LIVE : 0, &callbacks, XC_STREAM_PLAIN, -1) == 0)
		return 0;
	return xen_save_why(s, err);
}

static void thaw(struct xen_saver *s)
{
	struct fm_error err;

	if (xen_thaw_domain(s->hv, s->domid, &err) < 0)
		fm_warning("domain=%u %s: its processes stand still a while longer", s->domid, err.text);
}

/* Whatever state a suspension that was asked for has led to: the guest runs afterwards. */
static int run_again(struct xen_saver *s)
{
	struct fm_error err;

	if (s->suspend_rc)
		xen_suspend_cancel(s->hv, s->domid); /* not that it follows later */
	thaw(s);
	for (int i = 0; i < RESUME_TRIES; i++) {
		if (xen_state_of(s->hv, s->domid) != DOMAIN_SUSPENDED)
			return 0;
		if (xen_resume_domain(s->hv, s->domid, &err) == 0)
			return 0;
	}
	s->calls->stuck(err.text, s->calls->data);
	return -1;
}

int xen_save_cut(struct xen_saver *s, int r, struct fm_error *err)
{
	int64_t now;

	s->cut.copy_ms = (double)(xen_mono_ns() - s->suspended_mono_ns) / 1e6;
	if (r == 0 && s->calls->cut(&s->cut, s->calls->data) != SAVE_RELEASE)
		r = 1;
	if (!s->suspend_tried)
		thaw(s);
	else if (run_again(s) < 0)
		return fm_fail(err, FM_FAILED, "it is left suspended");
	s->suspend_tried = false;
	if (r != 0)
		return r;
	now = xen_mono_ns();
	s->calls->released((double)(now - s->suspend_mono_ns) / 1e6, (double)(now - s->freeze_mono_ns) / 1e6,
			   s->calls->data);
	xen_quiesce_thawed(s->quiesce); /* before the caller takes up its work: see released() */
	return 0;
}

static int save_domain(struct xen_saver *s, int fd, struct fm_error *err)
{
	int r = write_header(s, fd, err);

	if (r == 0)
		r = copy_state(s, fd, err);
	if (s->over)
		return r;
	r = xen_save_cut(s, r, err);
	if (r != 0)
		return r;
	return fm_write_all(fd, xl_file_end, XL_FILE_END_SIZE) == 0 ?
		       0 : fm_fail(err, FM_FAILED, "writing the stream: %s", strerror(errno));
}

/* A guest must run to suspend; one that is paused would time out after a minute. */
int xen_save_look_at(struct xen_saver *s, struct fm_error *err)
{
	libxl_dominfo di;
	int rc;

	libxl_dominfo_init(&di);
	rc = libxl_domain_info(s->hv->ctx, &di, s->domid);
	s->live = di.domain_type != LIBXL_DOMAIN_TYPE_PV; /* here a PVH domain is called HVM */
	s->raw_bytes = di.current_memkb * 1024;
	if (rc)
		rc = fm_fail(err, FM_NOT_FOUND, "domain %u is gone", s->domid);
	else if (xen_state(&di) != DOMAIN_RUNNING)
		rc = fm_fail(err, FM_FAILED, "it is %s, not running", domain_state_name(xen_state(&di)));
	libxl_dominfo_dispose(&di);
	return rc ? -1 : 0;
}

int xen_save(struct hypervisor *hv, const char *name, int fd, const struct save_calls *calls,
	     struct fm_error *err)
{
	struct xen_saver s = { .hv = hv, .name = name, .calls = calls, .round_ms = ROUND_FIRST_MS };
	FM_AUTO_CLOSE int lock = domain_lock(hv->rundir, name, 0, err);
	int r;

	if (lock < 0 || xen_find(hv, name, &s.domid, err) < 0 || xen_save_look_at(&s, err) < 0)
		return -1;
	xen_log_forget(hv->log);
	s.xch = xc_interface_open(hv->log, hv->log, 0);
	if (!s.xch)
		return xen_fail(hv, err, FM_FAILED, "cannot open the hypervisor interface");
	s.quiesce = xen_quiesce_begin(hv, s.domid, name, err);
	r = s.quiesce ? save_domain(&s, fd, err) : -1;
	xen_quiesce_end(s.quiesce);
	xen_track_destroy(s.track);
	xc_interface_close(s.xch);
	free(s.config);
	return r;
}
