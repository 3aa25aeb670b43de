/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dirtier - a guest's program that writes to as many pages as it is told, and can tell whether each one is what it wrote.
 *
 * usage: dirtier MIB; then lines on stdin:
 *	touch N   write to N different pages        -> "touched N total T us U"
 *	run N     from now on N pages, again and again, each 50 ms (0: none)
 *	check     look at all of them               -> "good total T" or "BAD pages B total T"
 *
 * A page's words follow from its number and from how often it was written to; that is in a table elsewhere, and the
 * sum of the table in a variable: a page of any of the three that went back to what it was does not fit the others.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WORDS 512

static uint64_t (*page)[WORDS];
static uint32_t *times;
static size_t pages, next;
static uint64_t total;
static size_t running;

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	return x ^ (x >> 31);
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void put(size_t i)
{
	uint64_t base = mix(i << 32 | ++times[i]);

	total++;
	for (size_t w = 0; w < WORDS; w++)
		page[i][w] = w < WORDS / 4 ? base + w * w : base;
}

/* In an order that is not the memory's; each once, where the number of pages is no multiple of 3, 23 or 587. */
static void touch(size_t n)
{
	for (size_t k = 0; k < n && k < pages; k++)
		put(next = (next + 40503) % pages);
}

static void check(void)
{
	size_t bad = 0;
	uint64_t sum = 0;

	for (size_t i = 0; i < pages; i++) {
		uint64_t base = mix(i << 32 | times[i]);
		int wrong = 0;

		sum += times[i];
		for (size_t w = 0; w < WORDS; w++)
			wrong |= page[i][w] != (w < WORDS / 4 ? base + w * w : base);
		bad += wrong;
	}
	if (bad || sum != total)
		printf("BAD pages %zu total %llu sum %llu\n", bad, (unsigned long long)total, (unsigned long long)sum);
	else
		printf("good total %llu\n", (unsigned long long)total);
	fflush(stdout);
}

static void obey(const char *line)
{
	size_t n;

	if (sscanf(line, "touch %zu", &n) == 1) {
		int64_t begun = now_us();

		touch(n);
		printf("touched %zu total %llu us %lld\n", n, (unsigned long long)total, (long long)(now_us() - begun));
	} else if (sscanf(line, "run %zu", &n) == 1) {
		running = n;
		printf("running %zu\n", n);
	} else if (strncmp(line, "check", 5) == 0) {
		check();
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	char line[256];
	size_t used = 0;

	pages = (size_t)atoi(argc > 1 ? argv[1] : "16") * 256 + 1;
	page = calloc(pages, sizeof(*page));
	times = calloc(pages, sizeof(*times));
	if (!page || !times)
		return 1;
	for (size_t i = 0; i < pages; i++)
		put(i);
	printf("dirtier %zu\n", pages);
	fflush(stdout);
	for (;;) {
		if (poll(&in, 1, running ? 50 : -1) > 0) {
			ssize_t n = read(0, line + used, sizeof(line) - 1 - used);
			char *end;

			if (n <= 0) {
				sleep(1); /* a console that is made anew */
				continue;
			}
			used += (size_t)n;
			line[used] = '\0';
			while ((end = strchr(line, '\n'))) {
				*end = '\0';
				obey(line);
				used -= (size_t)(end + 1 - line);
				memmove(line, end + 1, used + 1);
			}
			if (used == sizeof(line) - 1)
				used = 0;
		}
		touch(running);
	}
}
