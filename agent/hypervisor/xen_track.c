/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_track.c - see xen_track.h. What is sent here is what xg_sr_save.c's write_batch() would send for an HVM guest. */
#include "config.h"

#include "agent/hypervisor/xen_track.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/hvm/params.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>

#include "agent/xenstream/writer.h"
#include "common/cleanup.h"
#include "common/io.h"

#define BATCH 1024
#define PAGE ((size_t)XC_PAGE_SIZE)
#define BITS (sizeof(unsigned long) * 8)

struct xen_track {
	struct hypervisor *hv;
	xc_interface *xch;
	xendevicemodel_handle *model;
	xenforeignmemory_handle *memory;
	struct xs_handle *xs; /* a connection of its own: its watch is nobody else's */
	uint32_t domid;
	uint64_t canary; /* pfn */
	xen_pfn_t frames; /* one past the highest pfn */
	libxl_dominfo info;
	char *target_path, *target;
	unsigned long *bits;
	int bits_pages;
	xc_hypercall_buffer_t bits_buffer;
	xen_pfn_t pfn[BATCH];
	uint64_t entry[BATCH];
	int error[BATCH];
};

/* ---- the log ---- */

static int log_op(struct xen_track *t, unsigned op, unsigned mode, struct fm_error *err)
{
	xc_shadow_op_stats_t stats = { 0 };
	long long n = xc_logdirty_control(t->xch, t->domid, op, &t->bits_buffer, t->frames, mode, &stats);

	if (n == (long long)t->frames)
		return 0;
	return fm_fail(err, FM_INCOMPATIBLE, "the log of dirty pages cannot be read: %s", n < 0 ? strerror(errno) : "it is short");
}

static bool has_bit(const struct xen_track *t, uint64_t pfn)
{
	return t->bits[pfn / BITS] >> pfn % BITS & 1;
}

static int check_canary(const struct xen_track *t, struct fm_error *err)
{
	return has_bit(t, t->canary) ? 0 : fm_fail(err, FM_INCOMPATIBLE, "another program saved or migrated the domain meanwhile");
}

int xen_track_mark(struct xen_track *t, struct fm_error *err)
{
	if (xendevicemodel_modified_memory(t->model, (domid_t)t->domid, t->canary, 1) == 0)
		return 0;
	return fm_fail(err, FM_INCOMPATIBLE, "a page cannot be marked as written to: %s", strerror(errno));
}

/* ---- the memory ---- */

static int look(struct xen_track *t, libxl_dominfo *info, xen_pfn_t *frames, char **target, struct fm_error *err)
{
	unsigned size;

	if (libxl_domain_info(t->hv->ctx, info, t->domid) || xc_domain_nr_gpfns(t->xch, t->domid, frames) < 0)
		return fm_fail(err, FM_NOT_FOUND, "domain %u is gone", t->domid);
	*target = xs_read(t->xs, XBT_NULL, t->target_path, &size);
	return 0;
}

/* xs_read() in look() has come behind all events of before. */
static bool target_was_set(struct xen_track *t)
{
	char **event = xs_check_watch(t->xs);
	bool was = event != NULL;

	free(event);
	return was;
}

int xen_track_same_memory(struct xen_track *t, struct fm_error *err)
{
	FM_AUTO_FREE char *target = NULL;
	libxl_dominfo now;
	xen_pfn_t frames = 0;
	int r;

	libxl_dominfo_init(&now);
	r = look(t, &now, &frames, &target, err);
	if (r == 0 && (now.current_memkb != t->info.current_memkb || now.shared_memkb != t->info.shared_memkb ||
		       now.paged_memkb != t->info.paged_memkb || frames != t->frames))
		r = fm_fail(err, FM_INCOMPATIBLE, "the domain's memory was changed (%" PRIu64 " KiB of %" PRIu64 ")",
			    now.current_memkb, t->info.current_memkb);
	if (r == 0 && (target_was_set(t) || strcmp(target ? target : "", t->target ? t->target : "") != 0))
		r = fm_fail(err, FM_INCOMPATIBLE, "the domain was told another size of memory");
	libxl_dominfo_dispose(&now);
	return r;
}

/* ---- pages ---- */

static int sink(void *data, const void *bytes, size_t size, struct fm_error *err)
{
	return fm_write_all(*(int *)data, bytes, size) == 0 ?
		       0 : fm_fail(err, FM_FAILED, "writing the stream: %s", strerror(errno));
}

static int write_batch(struct xen_track *t, const unsigned char *pages, size_t n, int fd, struct fm_error *err)
{
	struct xenstream_writer w = { .sink = sink, .data = &fd };

	for (size_t i = 0; i < n; i++) {
		if (t->error[i]) /* a hole that was written to: the memory is not what we take it for */
			return fm_fail(err, FM_INCOMPATIBLE, "page %#" PRIx64 " was written to and is not there: %s",
				       (uint64_t)t->pfn[i], strerror(t->error[i]));
		t->entry[i] = xenstream_entry(t->pfn[i], XENSTREAM_NOTAB);
	}
	if (xenstream_write_batch(&w, t->entry, n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (xenstream_write_page(&w, pages + i * PAGE, err) < 0)
			return -1;
	return 0;
}

static int send_batch(struct xen_track *t, size_t n, int fd, struct fm_error *err)
{
	void *pages;
	int r;

	if (n == 0)
		return 0;
	memset(t->error, 0, sizeof(t->error));
	pages = xenforeignmemory_map(t->memory, t->domid, PROT_READ, n, t->pfn, t->error);
	if (!pages)
		return fm_fail(err, FM_INCOMPATIBLE, "pages of the domain cannot be mapped: %s", strerror(errno));
	r = write_batch(t, pages, n, fd, err);
	xenforeignmemory_unmap(t->memory, pages, n);
	return r;
}

static int send_dirty(struct xen_track *t, int fd, long *pages_r, struct fm_error *err)
{
	size_t n = 0;

	for (uint64_t word = 0; word < (t->frames + BITS - 1) / BITS; word++) {
		for (unsigned long left = t->bits[word]; left; left &= left - 1) {
			uint64_t pfn = word * BITS + (uint64_t)__builtin_ctzl(left);

			if (pfn == t->canary || pfn >= t->frames)
				continue;
			t->pfn[n++] = pfn;
			++*pages_r;
			if (n == BATCH) {
				if (send_batch(t, n, fd, err) < 0)
					return -1;
				n = 0;
			}
		}
	}
	return send_batch(t, n, fd, err);
}

int xen_track_round(struct xen_track *t, bool last, int fd, long *pages_r, struct fm_error *err)
{
	*pages_r = 0;
	if (log_op(t, XEN_DOMCTL_SHADOW_OP_CLEAN, last ? XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL : 0, err) < 0 ||
	    xen_track_mark(t, err) < 0 || check_canary(t, err) < 0)
		return -1;
	return send_dirty(t, fd, pages_r, err);
}

/* ---- life ---- */

void xen_track_destroy(struct xen_track *t)
{
	if (!t)
		return;
	if (t->bits)
		xc__hypercall_buffer_free_pages(t->xch, &t->bits_buffer, t->bits_pages);
	if (t->model)
		xendevicemodel_close(t->model);
	if (t->memory)
		xenforeignmemory_close(t->memory);
	if (t->xs)
		xs_close(t->xs);
	libxl_dominfo_dispose(&t->info);
	free(t->target_path);
	free(t->target);
	free(t);
}

/* The first event comes of itself. */
static int watch_target(struct xen_track *t, struct fm_error *err)
{
	unsigned count;
	char **event;

	t->xs = xs_open(0);
	t->target_path = fm_format("/local/domain/%u/memory/target", t->domid);
	if (!t->xs || !t->target_path || !xs_watch(t->xs, t->target_path, "target"))
		return fm_fail(err, FM_INCOMPATIBLE, "cannot watch the domain's memory: %s", strerror(errno));
	event = xs_read_watch(t->xs, &count);
	free(event);
	return event ? 0 : fm_fail(err, FM_INCOMPATIBLE, "xenstored: %s", strerror(errno));
}

static int open_handles(struct xen_track *t, struct fm_error *err)
{
	t->model = xendevicemodel_open((xentoollog_logger *)t->hv->log, 0);
	t->memory = xenforeignmemory_open((xentoollog_logger *)t->hv->log, 0);
	if (!t->model || !t->memory)
		return fm_fail(err, FM_INCOMPATIBLE, "the domain's memory cannot be reached: %s", strerror(errno));
	if (watch_target(t, err) < 0 || look(t, &t->info, &t->frames, &t->target, err) < 0)
		return -1;
	t->bits_pages = (int)((t->frames / 8 + PAGE) / PAGE);
	t->bits = xc__hypercall_buffer_alloc_pages(t->xch, &t->bits_buffer, t->bits_pages);
	return t->bits ? 0 : fm_fail(err, FM_FAILED, "out of memory");
}

/* A canary that is silent by itself, and sings when it is to. */
static int find_canary(struct xen_track *t, struct fm_error *err)
{
	if (xc_hvm_param_get(t->xch, t->domid, HVM_PARAM_MONITOR_RING_PFN, &t->canary) < 0 || t->canary == 0 ||
	    t->canary >= t->frames)
		return fm_fail(err, FM_INCOMPATIBLE, "the domain has no page to watch the log by");
	if (log_op(t, XEN_DOMCTL_SHADOW_OP_PEEK, 0, err) < 0)
		return -1;
	if (has_bit(t, t->canary))
		return fm_fail(err, FM_INCOMPATIBLE, "the page to watch the log by is in use");
	if (xen_track_mark(t, err) < 0 || log_op(t, XEN_DOMCTL_SHADOW_OP_PEEK, 0, err) < 0)
		return -1;
	return has_bit(t, t->canary) ? 0 : fm_fail(err, FM_INCOMPATIBLE, "the log does not have what was marked");
}

struct xen_track *xen_track_create(struct hypervisor *hv, xc_interface *xch, uint32_t domid, struct fm_error *err)
{
	struct xen_track *t = calloc(1, sizeof(*t));

	if (!t) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	t->hv = hv;
	t->xch = xch;
	t->domid = domid;
	libxl_dominfo_init(&t->info);
	if (open_handles(t, err) == 0 && find_canary(t, err) == 0)
		return t;
	xen_track_destroy(t);
	return NULL;
}
