/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gatebed.c - a gate on a bridge's port, see gatebed.h. */
#include "config.h"

#include "gatebed.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct gate_system *bed_system(struct event_base *base)
{
	struct fm_error err;
	struct gate_system *system = gate_system_create("bpf", base, &err);

	if (!system && (err.code == FM_INCOMPATIBLE || err.code == FM_DENIED)) {
		fprintf(stderr, "SKIPPED: %s\n", err.text);
		_exit(EXIT_SKIP);
	}
	CHECK(system, "gate_system_create: %s", err.text);
	return system;
}

struct gate *gate_on(struct gate_system *system, const char *vif)
{
	struct fm_error err;
	struct gate *gate = gate_create(system, vif, &err);

	if (!gate && err.code == FM_INCOMPATIBLE) {
		fprintf(stderr, "SKIPPED: %s\n", err.text);
		_exit(EXIT_SKIP);
	}
	CHECK(gate, "gate_create: %s", err.text);
	return gate;
}

void bed_up(struct bed *bed, const char *vif)
{
	struct fm_error err;

	bed->base = event_base_new();
	bed->system = bed_system(bed->base);
	CHECK(gate_system_recover(bed->system, &err) == 0, "%s", err.text);
	bed->gate = gate_on(bed->system, vif);
	bed_link_wait(bed->gate);
}

void bed_down(struct bed *bed)
{
	gate_system_destroy(bed->system);
	event_base_free(bed->base);
}

void bed_hold(struct gate *gate, bool in, unsigned ms)
{
	struct fm_error err;

	CHECK(gate_hold_out(gate, now_ns() + ms * MS, &err) == 0, "%s", err.text);
	if (in)
		CHECK(gate_hold_in(gate, now_ns() + ms * MS, &err) == 0, "%s", err.text);
}

void bed_flag(void *arg)
{
	*(bool *)arg = true;
}

void bed_release(struct bed *bed)
{
	struct gate_stats stats;
	struct fm_error err;
	uint64_t start = now_ns();
	bool done = false;

	gate_stats(bed->gate, &stats);
	CHECK(gate_release(bed->gate, bed_flag, &done, &err) == 0, "%s", err.text);
	loop_until(bed->base, &done);
	printf("    held out %lu in %lu frames, %lu kB; released in %.1f ms\n", (unsigned long)stats.held_out_frames,
	       (unsigned long)stats.held_in_frames,
	       (unsigned long)(stats.held_out_bytes + stats.held_in_bytes) / 1000, (double)(now_ns() - start) / 1e6);
	gate_stats(bed->gate, &stats);
	CHECK(stats.held_out_frames + stats.held_in_frames == 0, "frames still held after the release");
	CHECK(stats.dropped == 0, "%lu frames dropped", (unsigned long)stats.dropped);
}

uint64_t held_of_a(const struct gate *gate, enum gate_dir dir)
{
	static const uint8_t mac_a[6] = { 2, 0, 0, 0, 0, 0x0a };
	uint64_t n = 0;

	for (const struct gate_frame *f = gate->side[dir].queue.head; f; f = f->next)
		n += memcmp(f->data + 6, mac_a, sizeof(mac_a)) == 0 &&
		     ((f->data[12] == 8 && f->data[23] == IPPROTO_UDP) || f->data[12] == 0x88);
	return n;
}
