/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate_hold.c - holds network devices as a cut does, without an agent: for trying a gate by hand.
 *
 * Usage: gate_hold TIMES HELD_MS PAUSE_MS VIF…
 * Each time: all out, 20 ms for what is under way, all in, held, released. One
 * line a device and time; exit 1 when a frame was dropped or a hold was broken.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "agent/gate/gate.h"

#define VIFS_MAX 16
#define FLUSH_MS 20

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void loop_ms(struct event_base *base, unsigned ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	event_base_loopexit(base, &tv);
	event_base_dispatch(base);
}

static void check(int r, const struct fm_error *err)
{
	if (r >= 0)
		return;
	fprintf(stderr, "gate_hold: %s\n", err->text);
	exit(1);
}

static void released(void *arg)
{
	++*(int *)arg;
}

/* One cut of all; 1 when it was not clean. */
static int cut(struct event_base *base, struct gate **gates, char **names, int n, unsigned held_ms)
{
	uint64_t deadline = now_ns() + (held_ms + 3000) * 1000000ull, start, called;
	struct gate_stats stats[VIFS_MAX];
	bool expired[VIFS_MAX];
	struct fm_error err;
	int done = 0, bad = 0;

	start = now_ns();
	for (int i = 0; i < n; i++)
		check(gate_hold_out(gates[i], deadline, &err), &err);
	called = now_ns() - start;
	loop_ms(base, FLUSH_MS);
	for (int i = 0; i < n; i++)
		check(gate_hold_in(gates[i], deadline, &err), &err);
	loop_ms(base, held_ms);
	for (int i = 0; i < n; i++) {
		check(gate_drain(gates[i], &err), &err);
		gate_stats(gates[i], &stats[i]);
		expired[i] = gate_expired(gates[i]);
	}
	start = now_ns();
	for (int i = 0; i < n; i++)
		check(gate_release(gates[i], released, &done, &err), &err);
	while (done < n)
		loop_ms(base, 1);
	for (int i = 0; i < n; i++) {
		struct gate_stats after;

		gate_stats(gates[i], &after);
		printf("%s: held out %lu in %lu frames, %lu bytes; shut in %.2f ms, all released in %.1f ms; dropped %lu%s\n",
		       names[i], (unsigned long)stats[i].held_out_frames, (unsigned long)stats[i].held_in_frames,
		       (unsigned long)(stats[i].held_out_bytes + stats[i].held_in_bytes), (double)called / 1e6,
		       (double)(now_ns() - start) / 1e6, (unsigned long)after.dropped, expired[i] ? "; EXPIRED" : "");
		bad |= after.dropped > 0 || expired[i];
	}
	fflush(stdout);
	return bad;
}

int main(int argc, char **argv)
{
	struct event_base *base = event_base_new();
	struct gate *gates[VIFS_MAX];
	struct gate_system *system;
	struct fm_error err;
	int n = argc - 4, bad = 0;

	if (n < 1 || n > VIFS_MAX) {
		fprintf(stderr, "usage: gate_hold TIMES HELD_MS PAUSE_MS VIF...\n");
		return 2;
	}
	system = gate_system_create("bpf", base, &err);
	check(system ? gate_system_recover(system, &err) : -1, &err);
	for (int i = 0; i < n; i++) {
		gates[i] = gate_create(system, argv[4 + i], &err);
		check(gates[i] ? 0 : -1, &err);
		printf("%s: link %s\n", argv[4 + i], gate_link_ready(gates[i]) ? "ready" : "not ready");
	}
	for (int times = atoi(argv[1]); times > 0; times--) {
		loop_ms(base, (unsigned)atoi(argv[3]));
		bad |= cut(base, gates, argv + 4, n, (unsigned)atoi(argv[2]));
	}
	gate_system_destroy(system);
	event_base_free(base);
	return bad;
}
