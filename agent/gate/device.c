/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device.c - settings and state of a network device (device.h), by ioctl, rtnetlink and sysfs.
 */
#include "config.h"

#include "device.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "common/cleanup.h"

int device_up(const char *name, int queue)
{
	struct ifreq ifr = { 0 };
	FM_AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ifr.ifr_qlen = queue;
	if (ioctl(fd, SIOCSIFTXQLEN, &ifr) < 0)
		return -1;
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return -1;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &ifr);
}

struct qdisc_request {
	struct nlmsghdr header;
	struct tcmsg tc;
	struct nlattr kind;
	char kind_text[8];
	struct nlattr options;
	struct tc_fifo_qopt fifo;
};

int device_fifo(unsigned ifindex, unsigned frames)
{
	struct qdisc_request request = {
		.header = { sizeof(request), RTM_NEWQDISC,
			    NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, 1, 0 },
		.tc = { .tcm_family = AF_UNSPEC, .tcm_ifindex = (int)ifindex, .tcm_parent = TC_H_ROOT },
		.kind = { NLA_HDRLEN + sizeof(request.kind_text), TCA_KIND },
		.kind_text = "pfifo",
		.options = { NLA_HDRLEN + sizeof(request.fifo), TCA_OPTIONS },
		.fifo = { .limit = frames },
	};
	union {
		struct nlmsghdr header;
		char bytes[1024];
	} reply;
	const struct nlmsgerr *answer;
	FM_AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t n;

	if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0)
		return -1;
	n = recv(fd, &reply, sizeof(reply), 0);
	if (n < 0)
		return -1;
	if ((size_t)n < NLMSG_LENGTH(sizeof(*answer)) || reply.header.nlmsg_type != NLMSG_ERROR) {
		errno = EPROTO;
		return -1;
	}
	answer = NLMSG_DATA(&reply.header);
	errno = -answer->error;
	return answer->error ? -1 : 0;
}

/* One word of a file in sysfs; false when there is no such file or it cannot be read. */
static bool sysfs_word(const char *path, char word_r[32])
{
	FILE *file = fopen(path, "re");
	bool ok = file && fscanf(file, "%31s", word_r) == 1;

	if (file)
		fclose(file);
	return ok;
}

/* netback says Connected after the guest's netfront did. Devices of another kind have no such file. */
static bool backend_connected(const char *vif)
{
	unsigned domid, devid;
	char path[96], word[32], end;

	if (sscanf(vif, "vif%u.%u%c", &domid, &devid, &end) != 2)
		return true;
	snprintf(path, sizeof(path), "/sys/bus/xen-backend/devices/vif-%u-%u/state", domid, devid);
	return !sysfs_word(path, word) || strcmp(word, "Connected") == 0;
}

bool device_link_ready(const char *vif)
{
	char path[96], word[32];

	snprintf(path, sizeof(path), "/sys/class/net/%s/carrier", vif);
	if (!sysfs_word(path, word) || strcmp(word, "1") != 0)
		return false;
	/* BR_STATE_FORWARDING; a device that is no bridge port has no such file. */
	snprintf(path, sizeof(path), "/sys/class/net/%s/brport/state", vif);
	if (sysfs_word(path, word) && strcmp(word, "3") != 0)
		return false;
	return backend_connected(vif);
}
