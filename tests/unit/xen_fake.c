/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_fake.c - see xen_fake.h. In place of libxenctrl, libxenguest, libxenlight and what xen.c and xen_quiesce.c have. */
#include "config.h"

#include "tests/unit/xen_fake.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/hypervisor/xen_save.h"

#include <xendevicemodel.h> /* these need xenctrl.h before them */
#include <xenforeignmemory.h>

#include "agent/xenstream/format.h"
#include "agent/xenstream/writer.h"
#include "common/io.h"

#define PAGE 4096

struct fake fake;

void fake_reset(unsigned seed, unsigned writes)
{
	fake = (struct fake){ .seed = seed, .writes = writes, .kib = FAKE_PAGES * 4, .frames = FAKE_FRAMES };
	for (unsigned i = 0; i < FAKE_PAGES; i++)
		fake.memory[i] = i + 1;
}

static unsigned random_below(unsigned n)
{
	fake.seed = fake.seed * 1103515245u + 12345;
	return (fake.seed >> 8) % n;
}

static void write_to(unsigned pfn)
{
	fake.memory[pfn] += FAKE_FRAMES;
	fake.dirty[pfn] = fake.dirty[pfn] || fake.log_on;
}

static void forget_log(void)
{
	memset(fake.dirty, 0, sizeof(fake.dirty));
}

/* A page goes and another one comes in its place, by the guest's own doing: Xen does not log what is then written to it. */
static void change_unlogged(void)
{
	if (!fake.suspended)
		fake.memory[5] += FAKE_FRAMES;
}

static void do_deed(void)
{
	switch (fake.deed) {
	case FAKE_OFF: fake.log_on = false; forget_log(); break;
	case FAKE_OFF_ON: fake.log_on = true; forget_log(); break;
	case FAKE_CLEAN: forget_log(); break;
	case FAKE_BALLOON: fake.kib -= 4; change_unlogged(); break;
	case FAKE_TARGET: fake.events++; change_unlogged(); break;
	case FAKE_GROW: fake.frames++; change_unlogged(); break;
	case FAKE_CONFIG: fake.config++; break;
	case FAKE_NO_MARK: fake.no_mark = true; break;
	case FAKE_NO_MAP: fake.no_map = true; break;
	case FAKE_NO_LOG: fake.no_log = true; break;
	case FAKE_NO_SUSPEND: fake.no_suspend = true; break;
	default: break;
	}
}

/* The deed comes first: the guest has not run between the call before and this one's begin, and then it does. */
static void tick(void)
{
	unsigned n;

	if (++fake.tick == fake.at)
		do_deed();
	n = fake.suspended || !fake.writes ? 0 : random_below(fake.writes + 1);
	while (n--)
		write_to(random_below(FAKE_PAGES));
	if (fake.canary_busy && !fake.suspended)
		write_to(FAKE_CANARY);
}

/* ---- libxenctrl, libxendevicemodel, libxenforeignmemory */

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild, unsigned flags)
{
	return (xc_interface *)&fake;
}

int xc_interface_close(xc_interface *xch)
{
	return 0;
}

int xc_shadow_control(xc_interface *xch, uint32_t domid, unsigned sop, unsigned *mb, unsigned mode)
{
	tick();
	if (sop == XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY && fake.log_on) {
		errno = EINVAL;
		return -1;
	}
	fake.log_on = sop == XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY;
	forget_log();
	return 0;
}

long long xc_logdirty_control(xc_interface *xch, uint32_t domid, unsigned sop, xc_hypercall_buffer_t *buffer,
			      unsigned long pages, unsigned mode, xc_shadow_op_stats_t *stats)
{
	unsigned char *bits = buffer->hbuf;

	tick();
	if (fake.no_log) {
		errno = ENOMEM;
		return -1;
	}
	memset(bits, 0, FAKE_FRAMES / 8);
	for (unsigned i = 0; i < FAKE_FRAMES; i++) {
		bits[i / 8] |= (unsigned char)(fake.dirty[i] << i % 8);
		stats->dirty_count += fake.dirty[i];
	}
	if (sop == XEN_DOMCTL_SHADOW_OP_CLEAN)
		forget_log();
	return (long long)pages;
}

void *xc__hypercall_buffer_alloc_pages(xc_interface *xch, xc_hypercall_buffer_t *b, int nr_pages)
{
	b->hbuf = calloc((size_t)nr_pages, PAGE);
	return b->hbuf;
}

void xc__hypercall_buffer_free_pages(xc_interface *xch, xc_hypercall_buffer_t *b, int nr_pages)
{
	free(b->hbuf);
	b->hbuf = NULL;
}

int xc_domain_nr_gpfns(xc_interface *xch, uint32_t domid, xen_pfn_t *gpfns)
{
	tick();
	*gpfns = fake.frames;
	return 0;
}

int xc_hvm_param_get(xc_interface *handle, uint32_t dom, uint32_t param, uint64_t *value)
{
	tick();
	*value = FAKE_CANARY;
	return 0;
}

xendevicemodel_handle *xendevicemodel_open(xentoollog_logger *logger, unsigned flags)
{
	return (xendevicemodel_handle *)&fake;
}

int xendevicemodel_close(xendevicemodel_handle *dmod)
{
	return 0;
}

int xendevicemodel_modified_memory(xendevicemodel_handle *dmod, domid_t domid, uint64_t first_pfn, uint32_t nr)
{
	tick();
	if (fake.no_mark) {
		errno = EPERM;
		return -1;
	}
	fake.dirty[first_pfn] = fake.dirty[first_pfn] || fake.log_on;
	return 0;
}

xenforeignmemory_handle *xenforeignmemory_open(xentoollog_logger *logger, unsigned flags)
{
	return (xenforeignmemory_handle *)&fake;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
	return 0;
}

static void fill(unsigned char *page, uint32_t number)
{
	for (size_t i = 0; i < PAGE; i += 4)
		xenstream_put_le32(page + i, number);
}

uint32_t fake_content(const void *page)
{
	uint32_t number = xenstream_le32(page);

	for (size_t i = 0; i < PAGE; i += 4)
		if (xenstream_le32((const unsigned char *)page + i) != number)
			return UINT32_MAX;
	return number;
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages, const xen_pfn_t arr[],
			   int err[])
{
	unsigned char *mapped = malloc(pages * PAGE);

	tick();
	for (size_t i = 0; i < pages; i++) {
		bool there = arr[i] < FAKE_PAGES || arr[i] == FAKE_CANARY;

		err[i] = there && !fake.no_map ? 0 : ENOENT;
		fill(mapped + i * PAGE, fake.memory[arr[i]]);
	}
	return mapped;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
	free(addr);
	return 0;
}

/* ---- libxenguest */

static int sink(void *data, const void *bytes, size_t size, struct fm_error *err)
{
	return fm_write_all(*(int *)data, bytes, size);
}

static int put_record(int fd, uint32_t type, const void *body, uint32_t size)
{
	unsigned char header[8];

	xenstream_put_le32(header, type);
	xenstream_put_le32(header + 4, size);
	return fm_write_all(fd, header, 8) < 0 || fm_write_all(fd, body, size) < 0 ? -1 : 0;
}

static int put_headers(int fd)
{
	static const unsigned char libxc[XENSTREAM_LIBXC_HEADER] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'X', 'E', 'N', 'F', 0, 0, 0, 3,
		[24] = 2, [28] = 12, [32] = 4, [36] = 17,
	};

	return fm_write_all(fd, libxc, sizeof(libxc)) < 0 ? -1 : put_record(fd, LIBXC_STATIC_DATA_END, NULL, 0);
}

static int send_page(int fd, unsigned pfn)
{
	struct xenstream_writer w = { .sink = sink, .data = &fd };
	bool there = pfn < FAKE_PAGES || pfn == FAKE_CANARY;
	uint64_t entry = xenstream_entry(pfn, there ? XENSTREAM_NOTAB : XENSTREAM_XTAB);
	unsigned char page[PAGE];
	struct fm_error err;

	fill(page, fake.memory[pfn]);
	if (xenstream_write_batch(&w, &entry, 1, &err) < 0)
		return -1;
	return there ? xenstream_write_page(&w, page, &err) : 0;
}

/* The guest runs meanwhile, if it does. */
static int send_pages(int fd, const bool *wanted)
{
	for (unsigned i = 0; i < FAKE_FRAMES; i++) {
		if (i % 64 == 0)
			tick();
		if ((!wanted || wanted[i]) && send_page(fd, i) < 0)
			return -1;
	}
	return 0;
}

static int clean_and_send(int fd)
{
	bool wanted[FAKE_FRAMES];

	tick();
	memcpy(wanted, fake.dirty, sizeof(wanted));
	forget_log();
	return send_pages(fd, wanted);
}

static int send_live(int fd, struct save_callbacks *c)
{
	struct precopy_stats stats = { .dirty_count = FAKE_FRAMES };

	for (unsigned x = 1;; x++) {
		int decision = c->precopy_policy(stats, c->data);

		if (decision == XGS_POLICY_ABORT || (x == 1 ? send_pages(fd, NULL) : clean_and_send(fd)) < 0)
			return -1;
		stats.iteration = x;
		stats.dirty_count = -1;
		if (decision == XGS_POLICY_CONTINUE_PRECOPY)
			decision = c->precopy_policy(stats, c->data);
		if (decision != XGS_POLICY_CONTINUE_PRECOPY)
			return decision == XGS_POLICY_ABORT ? -1 : 0;
		stats.dirty_count = 1000;
	}
}

static int checkpoint(int fd, struct save_callbacks *c, bool live)
{
	static const unsigned char zeros[24];

	if (live && send_live(fd, c) < 0)
		return -1;
	if (!c->suspend(c->data) || !fake.suspended || clean_and_send(fd) < 0)
		return -1;
	if (put_record(fd, LIBXC_X86_TSC_INFO, zeros, 24) < 0 || put_record(fd, LIBXC_HVM_CONTEXT, zeros, 8) < 0 ||
	    put_record(fd, LIBXC_HVM_PARAMS, zeros, 8) < 0)
		return -1;
	return put_record(fd, LIBXC_CHECKPOINT, NULL, 0);
}

int xc_domain_save(xc_interface *xch, int fd, uint32_t dom, uint32_t flags, struct save_callbacks *c,
		   xc_stream_type_t stream_type, int recv_fd)
{
	bool live = true;
	int rc = put_headers(fd);

	if (xc_shadow_control(xch, dom, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0) < 0) {
		xc_shadow_control(xch, dom, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
		rc = xc_shadow_control(xch, dom, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0);
	}
	while (rc == 0) {
		rc = checkpoint(fd, c, live);
		if (rc == 0 && c->postcopy(c->data) <= 0)
			break;
		if (rc == 0 && c->checkpoint(c->data) <= 0)
			break;
		live = false;
	}
	xc_shadow_control(xch, dom, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
	return rc;
}

/* ---- libxenstore */

struct xs_handle *xs_open(unsigned long flags)
{
	fake.events = 1; /* a watch's first */
	return (struct xs_handle *)&fake;
}

void xs_close(struct xs_handle *h)
{
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	return true;
}

char **xs_check_watch(struct xs_handle *h)
{
	if (!fake.events)
		return NULL;
	fake.events--;
	return calloc(2, sizeof(char *));
}

char **xs_read_watch(struct xs_handle *h, unsigned *num)
{
	*num = 2;
	return xs_check_watch(h);
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned *len)
{
	tick();
	*len = 4;
	return strdup("2800");
}

/* ---- libxenlight */

void libxl_dominfo_init(libxl_dominfo *p)
{
	memset(p, 0, sizeof(*p));
}

void libxl_dominfo_dispose(libxl_dominfo *p)
{
}

int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info, uint32_t domid)
{
	tick();
	info->domain_type = LIBXL_DOMAIN_TYPE_PVH;
	info->running = !fake.suspended;
	info->current_memkb = fake.kib;
	return 0;
}

int libxl_domain_suspend_only(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
	tick();
	if (fake.no_suspend)
		return ERROR_GUEST_TIMEDOUT;
	fake.suspended = true;
	return 0;
}

void libxl_domain_config_init(libxl_domain_config *p)
{
	memset(p, 0, sizeof(*p));
}

void libxl_domain_config_dispose(libxl_domain_config *p)
{
}

int libxl_retrieve_domain_configuration(libxl_ctx *ctx, uint32_t domid, libxl_domain_config *config,
					const libxl_asyncop_how *how)
{
	tick();
	return 0;
}

char *libxl_domain_config_to_json(libxl_ctx *ctx, libxl_domain_config *p)
{
	char *json;

	return asprintf(&json, "{\"devices\":%u}", fake.config) < 0 ? NULL : json;
}

/* ---- the driver's other files */

int xen_find(struct hypervisor *hv, const char *name, uint32_t *domid_r, struct fm_error *err)
{
	*domid_r = 7;
	return 0;
}

enum domain_state xen_state(const libxl_dominfo *di)
{
	return di->running ? DOMAIN_RUNNING : DOMAIN_SUSPENDED;
}

int xen_state_of(struct hypervisor *hv, uint32_t domid)
{
	return fake.suspended ? DOMAIN_SUSPENDED : DOMAIN_RUNNING;
}

int64_t xen_mono_ns(void)
{
	return (int64_t)fake.tick * 1000000 + 1;
}

int64_t hypervisor_now_ns(void)
{
	return xen_mono_ns();
}

int xen_resume_domain(struct hypervisor *hv, uint32_t domid, struct fm_error *err)
{
	fake.suspended = false;
	fake.resumed++;
	tick();
	return 0;
}

void xen_suspend_cancel(struct hypervisor *hv, uint32_t domid)
{
}

int xen_thaw_domain(struct hypervisor *hv, uint32_t domid, struct fm_error *err)
{
	return 0;
}

void xen_log_forget(xentoollog_logger *log)
{
}

int xen_fail(struct hypervisor *hv, struct fm_error *err, enum fm_code code, const char *fmt, ...)
{
	va_list args;
	char text[256];

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return fm_fail(err, code, "%s", text);
}

int domain_lock(const char *rundir, const char *name, int wait_ms, struct fm_error *err)
{
	return dup(STDERR_FILENO);
}

const char *domain_state_name(enum domain_state state)
{
	return "suspended";
}

struct xen_quiesce *xen_quiesce_begin(struct hypervisor *hv, uint32_t domid, const char *name, struct fm_error *err)
{
	return (struct xen_quiesce *)&fake;
}

void xen_quiesce_end(struct xen_quiesce *q)
{
}

void xen_quiesce_freeze(struct xen_quiesce *q, struct save_cut *cut)
{
}

void xen_quiesce_before(struct xen_quiesce *q, struct save_cut *cut)
{
}

void xen_quiesce_after(struct xen_quiesce *q, struct save_cut *cut)
{
}

void xen_quiesce_thawed(struct xen_quiesce *q)
{
}
