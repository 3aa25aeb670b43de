/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clock - sets a lab host's clock by the file server's, as NTP would on a site.
 *
 * The server's time is what it notes as the modification time of a file just written there.  Of several tries the
 * one with the shortest round trip counts; the clock is then moved by the difference in one step, so no moment
 * between reading and setting spoils it.  The emulated hardware's clock alone is off by up to a second.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define TRIES 10
#define BILLION 1000000000LL

static int64_t to_ns(struct timespec t)
{
	return t.tv_sec * BILLION + t.tv_nsec;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return to_ns(t);
}

/* One try: how far the server is ahead, and how long asking took. */
static int64_t ask(int fd, int64_t *round_trip)
{
	int64_t before = now_ns(), after;
	struct stat st;

	if (pwrite(fd, "x", 1, 0) != 1) {
		perror("clock: cannot write");
		exit(1);
	}
	after = now_ns();
	if (fstat(fd, &st) < 0) {
		perror("clock: fstat");
		exit(1);
	}
	*round_trip = after - before;
	return to_ns(st.st_mtim) - (before + after) / 2;
}

static int64_t offset_of_best(int fd, int64_t *best)
{
	int64_t offset = 0, round_trip;

	*best = INT64_MAX;
	for (int i = 0; i < TRIES; i++) {
		int64_t o = ask(fd, &round_trip);

		if (round_trip < *best) {
			*best = round_trip;
			offset = o;
		}
	}
	return offset;
}

int main(int argc, char **argv)
{
	struct timex step = { .modes = ADJ_SETOFFSET | ADJ_NANO };
	int query = argc == 3 && !strcmp(argv[1], "-q");
	int64_t offset, round_trip;
	int fd;

	if (argc != 2 && !query) {
		fprintf(stderr, "usage: clock [-q] FILE\nSets the clock by FILE's server; -q only tells the difference.\n");
		return 2;
	}
	fd = open(argv[argc - 1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		perror(argv[argc - 1]);
		return 1;
	}
	offset = offset_of_best(fd, &round_trip);
	unlink(argv[argc - 1]);
	/* tv_usec holds nanoseconds here, never negative */
	step.time.tv_sec = offset / BILLION - (offset % BILLION < 0);
	step.time.tv_usec = offset - step.time.tv_sec * BILLION;
	if (!query && adjtimex(&step) < 0) {
		perror("clock: adjtimex");
		return 1;
	}
	printf("%s by %+.3f ms (asking took %.3f ms)\n", query ? "off" : "set", offset / 1e6, round_trip / 1e6);
	return 0;
}
