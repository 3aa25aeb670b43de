/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tap.c - capture devices (tap.h).
 */
#include "config.h"

#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "device.h"
#include "marker.h"

/* Frames the kernel queues for us; the default of some hundred overflows within milliseconds. */
#define TAP_QUEUE 16384

#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static int tun_open(const char *name, struct fm_error *err)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	FM_AUTO_CLOSE int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return fm_fail(err, errno == ENOENT || errno == ENODEV ? FM_INCOMPATIBLE : FM_FAILED,
			       "/dev/net/tun: %s (is the module tun loaded?)", strerror(errno));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return fm_fail(err, errno == EBUSY ? FM_BUSY : FM_FAILED, "device %s: %s%s", name,
			       strerror(errno), errno == EBUSY ? ": another agent is running" : "");
	return fm_steal_fd(&fd);
}

/* Little-endian headers, since they are stored; everything unfinished is let through. */
static int tun_configure(int fd)
{
	int size = GATE_VNET_SIZE, little = 1;
	unsigned offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 || ioctl(fd, TUNSETVNETLE, &little) < 0)
		return -1;
	if (ioctl(fd, TUNSETOFFLOAD, offload | TUN_F_USO4 | TUN_F_USO6) == 0)
		return 0;
	return ioctl(fd, TUNSETOFFLOAD, offload);
}

/* No router solicitations and the like from the capture device. A kernel without IPv6 has no such file. */
static void ipv6_disable(const char *name)
{
	char path[80];
	FM_AUTO_CLOSE int fd = -1;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1", 1) < 0)
		return; /* the classifier on the device throws such frames away all the same */
}

int tap_open(struct tap *tap, const char *name, struct fm_error *err)
{
	snprintf(tap->name, sizeof(tap->name), "%s", name);
	tap->fd = tun_open(name, err);
	if (tap->fd < 0)
		return -1;
	ipv6_disable(name);
	if (tun_configure(tap->fd) < 0 || device_up(name, TAP_QUEUE) < 0 ||
	    (tap->ifindex = if_nametoindex(name)) == 0) {
		fm_fail(err, FM_FAILED, "device %s: %s", name, strerror(errno));
		tap_close(tap);
		return -1;
	}
	return 0;
}

void tap_close(struct tap *tap)
{
	if (tap->fd >= 0)
		close(tap->fd);
	tap->fd = -1;
}

int tap_remove(const char *name, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = tun_open(name, err);

	if (fd < 0)
		return -1;
	if (ioctl(fd, TUNSETPERSIST, 0) < 0)
		return fm_fail(err, FM_FAILED, "device %s: %s", name, strerror(errno));
	return 0; /* goes with fd */
}

enum tap_got tap_read(struct tap *tap, struct gate_queue *queue,
		      void (*on_marker)(void *arg, const void *frame, size_t size), void *arg)
{
	static uint8_t data[2 * GATE_FRAME_MAX]; /* the loop's thread is the only one here */
	uint8_t vnet[GATE_VNET_SIZE];
	struct iovec iov[] = { { vnet, sizeof(vnet) }, { data, sizeof(data) } };
	ssize_t n = readv(tap->fd, iov, 2);

	if (n < 0)
		return TAP_EMPTY;
	if (n < GATE_VNET_SIZE)
		return TAP_LOST;
	if (on_marker && gate_marker_is(data, (size_t)n - GATE_VNET_SIZE)) {
		on_marker(arg, data, (size_t)n - GATE_VNET_SIZE);
		return TAP_MARKER;
	}
	return gate_queue_push(queue, vnet, data, (size_t)n - GATE_VNET_SIZE) < 0 ? TAP_LOST : TAP_FRAME;
}

int tap_write(struct tap *tap, const uint8_t vnet[GATE_VNET_SIZE], const void *data, size_t size)
{
	struct iovec iov[] = { { (void *)vnet, GATE_VNET_SIZE }, { (void *)data, size } };

	return writev(tap->fd, iov, 2) < 0 ? -1 : 0;
}
