/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate_test.c - the gate's states, order and stored frames, on the sim driver.
 *
 * Promises: each direction keeps its order across a hold, frames that arrive
 * during the release too; a hold that lasted too long is told and opens by
 * itself; damaged bytes are refused, whichever byte it is; a marker arrives
 * whatever the gate's state, and is neither a frame held nor one for a guest.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/gate/driver.h"
#include "agent/gate/gate.h"
#include "agent/gate/marker.h"
#include "agent/gate/queue.h"
#include "agent/gate/sim.h"

#define MS 1000000ull
#define LEASE (60000 * MS) /* is not over before the test is, on a busy machine either */
#define FRAME_SIZE 60

struct bed {
	struct event_base *base;
	struct gate_system *system;
	struct gate *gate;
	unsigned next_sent[GATE_DIRS], next_seen[GATE_DIRS];
	bool order_broken, done;
};

static void seen(void *arg, enum gate_dir dir, const void *frame, size_t size)
{
	struct bed *bed = arg;
	unsigned number;

	assert_int_equal(size, FRAME_SIZE);
	memcpy(&number, (const char *)frame + GATE_FRAME_MIN, sizeof(number));
	if (number != bed->next_seen[dir]++)
		bed->order_broken = true;
}

static void send_frames(struct bed *bed, enum gate_dir dir, unsigned n)
{
	char frame[FRAME_SIZE] = "";

	while (n-- > 0) {
		memcpy(frame + GATE_FRAME_MIN, &bed->next_sent[dir], sizeof(unsigned));
		bed->next_sent[dir]++;
		gate_sim_send(bed->gate, dir, frame, sizeof(frame));
	}
}

static void bed_init(struct bed *bed, const char *env)
{
	struct fm_error err;

	memset(bed, 0, sizeof(*bed));
	setenv("FERMATA_GATE_SIM", env, 1);
	bed->base = event_base_new();
	bed->system = gate_system_create("sim", bed->base, &err);
	assert_non_null(bed->system);
	bed->gate = gate_create(bed->system, "vif3.0", &err);
	assert_non_null(bed->gate);
	gate_sim_receive(bed->gate, seen, bed);
}

static void bed_dispose(struct bed *bed)
{
	gate_system_destroy(bed->system);
	event_base_free(bed->base);
}

static void set_done(void *arg)
{
	((struct bed *)arg)->done = true;
}

static void release_and_wait(struct bed *bed)
{
	struct fm_error err;

	bed->done = false;
	assert_int_equal(gate_release(bed->gate, set_done, bed, &err), 0);
	assert_false(bed->done);
	while (!bed->done)
		assert_int_equal(event_base_loop(bed->base, EVLOOP_ONCE), 0);
}

static void hold_keeps_order(void **state)
{
	struct bed bed;
	struct gate_stats stats;
	struct fm_error err;

	bed_init(&bed, "full=3");
	send_frames(&bed, GATE_OUT, 5);
	assert_int_equal(gate_hold_out(bed.gate, gate_now_ns() + LEASE, &err), 0);
	send_frames(&bed, GATE_OUT, 200);
	send_frames(&bed, GATE_IN, 2); /* not held yet */
	assert_int_equal(bed.next_seen[GATE_OUT], 5);
	assert_int_equal(bed.next_seen[GATE_IN], 2);
	assert_int_equal(gate_hold_in(bed.gate, gate_now_ns() + LEASE, &err), 0);
	send_frames(&bed, GATE_IN, 300);
	assert_int_equal(gate_drain(bed.gate, &err), 0);
	gate_stats(bed.gate, &stats);
	assert_int_equal(stats.held_out_frames, 200);
	assert_int_equal(stats.held_in_frames, 300);
	assert_int_equal(stats.held_in_bytes, 300 * FRAME_SIZE);
	assert_int_equal(bed.next_seen[GATE_IN], 2);
	assert_false(gate_expired(bed.gate));

	assert_int_equal(gate_release(bed.gate, set_done, &bed, &err), 0);
	while (!bed.done) {
		send_frames(&bed, GATE_OUT, 1); /* arrives meanwhile: behind */
		assert_int_equal(event_base_loop(bed.base, EVLOOP_ONCE), 0);
	}
	send_frames(&bed, GATE_OUT, 1);
	assert_int_equal(bed.next_seen[GATE_OUT], bed.next_sent[GATE_OUT]);
	assert_int_equal(bed.next_seen[GATE_IN], bed.next_sent[GATE_IN]);
	assert_false(bed.order_broken);
	gate_stats(bed.gate, &stats);
	assert_int_equal(stats.dropped, 0);
	assert_true(stats.reinjected >= 500);
	bed_dispose(&bed);
}

static void lease_opens_and_tells(void **state)
{
	struct bed bed;
	struct fm_error err;

	bed_init(&bed, "");
	assert_int_equal(gate_hold_out(bed.gate, gate_now_ns() + 20 * MS, &err), 0);
	send_frames(&bed, GATE_OUT, 10);
	while (bed.next_seen[GATE_OUT] < 10)
		assert_int_equal(event_base_loop(bed.base, EVLOOP_ONCE), 0);
	assert_true(gate_expired(bed.gate));
	/* the next step of this cut must fail, not start a new hold */
	assert_int_equal(gate_hold_in(bed.gate, gate_now_ns() + LEASE, &err), -1);
	assert_int_equal(err.code, FM_TIMEOUT);
	assert_true(gate_expired(bed.gate));
	release_and_wait(&bed);
	assert_false(bed.order_broken);
	/* a new one starts clean */
	assert_int_equal(gate_hold_out(bed.gate, gate_now_ns() + LEASE, &err), 0);
	assert_false(gate_expired(bed.gate));
	assert_int_equal(gate_hold_out(bed.gate, 1, &err), -1);
	assert_int_equal(err.code, FM_TIMEOUT);
	bed_dispose(&bed);
}

static void leak_is_told_before_the_timer(void **state)
{
	struct bed bed;
	struct fm_error err;

	bed_init(&bed, "");
	assert_int_equal(gate_hold_out(bed.gate, gate_now_ns() + 300 * MS, &err), 0);
	while (!gate_expired(bed.gate)) /* the loop does not run: nobody but the clock tells */
		;
	send_frames(&bed, GATE_OUT, 1);
	assert_int_equal(bed.next_seen[GATE_OUT], 1);
	assert_true(gate_expired(bed.gate));
	bed_dispose(&bed);
}

static void too_much_is_given_up_not_lost(void **state)
{
	struct bed bed;
	struct gate_stats stats;
	struct fm_error err;
	static const uint8_t big[GATE_FRAME_MAX];
	uint64_t n = GATE_HELD_MAX / sizeof(big) + 1;

	bed_init(&bed, "");
	gate_sim_receive(bed.gate, NULL, NULL);
	assert_int_equal(gate_hold_out(bed.gate, gate_now_ns() + 60000 * MS, &err), 0);
	for (uint64_t i = 0; i < n; i++)
		gate_sim_send(bed.gate, GATE_OUT, big, sizeof(big));
	assert_int_equal(gate_drain(bed.gate, &err), -1);
	assert_true(gate_expired(bed.gate));
	release_and_wait(&bed);
	gate_stats(bed.gate, &stats);
	assert_int_equal(stats.dropped, 0);
	assert_int_equal(stats.reinjected, n);
	bed_dispose(&bed);
}

static void snapshot_goes_elsewhere(void **state)
{
	struct bed bed;
	struct fm_error err;
	struct gate *other;
	struct gate_stats stats;
	void *data, *again;
	size_t size, again_size;

	bed_init(&bed, "");
	assert_int_equal(gate_hold_out(bed.gate, gate_now_ns() + LEASE, &err), 0);
	assert_int_equal(gate_hold_in(bed.gate, gate_now_ns() + LEASE, &err), 0);
	send_frames(&bed, GATE_OUT, 7);
	send_frames(&bed, GATE_IN, 4);
	assert_int_equal(gate_drain(bed.gate, &err), 0);
	assert_int_equal(gate_export(bed.gate, &data, &size, &err), 0);

	other = gate_create(bed.system, "vif9.0", &err);
	assert_non_null(other);
	assert_int_equal(gate_import(other, data, size, &err), -1); /* not closed */
	assert_int_equal(gate_close(other, &err), 0);
	assert_int_equal(gate_import(other, data, size, &err), 0);
	assert_int_equal(gate_import(other, data, size, &err), -1); /* not empty */
	assert_int_equal(gate_export(other, &again, &again_size, &err), 0);
	assert_int_equal(again_size, size);
	assert_memory_equal(again, data, size);
	gate_stats(other, &stats);
	assert_int_equal(stats.held_out_frames, 7);
	assert_int_equal(stats.held_in_frames, 4);
	gate_sim_receive(other, seen, &bed);
	assert_int_equal(gate_release(other, set_done, &bed, &err), 0);
	while (!bed.done)
		assert_int_equal(event_base_loop(bed.base, EVLOOP_ONCE), 0);
	assert_int_equal(bed.next_seen[GATE_OUT], 7);
	assert_int_equal(bed.next_seen[GATE_IN], 4);
	assert_false(bed.order_broken);
	free(data);
	free(again);
	bed_dispose(&bed);
}

static void queues_init(struct gate_queue queues[GATE_DIRS])
{
	for (int dir = 0; dir < GATE_DIRS; dir++)
		gate_queue_init(&queues[dir]);
}

static void every_damaged_byte_is_refused(void **state)
{
	static const uint8_t vnet[GATE_VNET_SIZE], frame[100];
	struct gate_queue queues[GATE_DIRS], in[GATE_DIRS];
	struct fm_error err;
	uint8_t *data;
	void *p;
	size_t size;

	queues_init(queues);
	queues_init(in);
	assert_int_equal(gate_queue_push(&queues[GATE_OUT], vnet, frame, sizeof(frame)), 0);
	assert_int_equal(gate_queue_push(&queues[GATE_IN], vnet, frame, GATE_FRAME_MIN), 0);
	assert_int_equal(gate_queue_export(queues, &p, &size, &err), 0);
	data = p;
	for (size_t i = 0; i < size; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			data[i] ^= 1u << bit;
			assert_int_equal(gate_queue_import(in, data, size, &err), -1);
			assert_true(err.code == FM_CORRUPT || err.code == FM_INCOMPATIBLE);
			data[i] ^= 1u << bit;
		}
		assert_int_equal(gate_queue_import(in, data, i, &err), -1); /* cut short */
	}
	assert_int_equal(in[GATE_OUT].frames + in[GATE_IN].frames, 0);
	assert_int_equal(gate_queue_import(in, data, size, &err), 0);
	assert_int_equal(in[GATE_OUT].frames, 1);
	assert_int_equal(in[GATE_IN].bytes, GATE_FRAME_MIN);
	for (int dir = 0; dir < GATE_DIRS; dir++) {
		gate_queue_clear(&queues[dir]);
		gate_queue_clear(&in[dir]);
	}
	free(data);
}

/* A right hash says nothing about who made the file: the records are checked too. */
static void hostile_vnet_header_is_refused(void **state)
{
	static const uint8_t bad[][GATE_VNET_SIZE] = {
		{ 0x80 },                            /* unknown flag */
		{ 1, 0, 0, 0, 0, 0, 90, 0, 9, 0 },   /* checksum beyond the frame */
		{ 1, 0, 0, 0, 0, 0, 255, 255, 255, 255 },
		{ 0, 1, 54, 0, 0, 0 },               /* GSO of size 0 */
		{ 0, 1, 101, 0, 100, 0 },            /* headers longer than the frame */
		{ 0, 9, 54, 0, 100, 0 },             /* unknown kind of GSO */
	};
	static const uint8_t good[GATE_VNET_SIZE] = { 1, 0x81, 54, 0, 100, 0, 34, 0, 16, 0 }, frame[100];
	struct gate_queue queues[GATE_DIRS], in[GATE_DIRS];
	struct fm_error err;
	void *data;
	size_t size;

	queues_init(queues);
	queues_init(in);
	for (size_t i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++) {
		bool ok = i == sizeof(bad) / sizeof(bad[0]);

		assert_int_equal(gate_queue_push(&queues[GATE_OUT], ok ? good : bad[i], frame, sizeof(frame)), 0);
		assert_int_equal(gate_queue_export(queues, &data, &size, &err), 0);
		assert_int_equal(gate_queue_import(in, data, size, &err), ok ? 0 : -1);
		gate_queue_clear(&queues[GATE_OUT]);
		free(data);
	}
	gate_queue_clear(&in[GATE_OUT]);
}

static void frames_out_of_bounds_are_not_taken(void **state)
{
	static const uint8_t vnet[GATE_VNET_SIZE], frame[GATE_FRAME_MAX + 1];
	struct gate_queue queue;

	gate_queue_init(&queue);
	assert_int_equal(gate_queue_push(&queue, vnet, frame, GATE_FRAME_MIN - 1), -1);
	assert_int_equal(gate_queue_push(&queue, vnet, frame, GATE_FRAME_MAX + 1), -1);
	assert_int_equal(queue.frames, 0);
}

static void injected_failures_are_told(void **state)
{
	struct event_base *base = event_base_new();
	struct gate_system *system;
	struct gate *gate;
	struct fm_error err;

	setenv("FERMATA_GATE_SIM", "fail=setup", 1);
	assert_null(gate_system_create("sim", base, &err));
	setenv("FERMATA_GATE_SIM", "fails=setup", 1);
	assert_null(gate_system_create("sim", base, &err));
	assert_int_equal(err.code, FM_USAGE);
	setenv("FERMATA_GATE_SIM", "fail=in,unready=2,frames=3", 1);
	system = gate_system_create("sim", base, &err);
	assert_non_null(system);
	assert_null(gate_create(system, "a-name-of-no-device", &err));
	gate = gate_create(system, "vif1.0", &err);
	assert_non_null(gate);
	assert_int_equal(gate_hold_out(gate, gate_now_ns() + LEASE, &err), 0);
	assert_int_equal(gate_hold_in(gate, gate_now_ns() + LEASE, &err), -1);
	assert_int_equal(err.code, FM_FAILED);
	assert_false(gate_link_ready(gate));
	assert_false(gate_link_ready(gate));
	assert_true(gate_link_ready(gate));
	gate_system_destroy(system);
	assert_null(gate_system_create("nosuch", base, &err));
	assert_int_equal(err.code, FM_USAGE);
	event_base_free(base);
}

static const uint8_t mac_a[6] = { 0, 0x16, 0x3e, 0, 0, 1 }, mac_b[6] = { 0, 0x16, 0x3e, 0, 0, 2 };

struct marked {
	struct bed *bed;
	unsigned count;
	uint8_t payload[GATE_MARKER_MAX];
	size_t size;
	bool destroy;
	uint64_t since_ns; /* no marker was there before */
};

static void marked(const void *payload, size_t size, uint64_t at_ns, void *arg)
{
	struct marked *m = arg;

	assert_true(at_ns >= m->since_ns && at_ns <= gate_now_ns());
	m->count++;
	m->size = size;
	memcpy(m->payload, payload, size);
	if (m->destroy) {
		gate_destroy(m->bed->gate);
		m->bed->gate = NULL;
	}
}

static void marker_frame_is_read_back(void **state)
{
	uint8_t frame[GATE_MARKER_FRAME_MAX], payload[GATE_MARKER_MAX];
	const uint8_t *read;
	size_t size, got;

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i + 1);
	for (size_t n = 0; n <= sizeof(payload); n++) {
		size = gate_marker_build(frame, mac_a, mac_b, payload, n);
		assert_true(size >= GATE_MARKER_FRAME_MIN && size <= sizeof(frame));
		assert_memory_equal(frame, mac_b, 6);
		assert_memory_equal(frame + 6, mac_a, 6);
		assert_true(gate_marker_is(frame, size));
		read = gate_marker_payload(frame, size, &got);
		assert_int_equal(got, n);
		assert_memory_equal(read, payload, n);
	}
	/* whatever is said or missing, nothing is read beyond the frame */
	for (size_t cut = 0; cut < size; cut++)
		if (gate_marker_is(frame, cut))
			assert_null(gate_marker_payload(frame, cut, &got));
	assert_false(gate_marker_is(frame, GATE_MARKER_HEAD - 2));
	frame[GATE_MARKER_HEAD - 1] = GATE_MARKER_MAX + 1;
	assert_null(gate_marker_payload(frame, sizeof(frame), &got));
	for (unsigned i = 12; i < GATE_MARKER_HEAD - 1; i++) {
		frame[i] ^= 1;
		assert_false(gate_marker_is(frame, size));
		frame[i] ^= 1;
	}
}

static void loop_once(struct bed *bed)
{
	event_base_loop(bed->base, EVLOOP_NONBLOCK);
}

/* Open, held out, held in: it arrives, and nothing else changes. */
static void marker_is_no_frame(void **state)
{
	uint8_t frame[GATE_MARKER_FRAME_MAX];
	struct bed bed;
	struct marked m = { .bed = &bed, .since_ns = gate_now_ns() };
	struct gate_stats stats;
	struct fm_error err;
	size_t size = gate_marker_build(frame, mac_a, mac_b, "hello", 5);

	bed_init(&bed, "");
	assert_false(gate_marks(bed.system)); /* no network: they would get nowhere */
	gate_sim_send(bed.gate, GATE_IN, frame, size); /* nobody wants it */
	gate_on_marker(bed.gate, marked, &m);
	loop_once(&bed);
	assert_int_equal(m.count, 0);
	gate_sim_send(bed.gate, GATE_IN, frame, size);
	assert_int_equal(m.count, 0); /* from the loop only */
	loop_once(&bed);
	assert_int_equal(m.count, 1);
	assert_int_equal(m.size, 5);
	assert_memory_equal(m.payload, "hello", 5);
	assert_int_equal(gate_hold_out(bed.gate, gate_now_ns() + LEASE, &err), 0);
	assert_int_equal(gate_hold_in(bed.gate, gate_now_ns() + LEASE, &err), 0);
	for (int i = 0; i < 3; i++)
		gate_sim_send(bed.gate, GATE_IN, frame, size);
	gate_sim_send(bed.gate, GATE_OUT, frame, size); /* a guest's own */
	assert_int_equal(gate_drain(bed.gate, &err), 0);
	loop_once(&bed);
	loop_once(&bed);
	loop_once(&bed);
	assert_int_equal(m.count, 4);
	gate_stats(bed.gate, &stats);
	assert_int_equal(stats.held_in_frames + stats.held_out_frames + stats.dropped, 0);
	assert_false(gate_expired(bed.gate));
	frame[GATE_MARKER_HEAD - 1] = 200; /* cut short */
	gate_sim_send(bed.gate, GATE_IN, frame, size);
	loop_once(&bed);
	assert_int_equal(m.count, 4);
	bed_dispose(&bed);
}

struct wire {
	uint8_t frame[GATE_MARKER_FRAME_MAX];
	unsigned frames, markers;
};

static void on_wire(void *arg, enum gate_dir dir, const void *frame, size_t size)
{
	struct wire *wire = arg;

	wire->frames++;
	if (dir == GATE_OUT && gate_marker_is(frame, size)) {
		assert_in_range(size, GATE_MARKER_FRAME_MIN, sizeof(wire->frame));
		memcpy(wire->frame, frame, size);
		wire->markers++;
	}
}

static void marker_passes_a_shut_gate(void **state)
{
	struct bed bed;
	struct wire wire = { .frames = 0 };
	struct gate_stats stats;
	struct fm_error err;
	const void *payload;
	size_t size;

	bed_init(&bed, "");
	gate_sim_receive(bed.gate, on_wire, &wire);
	assert_int_equal(gate_hold_out(bed.gate, gate_now_ns() + LEASE, &err), 0);
	send_frames(&bed, GATE_OUT, 3);
	assert_int_equal(gate_send_marker(bed.gate, mac_a, mac_b, "x", 1, &err), 0);
	assert_int_equal(wire.frames, 1);
	assert_int_equal(wire.markers, 1);
	payload = gate_marker_payload(wire.frame, sizeof(wire.frame), &size);
	assert_int_equal(size, 1);
	assert_memory_equal(payload, "x", 1);
	assert_int_equal(gate_send_marker(bed.gate, mac_a, mac_b, wire.frame, GATE_MARKER_MAX + 1, &err), -1);
	assert_int_equal(err.code, FM_USAGE);
	assert_int_equal(gate_drain(bed.gate, &err), 0);
	gate_stats(bed.gate, &stats);
	assert_int_equal(stats.held_out_frames, 3);
	bed_dispose(&bed);
	bed_init(&bed, "fail=mark");
	assert_int_equal(gate_send_marker(bed.gate, mac_a, mac_b, "x", 1, &err), -1);
	bed_dispose(&bed);
}

/* Whoever hears of a marker may be done with the gate. */
static void marker_may_end_the_gate(void **state)
{
	uint8_t frame[GATE_MARKER_FRAME_MAX];
	struct bed bed;
	struct marked m = { .bed = &bed, .destroy = true, .since_ns = gate_now_ns() };
	size_t size = gate_marker_build(frame, mac_a, mac_b, NULL, 0);

	bed_init(&bed, "");
	gate_on_marker(bed.gate, marked, &m);
	for (int i = 0; i < 3; i++)
		gate_sim_send(bed.gate, GATE_IN, frame, size);
	for (int i = 0; i < 5; i++)
		loop_once(&bed);
	assert_int_equal(m.count, 1);
	bed_dispose(&bed);
}

static void none_has_no_markers(void **state)
{
	struct event_base *base = event_base_new();
	struct fm_error err;
	struct gate_system *system = gate_system_create("none", base, &err);
	struct gate *gate = gate_create(system, "vif1.0", &err);

	assert_false(gate_marks(system));
	assert_int_equal(gate_send_marker(gate, mac_a, mac_b, NULL, 0, &err), -1);
	assert_int_equal(err.code, FM_INCOMPATIBLE);
	gate_system_destroy(system);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hold_keeps_order),
		cmocka_unit_test(lease_opens_and_tells),
		cmocka_unit_test(leak_is_told_before_the_timer),
		cmocka_unit_test(too_much_is_given_up_not_lost),
		cmocka_unit_test(snapshot_goes_elsewhere),
		cmocka_unit_test(every_damaged_byte_is_refused),
		cmocka_unit_test(hostile_vnet_header_is_refused),
		cmocka_unit_test(frames_out_of_bounds_are_not_taken),
		cmocka_unit_test(injected_failures_are_told),
		cmocka_unit_test(marker_frame_is_read_back),
		cmocka_unit_test(marker_is_no_frame),
		cmocka_unit_test(marker_passes_a_shut_gate),
		cmocka_unit_test(marker_may_end_the_gate),
		cmocka_unit_test(none_has_no_markers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
