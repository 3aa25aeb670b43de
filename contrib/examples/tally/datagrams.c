/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * datagrams.c - the packet socket and the UDP socket: what is lost in the network
 * is lost for good here.
 *
 * A receiver that is not let run overflows its own socket. The kernel counts that
 * (what SO_RXQ_OVFL tells message by message is also in SO_MEMINFO), so that it is
 * not taken for the network's loss.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tally.h"

#define ROOM_WANTED (4 << 20)
#define FRAME_MAX 65536

static void receive_room(const struct tally *t, int fd)
{
	int room = t->options.receive_room ? t->options.receive_room : ROOM_WANTED;

	/* more than net.core.rmem_max needs CAP_NET_ADMIN; without it we get that much */
	if (t->options.receive_room || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
}

static void learn_interface(struct tally *t, int fd)
{
	struct ifreq ifr = { 0 };

	t->interface_index = if_nametoindex(t->options.interface);
	if (!t->interface_index)
		die("there is no interface %s", t->options.interface);
	strncpy(ifr.ifr_name, t->options.interface, sizeof(ifr.ifr_name) - 1);
	if (ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		die("%s has no address: %s", t->options.interface, strerror(errno));
	memcpy(t->mac, ifr.ifr_hwaddr.sa_data, sizeof(t->mac));
}

void datagrams_open(struct tally *t)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(t->options.port) };
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(TALLY_ETHERTYPE) };

	t->socket[UDP] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t->socket[UDP] < 0 || bind(t->socket[UDP], (struct sockaddr *)&in, sizeof(in)) < 0)
		die("UDP port %u: %s", t->options.port, strerror(errno));
	learn_interface(t, t->socket[UDP]);
	ll.sll_ifindex = (int)t->interface_index;
	t->socket[RAW] = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t->socket[RAW] < 0)
		die("packet socket: %s%s", strerror(errno), errno == EPERM ? " (the program needs cap_net_raw)" : "");
	if (bind(t->socket[RAW], (struct sockaddr *)&ll, sizeof(ll)) < 0)
		die("packet socket on %s: %s", t->options.interface, strerror(errno));
	for (int kind = 0; kind < DATAGRAMS; kind++)
		receive_room(t, t->socket[kind]);
}

bool datagram_send(struct tally *t, enum kind kind, unsigned to, const uint8_t *message)
{
	struct peer *peer = &t->peer[to];
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(t->options.port), .sin_addr = peer->ip };
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(TALLY_ETHERTYPE),
				  .sll_ifindex = (int)t->interface_index, .sll_halen = sizeof(peer->mac) };
	const struct sockaddr *address = kind == UDP ? (struct sockaddr *)&in : (struct sockaddr *)&ll;

	memcpy(ll.sll_addr, peer->mac, sizeof(peer->mac));
	return sendto(t->socket[kind], message, t->options.size, 0, address, kind == UDP ? sizeof(in) : sizeof(ll)) ==
	       (ssize_t)t->options.size;
}

void datagrams_receive(struct tally *t, enum kind kind)
{
	static uint8_t frame[FRAME_MAX];
	ssize_t n;

	while ((n = recv(t->socket[kind], frame, sizeof(frame), 0)) >= 0)
		take(t, kind, frame, (unsigned)n);
}

uint32_t datagrams_dropped(const struct tally *t, enum kind kind)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t size = sizeof(info);

	if (getsockopt(t->socket[kind], SOL_SOCKET, SO_MEMINFO, info, &size) < 0)
		die("SO_MEMINFO: %s", strerror(errno));
	return info[SK_MEMINFO_DROPS];
}
