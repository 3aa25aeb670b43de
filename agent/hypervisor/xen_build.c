/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_build.c - domains come, afresh or out of a stream, and go. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "agent/hypervisor/xen.h"
#include "agent/hypervisor/xl_file.h"
#include "common/cleanup.h"

#define GONE_WAIT_MS 15000
#define GONE_STEP_MS 200

static int check_free(struct hypervisor *hv, const char *name, struct fm_error *err)
{
	uint32_t domid;

	if (xen_find(hv, name, &domid, err) == 0)
		return fm_fail(err, FM_BUSY, "it exists already, as domain %u", domid);
	return err->code == FM_NOT_FOUND ? 0 : -1;
}

/* Built and paused: tell it who it is before it runs. */
static int settle(struct hypervisor *hv, uint32_t domid, const struct domain_spec *spec, bool restored,
		  struct domain_info *info_r, struct fm_error *err)
{
	if (xen_params_write(hv, domid, spec, err) == 0 &&
	    (!restored || xen_freeze_restored(hv, domid, err) == 0) && xen_info(hv, domid, spec->name, info_r, err) == 0)
		return 0;
	libxl_domain_destroy(hv->ctx, domid, NULL);
	return -1;
}

int xen_create(struct hypervisor *hv, const struct domain_spec *spec, struct domain_info *info_r,
	       struct fm_error *err)
{
	libxl_domain_config config;
	uint32_t domid = INVALID_DOMID;
	int r;

	if (check_free(hv, spec->name, err) < 0)
		return -1;
	xen_log_forget(hv->log);
	libxl_domain_config_init(&config);
	r = xen_config_new(hv, &config, spec, err);
	if (r == 0)
		r = xen_check_memory(hv, &config, err);
	if (r == 0 && libxl_domain_create_new(hv->ctx, &config, &domid, NULL, NULL))
		r = xen_fail(hv, err, FM_FAILED, "libxl");
	libxl_domain_config_dispose(&config);
	return r < 0 ? -1 : settle(hv, domid, spec, false, info_r, err);
}

static int restore_stream(struct hypervisor *hv, libxl_domain_config *config, int fd, uint32_t *domid_r,
			  struct fm_error *err)
{
	libxl_domain_restore_params params;
	int rc;

	libxl_domain_restore_params_init(&params);
	params.checkpointed_stream = LIBXL_CHECKPOINTED_STREAM_NONE;
	params.stream_version = 2;
	rc = libxl_domain_create_restore(hv->ctx, config, domid_r, fd, -1, &params, NULL, NULL);
	libxl_domain_restore_params_dispose(&params);
	return rc ? xen_fail(hv, err, FM_FAILED, "libxl") : 0;
}

int xen_restore(struct hypervisor *hv, const struct domain_spec *spec, int fd, struct domain_info *info_r,
		struct fm_error *err)
{
	FM_AUTO_FREE char *json = NULL;
	libxl_domain_config config;
	uint32_t domid = INVALID_DOMID;
	int r = 0;

	if (check_free(hv, spec->name, err) < 0)
		return -1;
	json = xl_file_read_header(fd, err);
	if (!json)
		return -1;
	xen_log_forget(hv->log);
	libxl_domain_config_init(&config);
	if (libxl_domain_config_from_json(hv->ctx, &config, json))
		r = fm_fail(err, FM_CORRUPT, "the saved domain's configuration makes no sense");
	if (r == 0)
		r = xen_config_adopt(&config, spec, err);
	if (r == 0)
		r = xen_check_memory(hv, &config, err);
	if (r == 0)
		r = restore_stream(hv, &config, fd, &domid, err);
	libxl_domain_config_dispose(&config);
	return r < 0 ? -1 : settle(hv, domid, spec, true, info_r, err);
}

/* By name, or, when it has none (half built, half torn down), by its UUID. */
static bool find_any(struct hypervisor *hv, const char *name, uint32_t *domid_r)
{
	int count = 0;
	libxl_dominfo *list = libxl_list_domain(hv->ctx, &count);
	bool found = false;

	for (int i = 0; i < count && !found; i++) {
		FM_AUTO_FREE char *its = libxl_domid_to_name(hv->ctx, list[i].domid);

		found = its ? strcmp(its, name) == 0 : xen_uuid_is_of(&list[i].uuid, name);
		*domid_r = list[i].domid;
	}
	libxl_dominfo_list_free(list, count);
	return found;
}

/* libxl comes back when the domain is told to die; its memory may take a while. */
static int wait_gone(struct hypervisor *hv, uint32_t domid, struct fm_error *err)
{
	int64_t until = xen_mono_ns() + GONE_WAIT_MS * INT64_C(1000000);

	if (xen_changes_watch(hv, err) < 0)
		return -1;
	while (xen_state_of(hv, domid) >= 0) {
		if (xen_mono_ns() >= until)
			return fm_fail(err, FM_TIMEOUT,
				       "domain %u is still not gone after %d s: something holds its memory",
				       domid, GONE_WAIT_MS / 1000);
		xen_changes_wait(hv, -1, GONE_STEP_MS);
	}
	return 0;
}

int xen_destroy(struct hypervisor *hv, const char *name, bool *existed_r, struct fm_error *err)
{
	uint32_t domid;
	int rc;

	*existed_r = find_any(hv, name, &domid);
	if (!*existed_r)
		return 0;
	xen_log_forget(hv->log);
	rc = libxl_domain_destroy(hv->ctx, domid, NULL);
	if (rc && rc != ERROR_DOMAIN_NOTFOUND)
		return xen_fail(hv, err, FM_FAILED, "libxl");
	return wait_gone(hv, domid, err);
}
