/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate_try.c - drives the eBPF gate by hand, without an agent.
 *
 * Usage: gate_try VIF… -- WORD…
 *
 *	out, in      hold all vifs, for 10 min at most
 *	close        both, without a lease, as before a restored guest runs
 *	wait MS      run the loop so long
 *	go           run the loop until a line comes on stdin
 *	mark MAC     markers from each vif to each other, until all have come; MAC is the first one's guest's, the others' follow
 *	drain        read out, print what is held
 *	save PREFIX  write PREFIX.0, PREFIX.1, …
 *	load PREFIX  read them
 *	ready        until all links are ready; says how long that took
 *	release      and wait until all is given back
 *	leave        exit at once, as an agent that dies
 *
 * Exit 1 when a call failed, a frame was dropped or a hold was broken.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/gate/gate.h"
#include "common/io.h"

#define VIFS_MAX 16
#define LEASE_NS (600 * 1000000000ull)
#define FILE_MAX (128u << 20)

static struct event_base *base;
static struct gate *gates[VIFS_MAX];
static char **names;
static int vifs, bad;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double ms_since(uint64_t start)
{
	return (double)(now_ns() - start) / 1e6;
}

static void loop_ms(unsigned ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	event_base_loopexit(base, &tv);
	event_base_dispatch(base);
}

static void check(int r, const struct fm_error *err)
{
	if (r >= 0)
		return;
	fprintf(stderr, "gate_try: %s\n", err->text);
	exit(1);
}

static void shut(const char *word)
{
	uint64_t deadline = now_ns() + LEASE_NS, start = now_ns();
	struct fm_error err;

	for (int i = 0; i < vifs; i++) {
		if (strcmp(word, "out") == 0)
			check(gate_hold_out(gates[i], deadline, &err), &err);
		else if (strcmp(word, "in") == 0)
			check(gate_hold_in(gates[i], deadline, &err), &err);
		else
			check(gate_close(gates[i], &err), &err);
	}
	printf("%s: %.2f ms\n", word, ms_since(start));
}

static void line_came(evutil_socket_t fd, short what, void *arg)
{
	char c;

	if (read(fd, &c, 1) <= 0 || c == '\n')
		event_base_loopbreak(base);
}

static void go(void)
{
	struct event *event = event_new(base, 0, EV_READ | EV_PERSIST, line_came, NULL);

	event_add(event, NULL);
	event_base_dispatch(base);
	event_free(event);
}

static void stats_print(void)
{
	for (int i = 0; i < vifs; i++) {
		struct gate_stats s;

		gate_stats(gates[i], &s);
		printf("%s: held out %lu in %lu frames, %lu bytes; given back %lu, dropped %lu%s\n", names[i],
		       (unsigned long)s.held_out_frames, (unsigned long)s.held_in_frames,
		       (unsigned long)(s.held_out_bytes + s.held_in_bytes), (unsigned long)s.reinjected,
		       (unsigned long)s.dropped, gate_expired(gates[i]) ? "; EXPIRED" : "");
		bad |= s.dropped > 0 || gate_expired(gates[i]);
	}
}

static void drain(void)
{
	uint64_t start = now_ns();
	struct fm_error err;

	for (int i = 0; i < vifs; i++)
		check(gate_drain(gates[i], &err), &err);
	printf("drain: %.2f ms\n", ms_since(start));
	stats_print();
}

static unsigned marked; /* how many markers have come */

static void marker_came(const void *payload, size_t size, uint64_t at_ns, void *arg)
{
	int from = size == 2 ? ((const uint8_t *)payload)[0] : vifs, to = size == 2 ? ((const uint8_t *)payload)[1] : vifs;

	if (from >= vifs || to >= vifs || arg != gates[to]) {
		fprintf(stderr, "gate_try: a marker that nobody sent here\n");
		exit(1);
	}
	marked++;
}

static void mark(const char *mac)
{
	uint64_t start = now_ns();
	uint8_t macs[VIFS_MAX][6];
	struct fm_error err;

	marked = 0;
	for (int i = 0; i < vifs; i++) {
		uint8_t *m = macs[i];

		if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", m, m + 1, m + 2, m + 3, m + 4, m + 5) != 6) {
			fprintf(stderr, "gate_try: '%s' is no MAC address\n", mac);
			exit(2);
		}
		m[5] = (uint8_t)(m[5] + i);
		gate_on_marker(gates[i], marker_came, gates[i]);
	}
	for (int i = 0; i < vifs; i++)
		for (int j = 0; j < vifs; j++)
			if (j != i)
				check(gate_send_marker(gates[i], macs[i], macs[j], (uint8_t[]){ (uint8_t)i, (uint8_t)j }, 2,
						       &err), &err);
	while (marked < (unsigned)(vifs * (vifs - 1))) {
		if (ms_since(start) > 10000) {
			fprintf(stderr, "gate_try: %u markers came in 10 s\n", marked);
			exit(1);
		}
		loop_ms(1);
	}
	printf("mark: %u markers in %.2f ms\n", marked, ms_since(start));
}

static void file_move(const char *prefix, bool save)
{
	for (int i = 0; i < vifs; i++) {
		struct fm_error err;
		char *path = fm_format("%s.%d", prefix, i);
		void *data = NULL;
		size_t size;

		if (save) {
			check(gate_export(gates[i], &data, &size, &err), &err);
			check(fm_file_write(path, 0600, data, size, &err), &err);
		} else {
			data = fm_file_read(path, FILE_MAX, &size, &err);
			check(data ? 0 : -1, &err);
			check(gate_import(gates[i], data, size, &err), &err);
		}
		free(path);
		free(data);
	}
}

static void ready(void)
{
	uint64_t start = now_ns();

	for (int i = 0; i < vifs; i++) {
		while (!gate_link_ready(gates[i])) {
			if (ms_since(start) > 60000) {
				fprintf(stderr, "gate_try: %s: the link does not come up\n", names[i]);
				exit(1);
			}
			loop_ms(2);
		}
		printf("%s: link ready after %.0f ms\n", names[i], ms_since(start));
	}
}

static void released(void *arg)
{
	++*(int *)arg;
}

static void release(void)
{
	uint64_t start = now_ns();
	struct fm_error err;
	int done = 0;

	for (int i = 0; i < vifs; i++)
		check(gate_release(gates[i], released, &done, &err), &err);
	while (done < vifs)
		loop_ms(1);
	printf("release: %.1f ms\n", ms_since(start));
	stats_print();
}

/* One word and its argument; how many words that was. */
static int run(char **words)
{
	const char *word = words[0];

	if (strcmp(word, "out") == 0 || strcmp(word, "in") == 0 || strcmp(word, "close") == 0)
		shut(word);
	else if (strcmp(word, "go") == 0)
		go();
	else if (strcmp(word, "drain") == 0)
		drain();
	else if (strcmp(word, "ready") == 0)
		ready();
	else if (strcmp(word, "release") == 0)
		release();
	else if (strcmp(word, "leave") == 0)
		_exit(bad);
	else if (strcmp(word, "mark") == 0 && words[1])
		return mark(words[1]), 2;
	else if (strcmp(word, "wait") == 0 && words[1])
		return loop_ms((unsigned)atoi(words[1])), 2;
	else if ((strcmp(word, "save") == 0 || strcmp(word, "load") == 0) && words[1])
		return file_move(words[1], word[0] == 's'), 2;
	else {
		fprintf(stderr, "gate_try: '%s' is not understood\n", word);
		exit(2);
	}
	return 1;
}

int main(int argc, char **argv)
{
	struct gate_system *system;
	struct fm_error err;
	char **words;

	names = argv + 1;
	while (vifs < VIFS_MAX && names[vifs] && strcmp(names[vifs], "--") != 0)
		vifs++;
	if (vifs == 0 || argc < vifs + 3) {
		fprintf(stderr, "usage: gate_try VIF... -- WORD... (words: see the head of gate_try.c)\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	base = event_base_new();
	system = gate_system_create("bpf", base, &err);
	check(system ? gate_system_recover(system, &err) : -1, &err);
	for (int i = 0; i < vifs; i++) {
		gates[i] = gate_create(system, names[i], &err);
		check(gates[i] ? 0 : -1, &err);
	}
	for (words = names + vifs + 1; *words;)
		words += run(words);
	gate_system_destroy(system);
	event_base_free(base);
	return bad;
}
