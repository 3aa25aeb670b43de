/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * netback.c - see netback.h.
 *
 * Each end of a ring says by "event" at which entry it wants to be woken; it sets
 * that to the next one when it has looked at all there are and goes to sleep.
 * So an end is done when its event is one more than what the other has produced.
 */
#include "config.h"

#include "agent/hypervisor/netback.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

#define FILE_MAX 4096

struct netback {
	int root; /* of a debugfs */
};

struct ring {
	uint32_t req_prod, req_cons, req_event;
	uint32_t rsp_prod, rsp_pvt, rsp_event;
};

static int own_debugfs(void)
{
	FM_AUTO_CLOSE int fs = fsopen("debugfs", FSOPEN_CLOEXEC);

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

struct netback *netback_open(void)
{
	struct netback *netback = malloc(sizeof(*netback));

	if (!netback)
		return NULL;
	netback->root = open("/sys/kernel/debug", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (netback->root >= 0 && faccessat(netback->root, "xen-netback", F_OK, 0) < 0) { /* not mounted there */
		close(netback->root);
		netback->root = -1;
	}
	if (netback->root < 0)
		netback->root = own_debugfs();
	if (netback->root < 0) {
		free(netback);
		return NULL;
	}
	return netback;
}

void netback_close(struct netback *netback)
{
	if (!netback)
		return;
	close(netback->root);
	free(netback);
}

static int parse_ring(const char *text, const char *name, struct ring *ring)
{
	const char *at = strstr(text, name);

	return at && sscanf(at + strlen(name),
			    " nr_ents %*u req prod %" SCNu32 " (%*d) cons %" SCNu32 " (%*d) event %" SCNu32 " (%*d)"
			    " rsp prod %" SCNu32 " (base) pvt %" SCNu32 " (%*d) event %" SCNu32,
			    &ring->req_prod, &ring->req_cons, &ring->req_event, &ring->rsp_prod, &ring->rsp_pvt,
			    &ring->rsp_event) == 6 ? 0 : -1;
}

int netback_parse(const char *text, struct netback_state *state)
{
	const char *sending = strstr(text, "TX queue len "), *waiting = strstr(text, "Rx internal queue: len ");
	unsigned to_send, to_give;
	struct ring tx, rx;

	if (parse_ring(text, "TX:", &tx) < 0 || parse_ring(text, "RX:", &rx) < 0 || !sending || !waiting ||
	    sscanf(sending, "TX queue len %u", &to_send) != 1 ||
	    sscanf(waiting, "Rx internal queue: len %u", &to_give) != 1)
		return -1;
	state->taken = state->taken && to_send == 0 && tx.req_cons == tx.req_prod && tx.req_event == tx.req_prod + 1;
	state->given = state->given && to_give == 0 && rx.rsp_pvt == rx.rsp_prod && rx.rsp_event == rx.rsp_prod + 1;
	return 0;
}

/* A file of the kernel's makes its text anew for each open. */
static int look_at(int dir, const char *name, struct netback_state *state)
{
	FM_AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char text[FILE_MAX];
	size_t used = 0;
	ssize_t n;

	while (fd >= 0 && (n = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	text[used] = '\0';
	return netback_parse(text, state);
}

int netback_look(struct netback *netback, const char *vif, struct netback_state *state_r)
{
	FM_AUTO_FREE char *path = fm_format("xen-netback/%s", vif);
	int dir = path ? openat(netback->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	DIR *list = dir >= 0 ? fdopendir(dir) : NULL;
	struct dirent *entry;
	int queues = 0, r = 0;

	*state_r = (struct netback_state){ true, true };
	while (r == 0 && list && (entry = readdir(list))) {
		if (strncmp(entry->d_name, "io_ring_q", strlen("io_ring_q")) != 0)
			continue;
		queues++;
		r = look_at(dir, entry->d_name, state_r);
	}
	if (list)
		closedir(list);
	else if (dir >= 0)
		close(dir);
	return queues > 0 ? r : -1;
}
