/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen.h - what the files of the Xen driver share. */
#ifndef FM_XEN_H
#define FM_XEN_H

#include <libxl.h>
#include <libxl_utils.h>
#include <xenctrl.h>
#include <xenstore.h>

#include "agent/hypervisor/hypervisor.h"

struct hypervisor {
	libxl_ctx *ctx;
	xentoollog_logger *log;
	struct xs_handle *xs;
	char *rundir;
};

/* xen_log.c: libxl says why something failed only in its log: keep that. */
xentoollog_logger *xen_log_create(void);
void xen_log_forget(xentoollog_logger *log); /* before a call */
/* fm_fail() with what was logged as an error since: the first text, and the last if it is another. */
int xen_fail(struct hypervisor *hv, struct fm_error *err, enum fm_code code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* xen.c: look-ups. */
int xen_find(struct hypervisor *hv, const char *name, uint32_t *domid_r, struct fm_error *err);
int xen_info(struct hypervisor *hv, uint32_t domid, const char *name, struct domain_info *info_r,
	     struct fm_error *err);
enum domain_state xen_state(const libxl_dominfo *di);
/* Its state now; -1 when there is no such domain (any more). */
int xen_state_of(struct hypervisor *hv, uint32_t domid);
int64_t xen_mono_ns(void); /* CLOCK_MONOTONIC */
int xen_resume_domain(struct hypervisor *hv, uint32_t domid, struct fm_error *err);
/* A UUID that tells whose domain it is even while it has no name: being built, or torn down. */
void xen_uuid_make(libxl_uuid *uuid, const char *name);
bool xen_uuid_is_of(const libxl_uuid *uuid, const char *name);

/* xen_config.c */
int xen_config_new(struct hypervisor *hv, libxl_domain_config *config, const struct domain_spec *spec,
		   struct fm_error *err);
/* A saved configuration becomes that of another domain: name, identity, network. */
int xen_config_adopt(libxl_domain_config *config, const struct domain_spec *spec, struct fm_error *err);
int xen_check_memory(struct hypervisor *hv, libxl_domain_config *config, struct fm_error *err);

/* xen_store.c: libxenstore. */
int xen_params_write(struct hypervisor *hv, uint32_t domid, const struct domain_spec *spec,
		     struct fm_error *err);
/* Take back a suspend request the guest has not seen yet. */
void xen_suspend_cancel(struct hypervisor *hv, uint32_t domid);
int xen_changes_watch(struct hypervisor *hv, struct fm_error *err); /* domains coming and going */
/* Until one comes or goes: 1 when stop_fd (or -1) is readable, 0. */
int xen_changes_wait(struct hypervisor *hv, int stop_fd, int timeout_ms);

/* xen_quiesce.c: around a cut, see there. begin: before it, so that the stop is short. */
struct xen_quiesce;
struct xen_quiesce *xen_quiesce_begin(struct hypervisor *hv, uint32_t domid, const char *name, struct fm_error *err);
void xen_quiesce_end(struct xen_quiesce *q); /* NULL is fine */
void xen_quiesce_freeze(struct xen_quiesce *q, struct save_cut *cut);
void xen_quiesce_before(struct xen_quiesce *q, struct save_cut *cut); /* suspending it */
void xen_quiesce_after(struct xen_quiesce *q, struct save_cut *cut);
void xen_quiesce_thawed(struct xen_quiesce *q); /* waits, for a bounded time, until the job has been seen to go on */
int xen_freeze_restored(struct hypervisor *hv, uint32_t domid, struct fm_error *err);
int xen_thaw_domain(struct hypervisor *hv, uint32_t domid, struct fm_error *err);
int xen_thaw(struct hypervisor *hv, const char *name, struct fm_error *err);

/* The slots that live in files of their own. */
int xen_create(struct hypervisor *hv, const struct domain_spec *spec, struct domain_info *info_r,
	       struct fm_error *err);
int xen_restore(struct hypervisor *hv, const struct domain_spec *spec, int fd, struct domain_info *info_r,
		struct fm_error *err);
int xen_destroy(struct hypervisor *hv, const char *name, bool *existed_r, struct fm_error *err);
int xen_save(struct hypervisor *hv, const char *name, int fd, const struct save_calls *calls,
	     struct fm_error *err);

#endif
