/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * window.h - how far a guest has taken what its gate gave it.
 *
 * netback drops frames once half a megabyte waits for the guest, and the sender
 * does not hear of it.  But it counts bytes as transmitted only when the guest
 * had room for them; while the vif is shut nothing but what we give gets there.
 * So no more than WINDOW_BYTES is ever on its way.
 */
#ifndef FM_GATE_WINDOW_H
#define FM_GATE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define WINDOW_BYTES (256u << 10)

struct window {
	int bytes_fd, dropped_fd; /* the vif's statistics; -1: it has none, and the window is always open */
	bool started;
	uint64_t given;            /* bytes since the start */
	uint64_t taken;            /* of these, when last looked */
	uint64_t bytes0, dropped0; /* the statistics at the start */
};

void window_init(struct window *window, const char *vif);
void window_dispose(struct window *window);
/* The vif has just been shut. */
void window_restart(struct window *window);
void window_given(struct window *window, uint32_t bytes);
/* May more be given? Frames the vif dropped meanwhile are added to lost_r. */
bool window_open(struct window *window, uint64_t *lost_r);

#endif
