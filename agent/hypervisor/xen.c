/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen.c - the Xen driver's table, look-ups, and short slots.
 *
 * libxl's own event loop is used (every call blocks); the process has no other
 * children, so libxl may own SIGCHLD.  A death is noticed by xenstore's
 * @releaseDomain, which is what libxl's death events come from: theirs are given
 * once a domain, and a suspension would use them up.
 */
#include "config.h"

#include "agent/hypervisor/xen.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/hypervisor/deaths.h"
#include "common/cleanup.h"

#define RESUME_LOCK_MS 30000
#define RESUME_SETTLE_MS 1000
#define RESUME_STEP_MS 50
#define WATCH_MS 5000

static void xen_close(struct hypervisor *hv)
{
	if (!hv)
		return;
	if (hv->xs)
		xs_close(hv->xs);
	if (hv->ctx)
		libxl_ctx_free(hv->ctx);
	xtl_logger_destroy(hv->log);
	free(hv->rundir);
	free(hv);
}

static struct hypervisor *xen_open(const char *rundir, struct fm_error *err)
{
	struct hypervisor *hv = calloc(1, sizeof(*hv));

	if (hv) {
		hv->rundir = strdup(rundir);
		hv->log = xen_log_create();
	}
	if (!hv || !hv->rundir || !hv->log)
		fm_fail(err, FM_FAILED, "out of memory");
	else if (libxl_ctx_alloc(&hv->ctx, LIBXL_VERSION, 0, hv->log))
		xen_fail(hv, err, FM_INCOMPATIBLE, "no Xen here (is this a Dom0, and are you root?)");
	else if (!(hv->xs = xs_open(0)))
		fm_fail(err, FM_INCOMPATIBLE, "cannot reach xenstored: %s", strerror(errno));
	else
		return hv;
	xen_close(hv);
	return NULL;
}

int xen_find(struct hypervisor *hv, const char *name, uint32_t *domid_r, struct fm_error *err)
{
	if (libxl_name_to_domid(hv->ctx, name, domid_r))
		return fm_fail(err, FM_NOT_FOUND, "there is no domain %s on this node", name);
	return 0;
}

enum domain_state xen_state(const libxl_dominfo *di)
{
	if (di->dying)
		return DOMAIN_DYING;
	if (di->shutdown)
		return di->shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND ? DOMAIN_SUSPENDED : DOMAIN_DEAD;
	return di->paused ? DOMAIN_PAUSED : DOMAIN_RUNNING;
}

int xen_state_of(struct hypervisor *hv, uint32_t domid)
{
	libxl_dominfo di;
	int state = -1;

	libxl_dominfo_init(&di);
	if (libxl_domain_info(hv->ctx, &di, domid) == 0)
		state = (int)xen_state(&di);
	libxl_dominfo_dispose(&di);
	return state;
}

int64_t xen_mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static enum domain_death death_of(const libxl_dominfo *di)
{
	switch (di->shutdown_reason) {
	case LIBXL_SHUTDOWN_REASON_REBOOT:
	case LIBXL_SHUTDOWN_REASON_SOFT_RESET:
		return DEATH_REBOOT;
	case LIBXL_SHUTDOWN_REASON_CRASH:
		return DEATH_CRASH;
	case LIBXL_SHUTDOWN_REASON_WATCHDOG:
		return DEATH_WATCHDOG;
	default:
		return DEATH_POWEROFF;
	}
}

/* The vifs as Dom0 sees them: a name of their own, or netback's. */
static void find_vifs(struct hypervisor *hv, struct domain_info *info)
{
	int count = 0;
	libxl_device_nic *nics = libxl_device_nic_list(hv->ctx, info->domid, &count);

	for (int i = 0; i < count && info->vif_count < DOMAIN_VIFS_MAX; i++) {
		char *name = info->vifs[info->vif_count++];

		if (nics[i].ifname && *nics[i].ifname)
			snprintf(name, DOMAIN_PORT_SIZE, "%s", nics[i].ifname);
		else
			snprintf(name, DOMAIN_PORT_SIZE, "vif%u.%d", info->domid, nics[i].devid);
	}
	libxl_device_nic_list_free(nics, count);
}

static void fill_info(struct hypervisor *hv, const libxl_dominfo *di, const char *name, struct domain_info *info_r)
{
	*info_r = (struct domain_info){ .domid = di->domid, .state = xen_state(di) };
	if (info_r->state == DOMAIN_DEAD)
		info_r->death = death_of(di);
	snprintf(info_r->name, sizeof(info_r->name), "%s", name);
	if (info_r->state != DOMAIN_DYING)
		find_vifs(hv, info_r);
}

int xen_info(struct hypervisor *hv, uint32_t domid, const char *name, struct domain_info *info_r,
	     struct fm_error *err)
{
	libxl_dominfo di;
	int rc;

	libxl_dominfo_init(&di);
	rc = libxl_domain_info(hv->ctx, &di, domid);
	if (rc == 0)
		fill_info(hv, &di, name, info_r);
	libxl_dominfo_dispose(&di);
	if (rc)
		return xen_fail(hv, err, rc == ERROR_DOMAIN_NOTFOUND ? FM_NOT_FOUND : FM_FAILED,
				"domain %u is gone", domid);
	return 0;
}

/* 48 bits of the name's hash (FNV-1a) in front. */
static void uuid_mark(unsigned char mark_r[6], const char *name)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (const char *p = name; *p; p++)
		h = (h ^ (unsigned char)*p) * 0x100000001b3u;
	memcpy(mark_r, &h, 6);
}

void xen_uuid_make(libxl_uuid *uuid, const char *name)
{
	libxl_uuid_generate(uuid);
	uuid_mark(uuid->uuid, name);
}

bool xen_uuid_is_of(const libxl_uuid *uuid, const char *name)
{
	unsigned char mark[6];

	uuid_mark(mark, name);
	return memcmp(uuid->uuid, mark, sizeof(mark)) == 0;
}

static int xen_release(struct hypervisor *hv, const char *name, struct fm_error *err)
{
	uint32_t domid;

	if (xen_find(hv, name, &domid, err) < 0)
		return -1;
	xen_log_forget(hv->log);
	return libxl_domain_unpause(hv->ctx, domid, NULL) ? xen_fail(hv, err, FM_FAILED, "libxl") : 0;
}

int xen_resume_domain(struct hypervisor *hv, uint32_t domid, struct fm_error *err)
{
	xen_log_forget(hv->log);
	/* suspend_cancel: the guest goes on with its devices as if nothing had been */
	if (libxl_domain_resume(hv->ctx, domid, 1, NULL) == 0)
		return 0;
	return xen_fail(hv, err, FM_FAILED, "cannot resume domain %u", domid);
}

/* A dead saver leaves log-dirty mode on; it only costs. Off already: no matter. */
static void dirty_log_off(struct hypervisor *hv, uint32_t domid)
{
	xc_interface *xch = xc_interface_open(hv->log, hv->log, 0);

	if (!xch)
		return;
	xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
	xc_interface_close(xch);
}

/* A guest that was about to follow the dead saver's order gets there within a moment. */
static int resume_locked(struct hypervisor *hv, const char *name, bool *was_suspended_r, struct fm_error *err)
{
	int64_t until = xen_mono_ns() + RESUME_SETTLE_MS * INT64_C(1000000);
	uint32_t domid;
	int state;

	if (xen_find(hv, name, &domid, err) < 0)
		return -1;
	xen_suspend_cancel(hv, domid);
	if (xen_thaw_domain(hv, domid, err) < 0)
		return -1;
	while ((state = xen_state_of(hv, domid)) == DOMAIN_RUNNING && xen_mono_ns() < until)
		xen_changes_wait(hv, -1, RESUME_STEP_MS);
	if (state < 0)
		return fm_fail(err, FM_NOT_FOUND, "domain %u is gone", domid);
	if (state != DOMAIN_SUSPENDED)
		return 0;
	if (xen_resume_domain(hv, domid, err) < 0)
		return -1;
	*was_suspended_r = true;
	dirty_log_off(hv, domid);
	return 0;
}

static int xen_resume(struct hypervisor *hv, const char *name, bool *was_suspended_r, struct fm_error *err)
{
	FM_AUTO_CLOSE int lock = domain_lock(hv->rundir, name, RESUME_LOCK_MS, err);

	*was_suspended_r = false;
	if (lock < 0 || xen_changes_watch(hv, err) < 0)
		return -1;
	return resume_locked(hv, name, was_suspended_r, err);
}

static int xen_list(struct hypervisor *hv, domain_each_fn each, void *data, struct fm_error *err)
{
	int count = 0;
	libxl_dominfo *list;

	xen_log_forget(hv->log);
	list = libxl_list_domain(hv->ctx, &count);
	if (!list)
		return xen_fail(hv, err, FM_FAILED, "libxl");
	for (int i = 0; i < count; i++) {
		FM_AUTO_FREE char *name = libxl_domid_to_name(hv->ctx, list[i].domid);
		struct domain_info info;

		if (!name || !domain_name_valid(name))
			continue;
		fill_info(hv, &list[i], name, &info);
		each(&info, data);
	}
	libxl_dominfo_list_free(list, count);
	return 0;
}

static int xen_watch(struct hypervisor *hv, int stop_fd, domain_died_fn died, void *data, struct fm_error *err)
{
	struct deaths *deaths = deaths_create(died, data);
	int r = deaths ? xen_changes_watch(hv, err) : fm_fail(err, FM_FAILED, "out of memory");

	while (r == 0) {
		deaths_begin(deaths);
		r = xen_list(hv, deaths_see, deaths, err);
		if (r == 0)
			deaths_end(deaths);
		if (r == 0 && xen_changes_wait(hv, stop_fd, WATCH_MS))
			break;
	}
	deaths_destroy(deaths);
	return r;
}

const struct hypervisor_ops xen_ops = {
	.name = "xen",
	.open = xen_open,
	.close = xen_close,
	.create = xen_create,
	.save = xen_save,
	.restore = xen_restore,
	.release = xen_release,
	.thaw = xen_thaw,
	.destroy = xen_destroy,
	.resume = xen_resume,
	.list = xen_list,
	.watch = xen_watch,
};
