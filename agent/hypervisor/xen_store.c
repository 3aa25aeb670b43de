/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_store.c - what goes through xenstore: the guest's params, the keys of its
 * freezer (xen_quiesce.c uses them), a pending suspend request, and the news that a domain came or went.
 *
 * A xenstore message holds 4096 bytes with its path, so a long value goes into
 * several nodes: fermata/<key>, fermata/<key>-1, fermata/<key>-2, …  A reader
 * puts them together up to the first that is missing.  The nodes are Dom0's
 * (no quota of the guest's), readable by the guest alone.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hypervisor/xen.h"
#include "common/cleanup.h"
#include "common/io.h"

#define CHUNK ((size_t)3072)
#define CHUNKS_MAX 256

static int write_node_for(struct hypervisor *hv, uint32_t domid, unsigned allowed, const char *path,
			  const char *value, size_t size, struct fm_error *err)
{
	struct xs_permissions perms[2] = { { .id = 0, .perms = XS_PERM_NONE }, { .id = domid, .perms = allowed } };

	if (!xs_write(hv->xs, XBT_NULL, path, value, (unsigned)size) ||
	    !xs_set_permissions(hv->xs, XBT_NULL, path, perms, 2))
		return fm_fail(err, FM_FAILED, "xenstore %s: %s", path, strerror(errno));
	return 0;
}

static int write_node(struct hypervisor *hv, uint32_t domid, const char *path, const char *value, size_t size,
		      struct fm_error *err)
{
	return write_node_for(hv, domid, XS_PERM_READ, path, value, size, err);
}

static int write_param(struct hypervisor *hv, uint32_t domid, const char *folder, const struct domain_param *p,
		       struct fm_error *err)
{
	size_t size = strlen(p->value), done = 0;

	if (size > CHUNK * CHUNKS_MAX)
		return fm_fail(err, FM_USAGE, "param %s: %zu bytes are too many", p->key, size);
	for (unsigned i = 0; i == 0 || done < size; i++) {
		FM_AUTO_FREE char *path = i ? fm_format("%s/%s-%u", folder, p->key, i) :
					      fm_format("%s/%s", folder, p->key);
		size_t n = size - done < CHUNK ? size - done : CHUNK;

		if (!path)
			return fm_fail(err, FM_FAILED, "out of memory");
		if (write_node(hv, domid, path, p->value + done, n, err) < 0)
			return -1;
		done += n;
	}
	return 0;
}

/* The two keys of the runner's freezer: an order, and its answer. */
static int write_freezer(struct hypervisor *hv, uint32_t domid, const char *folder, struct fm_error *err)
{
	FM_AUTO_FREE char *order = fm_format("%s/freeze", folder);
	FM_AUTO_FREE char *answer = fm_format("%s/frozen", folder);

	if (!order || !answer)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (write_node(hv, domid, order, "", 0, err) < 0)
		return -1;
	return write_node_for(hv, domid, XS_PERM_READ | XS_PERM_WRITE, answer, "", 0, err);
}

int xen_params_write(struct hypervisor *hv, uint32_t domid, const struct domain_spec *spec,
		     struct fm_error *err)
{
	FM_AUTO_FREE char *domain = xs_get_domain_path(hv->xs, domid);
	FM_AUTO_FREE char *folder = domain ? fm_format("%s/fermata", domain) : NULL;

	if (!folder)
		return fm_fail(err, FM_FAILED, "xenstore: no path for domain %u: %s", domid, strerror(errno));
	xs_rm(hv->xs, XBT_NULL, folder); /* mostly not there */
	if (write_node(hv, domid, folder, "", 0, err) < 0)
		return -1;
	for (unsigned i = 0; i < spec->param_count; i++)
		if (write_param(hv, domid, folder, &spec->params[i], err) < 0)
			return -1;
	return write_freezer(hv, domid, folder, err);
}

void xen_suspend_cancel(struct hypervisor *hv, uint32_t domid)
{
	FM_AUTO_FREE char *domain = xs_get_domain_path(hv->xs, domid);
	FM_AUTO_FREE char *path = domain ? fm_format("%s/control/shutdown", domain) : NULL;
	bool again = path != NULL;

	while (again) {
		xs_transaction_t t = xs_transaction_start(hv->xs);
		FM_AUTO_FREE char *value = t ? xs_read(hv->xs, t, path, NULL) : NULL;
		bool pending = value && strcmp(value, "suspend") == 0;

		if (!t)
			return;
		if (pending)
			xs_write(hv->xs, t, path, "", 0);
		again = !xs_transaction_end(hv->xs, t, !pending) && errno == EAGAIN;
	}
}

int xen_changes_watch(struct hypervisor *hv, struct fm_error *err)
{
	if (xs_watch(hv->xs, "@releaseDomain", "gone") && xs_watch(hv->xs, "@introduceDomain", "new"))
		return 0;
	return fm_fail(err, FM_FAILED, "xenstore: cannot watch domains: %s", strerror(errno));
}

int xen_changes_wait(struct hypervisor *hv, int stop_fd, int timeout_ms)
{
	struct pollfd fds[2] = { { .fd = stop_fd, .events = POLLIN },
				 { .fd = xs_fileno(hv->xs), .events = POLLIN } };

	if (poll(fds, 2, timeout_ms) > 0 && fds[1].revents) {
		char **event;

		while ((event = xs_check_watch(hv->xs)))
			free(event);
	}
	return fds[0].revents != 0;
}
