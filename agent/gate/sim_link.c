/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim_link.c - a guest's end of the simulated network, see sim_net.h. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "driver.h"
#include "sim.h"
#include "sim_private.h"

#define READ_BATCH 512
#define RETRY_US 1000

static int path_to(const char *path, struct sockaddr_un *un_r)
{
	*un_r = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(un_r->sun_path))
		return -1;
	strcpy(un_r->sun_path, path);
	return 0;
}

static bool transmit(struct sim_link *link, const void *frame, size_t size)
{
	struct sockaddr_un un;

	/* no room, or not connected to us yet: later */
	return path_to(link->guest_path, &un) == 0 &&
	       sendto(link->fd, frame, size, MSG_DONTWAIT, (struct sockaddr *)&un, sizeof(un)) >= 0;
}

static bool flush(struct sim_link *link)
{
	while (link->waiting.head && transmit(link, link->waiting.head->data, link->waiting.head->size))
		gate_queue_pop(&link->waiting);
	return link->waiting.head == NULL;
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct sim_link *link = arg;
	struct timeval tv = { .tv_usec = RETRY_US };

	if (!flush(link))
		event_add(link->retry, &tv);
}

bool sim_link_offer(struct sim_link *link, const void *frame, size_t size)
{
	return flush(link) && transmit(link, frame, size);
}

void sim_link_deliver(struct sim_link *link, const void *frame, size_t size)
{
	static const uint8_t vnet[GATE_VNET_SIZE];
	struct timeval tv = { .tv_usec = RETRY_US };

	if (sim_link_offer(link, frame, size))
		return;
	gate_queue_push(&link->waiting, vnet, frame, size);
	event_add(link->retry, &tv);
}

void sim_link_take_back(struct sim_link *link, struct gate_queue *queue)
{
	gate_queue_append(queue, &link->waiting);
}

void sim_link_read(struct sim_link *link)
{
	uint8_t frame[2048];

	for (unsigned i = 0; i < READ_BATCH; i++) {
		ssize_t n = recv(link->fd, frame, sizeof(frame), MSG_DONTWAIT);

		if (n < 0)
			break;
		if (n >= GATE_FRAME_MIN)
			gate_sim_send(link->gate, GATE_OUT, frame, (size_t)n);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	sim_link_read(arg);
}

static int read_mac(struct sim_link *link, bool *found_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s.mac", link->net->dir, link->gate->vif);
	FM_AUTO_FREE char *text = path ? fm_file_read(path, 64, NULL, err) : NULL;
	uint8_t *m = link->mac;

	*found_r = text != NULL;
	if (!text)
		return path && err->code == FM_NOT_FOUND ? 0 : -1;
	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != 6)
		return fm_fail(err, FM_CORRUPT, "%s: no MAC address", path);
	return 0;
}

static int connect_guest(struct sim_link *link, struct fm_error *err)
{
	struct sockaddr_un un;

	link->guest_path = fm_format("%s/%s.guest", link->net->dir, link->gate->vif);
	link->gate_path = fm_format("%s/%s.gate", link->net->dir, link->gate->vif);
	if (!link->guest_path || !link->gate_path || path_to(link->gate_path, &un) < 0)
		return fm_fail(err, FM_FAILED, "no memory, or too long a path for a socket");
	unlink(link->gate_path); /* an earlier agent's */
	link->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (link->fd < 0 || bind(link->fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", link->gate_path, strerror(errno));
	link->readable = event_new(link->net->base, link->fd, EV_READ | EV_PERSIST, on_readable, link);
	link->retry = evtimer_new(link->net->base, on_retry, link);
	if (!link->readable || !link->retry || event_add(link->readable, NULL) < 0)
		return fm_fail(err, FM_FAILED, "no memory");
	return 0;
}

int sim_link_open(struct sim_net *net, struct gate *gate, struct sim_link **link_r, struct fm_error *err)
{
	struct sim_link *link = calloc(1, sizeof(*link));
	bool found;

	*link_r = NULL;
	if (!link)
		return fm_fail(err, FM_FAILED, "no memory");
	*link = (struct sim_link){ .net = net, .gate = gate, .fd = -1, .next = net->links };
	net->links = link;
	gate_queue_init(&link->waiting);
	if (read_mac(link, &found, err) < 0 || (found && connect_guest(link, err) < 0)) {
		sim_link_close(link);
		return -1;
	}
	if (found)
		*link_r = link;
	else
		sim_link_close(link);
	return 0;
}

void sim_link_close(struct sim_link *link)
{
	for (struct sim_link **at = &link->net->links; *at; at = &(*at)->next) {
		if (*at == link) {
			*at = link->next;
			break;
		}
	}
	flush(link);
	gate_queue_clear(&link->waiting);
	if (link->readable)
		event_free(link->readable);
	if (link->retry)
		event_free(link->retry);
	if (link->fd >= 0) {
		close(link->fd);
		unlink(link->gate_path);
	}
	free(link->guest_path);
	free(link->gate_path);
	free(link);
}
