/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * marker.c - markers (marker.h): the frame, sending it, and handing on what came.
 *
 * A driver finds markers among what it reads, maybe in the middle of a drain or
 * a release; they wait in a list until the loop calls whoever wants them, who
 * may then do with the gate what he likes.
 */
#include "config.h"

#include "marker.h"

#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "gate_map.h"

/* More that nobody has taken yet are a flood, not markers. */
#define WAITING_MAX 4096

struct gate_marker {
	struct gate_marker *next;
	uint64_t at_ns;
	size_t size;
	uint8_t payload[];
};

static const uint8_t head[] = { GATE_MARKER_ETHERTYPE >> 8, GATE_MARKER_ETHERTYPE & 0xff, GATE_MARKER_MAGIC };

_Static_assert(GATE_MARKER_AT + sizeof(head) + 1 == GATE_MARKER_HEAD, "the layout of marker.h");

size_t gate_marker_build(uint8_t frame_r[GATE_MARKER_FRAME_MAX], const uint8_t from[6], const uint8_t to[6],
			 const void *payload, size_t size)
{
	memset(frame_r, 0, GATE_MARKER_FRAME_MAX);
	memcpy(frame_r, to, 6);
	memcpy(frame_r + 6, from, 6);
	memcpy(frame_r + GATE_MARKER_AT, head, sizeof(head));
	frame_r[GATE_MARKER_HEAD - 1] = (uint8_t)size;
	if (size > 0)
		memcpy(frame_r + GATE_MARKER_HEAD, payload, size);
	size += GATE_MARKER_HEAD;
	return size < GATE_MARKER_FRAME_MIN ? GATE_MARKER_FRAME_MIN : size;
}

bool gate_marker_is(const void *frame, size_t size)
{
	return size >= GATE_MARKER_AT + sizeof(head) &&
	       memcmp((const uint8_t *)frame + GATE_MARKER_AT, head, sizeof(head)) == 0;
}

const void *gate_marker_payload(const void *frame, size_t size, size_t *size_r)
{
	const uint8_t *bytes = frame;

	if (size < GATE_MARKER_HEAD)
		return NULL;
	*size_r = bytes[GATE_MARKER_HEAD - 1];
	if (*size_r > GATE_MARKER_MAX || *size_r > size - GATE_MARKER_HEAD)
		return NULL;
	return bytes + GATE_MARKER_HEAD;
}

bool gate_marks(const struct gate_system *system)
{
	return system->driver->mark && (!system->driver->marks || system->driver->marks(system));
}

int gate_send_marker(struct gate *gate, const uint8_t from[6], const uint8_t to[6], const void *payload, size_t size,
		     struct fm_error *err)
{
	uint8_t frame[GATE_MARKER_FRAME_MAX];

	if (!gate->driver->mark)
		return fm_fail(err, FM_INCOMPATIBLE, "gate %s: the driver '%s' has no markers", gate->vif,
			       gate->driver->name);
	if (size > GATE_MARKER_MAX)
		return fm_fail(err, FM_USAGE, "gate %s: a marker of %zu bytes, at most %d", gate->vif, size,
			       GATE_MARKER_MAX);
	size = gate_marker_build(frame, from, to, payload, size);
	if (gate->driver->mark(gate->port, frame, size, err) < 0)
		return fm_context(err, "gate %s: marker", gate->vif);
	return 0;
}

void gate_on_marker(struct gate *gate, void (*fn)(const void *payload, size_t size, uint64_t at_ns, void *arg),
		    void *arg)
{
	gate->on_marker = fn;
	gate->on_marker_arg = arg;
	gate_markers_clear(gate);
}

void gate_marked(struct gate *gate, const void *frame, size_t size)
{
	struct gate_marker *m;
	const void *payload = gate_marker_payload(frame, size, &size);

	if (!payload || !gate->on_marker || gate->markers_waiting >= WAITING_MAX)
		return;
	m = malloc(sizeof(*m) + size);
	if (!m)
		return;
	m->next = NULL;
	m->at_ns = gate_now_ns();
	m->size = size;
	memcpy(m->payload, payload, size);
	*gate->markers_tail = m;
	gate->markers_tail = &m->next;
	gate->markers_waiting++;
	event_active(gate->marker_due, EV_TIMEOUT, 1);
}

static struct gate_marker *pop(struct gate *gate)
{
	struct gate_marker *m = gate->markers;

	if (!m)
		return NULL;
	gate->markers = m->next;
	if (!gate->markers)
		gate->markers_tail = &gate->markers;
	gate->markers_waiting--;
	return m;
}

void gate_marker_due(evutil_socket_t fd, short what, void *arg)
{
	struct gate *gate = arg;
	struct gate_marker *m = pop(gate);

	if (!m)
		return;
	if (gate->markers)
		event_active(gate->marker_due, EV_TIMEOUT, 1);
	gate->on_marker(m->payload, m->size, m->at_ns, gate->on_marker_arg); /* may destroy the gate */
	free(m);
}

void gate_markers_clear(struct gate *gate)
{
	struct gate_marker *m;

	while ((m = pop(gate)) != NULL)
		free(m);
}
