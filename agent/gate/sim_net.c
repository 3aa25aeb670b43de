/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim_net.c - see sim_net.h: the wires between agents; the guests' ends are in sim_link.c. */
#include "config.h"

#include "sim_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "driver.h"
#include "marker.h"
#include "sim.h"
#include "sim_private.h"

#define FILE_MAX_ ((size_t)64 << 10)
#define RECEIVE_BUFFER (32 << 20)
#define READ_BATCH 512
#define RETRY_MS 1

/* ---- what the file says ------------------------------------------------------------------ */

static int parse_address(const char *address, unsigned port, struct sockaddr_in *in_r)
{
	*in_r = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	return port < 65536 && inet_pton(AF_INET, address, &in_r->sin_addr) == 1 ? 0 : -1;
}

static struct sim_wire *wire_to(struct sim_net *net, const struct sockaddr_in *to)
{
	for (unsigned i = 0; i < net->wire_count; i++)
		if (net->wires[i].to.sin_addr.s_addr == to->sin_addr.s_addr && net->wires[i].to.sin_port == to->sin_port)
			return &net->wires[i];
	return NULL;
}

static void wire_due(evutil_socket_t fd, short what, void *arg);

static struct sim_wire *wire_new(struct sim_net *net, const struct sockaddr_in *to)
{
	struct sim_wire *wire;

	if (net->wire_count == SIM_WIRES_MAX)
		return NULL;
	wire = &net->wires[net->wire_count];
	*wire = (struct sim_wire){ .net = net, .to = *to };
	wire->tail = &wire->head;
	wire->timer = evtimer_new(net->base, wire_due, wire);
	if (!wire->timer)
		return NULL;
	net->wire_count++;
	return wire;
}

static int parse_peer(struct sim_net *net, char *options, const char *address, unsigned port)
{
	struct sockaddr_in to;
	struct sim_wire *wire;
	char *save = NULL;

	if (parse_address(address, port, &to) < 0)
		return -1;
	wire = wire_to(net, &to);
	if (!wire)
		wire = wire_new(net, &to);
	if (!wire)
		return -1;
	wire->delay_ms = 0;
	wire->drop_markers = wire->drop_all = false;
	for (char *o = strtok_r(options, " ", &save); o; o = strtok_r(NULL, " ", &save)) {
		if (strcmp(o, "drop=markers") == 0)
			wire->drop_markers = true;
		else if (strcmp(o, "drop=all") == 0)
			wire->drop_all = true;
		else if (sscanf(o, "delay=%u", &wire->delay_ms) != 1)
			return -1;
	}
	return 0;
}

static int parse(struct sim_net *net, char *text, struct fm_error *err)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char address[32];
		unsigned port;
		int n = 0;

		if (sscanf(line, "listen %31s %u", address, &port) == 2) {
			if (parse_address(address, port, &net->listen) == 0)
				continue;
		} else if (sscanf(line, "peer %31s %u%n", address, &port, &n) == 2) {
			if (parse_peer(net, line + n, address, port) == 0)
				continue;
		}
		return fm_fail(err, FM_USAGE, "%s: \"%s\" is not understood", net->path, line);
	}
	return 0;
}

/* Read the file if it is not the one we know. */
static int look(struct sim_net *net, struct fm_error *err)
{
	FM_AUTO_FREE char *text = NULL;
	struct stat st;

	if (stat(net->path, &st) < 0)
		return fm_fail(err, FM_USAGE, "%s: %s", net->path, strerror(errno));
	if (st.st_ino == net->ino && st.st_mtim.tv_nsec == net->mtime.tv_nsec && st.st_mtim.tv_sec == net->mtime.tv_sec)
		return 0;
	text = fm_file_read(net->path, FILE_MAX_, NULL, err);
	if (!text || parse(net, text, err) < 0)
		return -1;
	net->ino = st.st_ino;
	net->mtime = st.st_mtim;
	return 0;
}

/* ---- wires ------------------------------------------------------------------------------- */

static bool transmit(struct sim_wire *wire, const void *frame, size_t size)
{
	return sendto(wire->net->fd, frame, size, MSG_DONTWAIT, (const struct sockaddr *)&wire->to, sizeof(wire->to)) >= 0 ||
	       (errno != EAGAIN && errno != ENOBUFS); /* nobody there: lost, as on a wire */
}

static void wire_arm(struct sim_wire *wire, uint64_t now)
{
	uint64_t left;
	struct timeval tv;

	if (!wire->head)
		return;
	left = wire->head->due_ns > now ? wire->head->due_ns - now : RETRY_MS * 1000000u;
	tv = (struct timeval){ .tv_sec = (time_t)(left / 1000000000u), .tv_usec = (suseconds_t)(left % 1000000000u / 1000) };
	event_add(wire->timer, &tv);
}

static void wire_due(evutil_socket_t fd, short what, void *arg)
{
	struct sim_wire *wire = arg;
	uint64_t now = gate_now_ns();

	while (wire->head && wire->head->due_ns <= now + 500000u) {
		struct sim_flying *f = wire->head;

		if (!transmit(wire, f->frame, f->size))
			break;
		wire->head = f->next;
		if (!wire->head)
			wire->tail = &wire->head;
		free(f);
	}
	wire_arm(wire, now);
}

static void wire_send(struct sim_wire *wire, const void *frame, size_t size)
{
	uint64_t now = gate_now_ns();
	struct sim_flying *f;
	bool first = !wire->head;

	if (wire->drop_all || (wire->drop_markers && gate_marker_is(frame, size)))
		return;
	if (first && wire->delay_ms == 0 && transmit(wire, frame, size))
		return;
	f = malloc(sizeof(*f) + size);
	if (!f)
		return;
	f->next = NULL;
	f->due_ns = now + wire->delay_ms * 1000000ull;
	if (f->due_ns < wire->last_due_ns)
		f->due_ns = wire->last_due_ns;
	wire->last_due_ns = f->due_ns;
	f->size = size;
	memcpy(f->frame, frame, size);
	*wire->tail = f;
	wire->tail = &f->next;
	if (first)
		wire_arm(wire, now);
}

/* To the guests of this node; false when none has that address. */
static bool switch_frame(struct sim_net *net, const void *frame, size_t size)
{
	for (struct sim_link *link = net->links; link; link = link->next) {
		if (memcmp(frame, link->mac, sizeof(link->mac)) == 0) {
			gate_sim_send(link->gate, GATE_IN, frame, size);
			return true;
		}
	}
	return false;
}

void sim_link_send(struct sim_link *link, const void *frame, size_t size)
{
	struct sim_net *net = link->net;
	struct fm_error ignored; /* a test's mistake: the paths stay as they were */

	if (switch_frame(net, frame, size))
		return;
	if (look(net, &ignored) < 0 && !net->complained) {
		fm_err("simulated network: %s", ignored.text);
		net->complained = true;
	}
	for (unsigned i = 0; i < net->wire_count; i++)
		wire_send(&net->wires[i], frame, size);
}

void sim_net_read(struct sim_net *net)
{
	static uint8_t frame[GATE_FRAME_MAX];

	for (unsigned i = 0; i < READ_BATCH; i++) {
		ssize_t n = recv(net->fd, frame, sizeof(frame), MSG_DONTWAIT);

		if (n < 0)
			break;
		if (n >= GATE_FRAME_MIN)
			switch_frame(net, frame, (size_t)n);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	sim_net_read(arg);
}

static int net_listen(struct sim_net *net, struct fm_error *err)
{
	int size = RECEIVE_BUFFER;

	net->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (net->fd < 0 || bind(net->fd, (struct sockaddr *)&net->listen, sizeof(net->listen)) < 0)
		return fm_fail(err, FM_FAILED, "%s: listen: %s", net->path, strerror(errno));
	if (setsockopt(net->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		return fm_fail(err, FM_FAILED, "%s: receive buffer: %s", net->path, strerror(errno));
	net->readable = event_new(net->base, net->fd, EV_READ | EV_PERSIST, on_readable, net);
	if (!net->readable || event_add(net->readable, NULL) < 0)
		return fm_fail(err, FM_FAILED, "no memory");
	return 0;
}

struct sim_net *sim_net_create(const char *dir, struct event_base *base, struct fm_error *err)
{
	struct sim_net *net = calloc(1, sizeof(*net));

	if (net) {
		net->fd = -1;
		net->base = base;
		net->dir = strdup(dir);
		net->path = fm_format("%s/network", dir);
	}
	if (net && net->dir && net->path) {
		if (look(net, err) == 0 && net_listen(net, err) == 0)
			return net;
	} else {
		fm_fail(err, FM_FAILED, "no memory");
	}
	sim_net_destroy(net);
	return NULL;
}

void sim_net_destroy(struct sim_net *net)
{
	if (!net)
		return;
	for (unsigned i = 0; i < net->wire_count; i++) {
		struct sim_wire *wire = &net->wires[i];

		event_free(wire->timer);
		while (wire->head) {
			struct sim_flying *f = wire->head;

			wire->head = f->next;
			free(f);
		}
	}
	if (net->readable)
		event_free(net->readable);
	if (net->fd >= 0)
		close(net->fd);
	free(net->dir);
	free(net->path);
	free(net);
}
