/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest_network.c - lo and the job's interface; see guest.h.
 *
 * After a restore the interface keeps its address; arp_notify makes the kernel
 * announce it when the link comes back, so that bridges and peers learn at once
 * where it is now.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/runner/guest.h"
#include "common/cleanup.h"
#include "common/io.h"

#define INTERFACE_WAIT_MS 30000
#define INTERFACE_POLL_MS 20

static int set_address(int fd, const char *interface, unsigned long request, struct in_addr address,
		       struct fm_error *err)
{
	struct ifreq ifr = { 0 };
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr = address };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface);
	memcpy(&ifr.ifr_addr, &sin, sizeof(sin));
	if (ioctl(fd, request, &ifr))
		return fm_fail(err, FM_FAILED, "%s: setting the address: %s", interface, strerror(errno));
	return 0;
}

static int set_up(int fd, const char *interface, struct fm_error *err)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface);
	if (!ioctl(fd, SIOCGIFFLAGS, &ifr)) {
		ifr.ifr_flags |= IFF_UP;
		if (!ioctl(fd, SIOCSIFFLAGS, &ifr))
			return 0;
	}
	return fm_fail(err, FM_FAILED, "%s: switching it on: %s", interface, strerror(errno));
}

/* The frontend appears a moment after its driver was loaded. */
static int wait_for(const char *interface, struct fm_error *err)
{
	struct timespec pause = { .tv_nsec = INTERFACE_POLL_MS * 1000000L };

	for (int waited = 0; waited < INTERFACE_WAIT_MS; waited += INTERFACE_POLL_MS) {
		if (if_nametoindex(interface))
			return 0;
		nanosleep(&pause, NULL);
	}
	return fm_fail(err, FM_TIMEOUT, "there is no interface %s after %d s", interface, INTERFACE_WAIT_MS / 1000);
}

static void announce(const char *interface)
{
	FM_AUTO_FREE char *path = fm_format("/proc/sys/net/ipv4/conf/%s/arp_notify", interface);
	FM_AUTO_CLOSE int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;

	if (fd >= 0 && write(fd, "1\n", 2) != 2)
		return; /* the peers' ARP then takes a moment longer */
}

int guest_network(const struct params *params, const char *interface, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct in_addr mask = { .s_addr = htonl(~(uint32_t)0 << (32 - params->prefix)) };

	if (fd < 0)
		return fm_fail(err, FM_FAILED, "socket: %s", strerror(errno));
	if (set_up(fd, "lo", err) || wait_for(interface, err))
		return -1;
	announce(interface);
	if (set_address(fd, interface, SIOCSIFADDR, params->ip, err) ||
	    set_address(fd, interface, SIOCSIFNETMASK, mask, err))
		return -1;
	return set_up(fd, interface, err);
}
