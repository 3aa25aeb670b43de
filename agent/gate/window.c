/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * window.c - a bound on what waits for a guest (window.h).
 */
#include "config.h"

#include "window.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int counter_open(const char *vif, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", vif, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static uint64_t counter_read(int fd)
{
	char text[32] = "";

	if (fd < 0 || pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	return strtoull(text, NULL, 10);
}

void window_init(struct window *window, const char *vif)
{
	*window = (struct window){
		.bytes_fd = counter_open(vif, "tx_bytes"),
		.dropped_fd = counter_open(vif, "tx_dropped"),
	};
}

void window_dispose(struct window *window)
{
	if (window->bytes_fd >= 0)
		close(window->bytes_fd);
	if (window->dropped_fd >= 0)
		close(window->dropped_fd);
	window->bytes_fd = window->dropped_fd = -1;
}

void window_restart(struct window *window)
{
	window->started = false;
}

static void window_start(struct window *window)
{
	window->started = true;
	window->given = window->taken = 0;
	window->bytes0 = counter_read(window->bytes_fd);
	window->dropped0 = counter_read(window->dropped_fd);
}

void window_given(struct window *window, uint32_t bytes)
{
	window->given += bytes;
}

bool window_open(struct window *window, uint64_t *lost_r)
{
	uint64_t dropped;

	if (window->bytes_fd < 0)
		return true;
	if (!window->started)
		window_start(window);
	if (window->given - window->taken < WINDOW_BYTES)
		return true;
	window->taken = counter_read(window->bytes_fd) - window->bytes0;
	if (window->taken > window->given)
		window->taken = window->given;
	dropped = counter_read(window->dropped_fd) - window->dropped0;
	if (dropped > 0) {
		*lost_r += dropped;
		window_start(window); /* what was dropped will never be taken */
	}
	return window->given - window->taken < WINDOW_BYTES;
}
