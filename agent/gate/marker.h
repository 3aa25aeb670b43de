/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * marker.h - the frame that one gate sends another behind all that a guest has sent.
 *
 *	0   6  to: MAC of the peer's guest
 *	6   6  from: MAC of our guest
 *	12  2  ethertype 0x88b5 (local experimental 1)
 *	14  8  magic "fm-mark\n"
 *	22  1  size of the payload, 0…64
 *	23  …  the payload; then zeros up to 60 bytes at least
 *
 * Ethertype and magic alone make a frame one: the kernel's programs and this
 * file have to agree on it, since such frames are not counted as captured.  A
 * payload proves itself, or not, to whoever gets it: anyone on the network may
 * have made one.
 */
#ifndef FM_GATE_MARKER_H
#define FM_GATE_MARKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate.h"

#define GATE_MARKER_HEAD 23
#define GATE_MARKER_FRAME_MIN 60
#define GATE_MARKER_FRAME_MAX (GATE_MARKER_HEAD + GATE_MARKER_MAX)

/* Returns the frame's size. size: GATE_MARKER_MAX at most. */
size_t gate_marker_build(uint8_t frame_r[GATE_MARKER_FRAME_MAX], const uint8_t from[6], const uint8_t to[6],
			 const void *payload, size_t size);
bool gate_marker_is(const void *frame, size_t size);
/* The payload within the frame; NULL when it is cut short. frame: gate_marker_is(). */
const void *gate_marker_payload(const void *frame, size_t size, size_t *size_r);

#endif
