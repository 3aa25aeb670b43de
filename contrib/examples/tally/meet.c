/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * meet.c - one connection with every other rank: the lower one listens, the higher
 * one connects, in the order of ranks, so that none waits for one that waits for
 * it. Both say who they are and what their interface's address is. Blocking, with
 * an end.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tally.h"

#define RETRY_MS 100

struct hello {
	uint32_t magic;
	uint16_t rank, ranks;
	uint8_t mac[6], unused[2];
};
#define HELLO_MAGIC 0x54614869u

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void resolve(struct tally *t, unsigned rank)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *found;
	int r = getaddrinfo(t->options.host[rank], NULL, &hints, &found);

	if (r)
		die("host %s: %s", t->options.host[rank], gai_strerror(r));
	t->peer[rank].ip = ((struct sockaddr_in *)found->ai_addr)->sin_addr;
	freeaddrinfo(found);
}

static void set_patience(int fd, double left)
{
	struct timeval tv = { .tv_sec = (time_t)left + 1 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static bool exchange(struct tally *t, int fd, struct hello *theirs)
{
	struct hello ours = { .magic = htonl(HELLO_MAGIC), .rank = htons((uint16_t)t->options.rank),
			      .ranks = htons((uint16_t)t->options.ranks) };

	memcpy(ours.mac, t->mac, sizeof(ours.mac));
	return send(fd, &ours, sizeof(ours), MSG_NOSIGNAL) == sizeof(ours) &&
	       recv(fd, theirs, sizeof(*theirs), MSG_WAITALL) == sizeof(*theirs) && theirs->magic == ours.magic &&
	       theirs->ranks == ours.ranks;
}

static void keep(struct tally *t, unsigned rank, int fd, const struct hello *hello)
{
	struct peer *peer = &t->peer[rank];

	memcpy(peer->mac, hello->mac, sizeof(peer->mac));
	if (stream_start(&peer->stream, fd) < 0)
		die("connection with rank %u: %s", rank, strerror(errno));
}

static int connect_once(struct tally *t, unsigned rank, double until)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(t->options.port), .sin_addr = t->peer[rank].ip };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket: %s", strerror(errno));
	set_patience(fd, until - seconds());
	if (connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void call(struct tally *t, unsigned rank, double until)
{
	struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
	struct hello hello;
	int fd;

	while ((fd = connect_once(t, rank, until)) < 0) {
		if (seconds() > until)
			die("rank %u (%s) does not answer: %s", rank, t->options.host[rank], strerror(errno));
		nanosleep(&pause, NULL);
	}
	if (!exchange(t, fd, &hello) || ntohs(hello.rank) != rank)
		die("%s is not rank %u of %u", t->options.host[rank], rank, t->options.ranks);
	keep(t, rank, fd, &hello);
}

static int listener_open(const struct tally *t)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(t->options.port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		die("socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 || listen(fd, RANKS_MAX) < 0)
		die("TCP port %u: %s", t->options.port, strerror(errno));
	return fd;
}

/* Whoever it is that calls: a stranger is sent away. */
static void answer_one(struct tally *t, int listener, double until)
{
	struct hello hello;
	unsigned rank;
	int fd;

	set_patience(listener, until - seconds());
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0) {
		if (seconds() > until)
			die("not all higher ranks have called after %g s", t->options.wait);
		return;
	}
	set_patience(fd, until - seconds());
	if (!exchange(t, fd, &hello)) {
		close(fd);
		return;
	}
	rank = ntohs(hello.rank);
	if (rank <= t->options.rank || rank >= t->options.ranks || t->peer[rank].stream.fd >= 0)
		die("a call from a rank %u, which cannot be", rank);
	keep(t, rank, fd, &hello);
}

void meet(struct tally *t)
{
	double until = seconds() + t->options.wait;
	int listener = listener_open(t);

	for (unsigned rank = 0; rank < t->options.ranks; rank++) {
		t->peer[rank].stream.fd = -1;
		if (rank != t->options.rank)
			resolve(t, rank);
	}
	for (unsigned rank = 0; rank < t->options.rank; rank++)
		call(t, rank, until);
	for (unsigned rank = t->options.rank + 1; rank < t->options.ranks;) {
		answer_one(t, listener, until);
		for (rank = t->options.rank + 1; rank < t->options.ranks && t->peer[rank].stream.fd >= 0;)
			rank++;
	}
	close(listener);
}
