/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * relay_io.h - the relay's own stdin, stdout and stderr, with what is under way
 * in each; between relay.c and relay_io.c only.
 *
 * These fds are shared with other processes, so they are never made
 * non-blocking: each is asked with poll() first and given no more than it then
 * takes without blocking.
 */
#ifndef FM_RUNNER_RELAY_IO_H
#define FM_RUNNER_RELAY_IO_H

#include "agent/runner/protocol.h"

struct relay_output {
	int fd;
	bool is_pipe;
	int failed;        /* errno of the write that failed: the rest is thrown away */
	uint64_t received; /* next offset wanted from the runner */
	uint64_t told;     /* acknowledged to the runner */
	size_t begin, end; /* of what is not written yet */
	uint8_t data[FM_WINDOW];
};

struct relay_input {
	int fd;
	bool eof, eof_sent;
	bool gone;      /* the task reads no more */
	uint64_t base;  /* offset of data[begin]: the runner has all below */
	uint64_t sent;
	uint64_t taken; /* the task itself has all below: the window counts from here */
	uint64_t skip;  /* bytes to read and drop: an earlier process sent them */
	size_t begin, end;
	uint8_t data[FM_WINDOW];
};

void relay_output_init(struct relay_output *output, int fd);
static inline size_t relay_output_waiting(const struct relay_output *output)
{
	return output->end - output->begin;
}
/* Offset up to which all is written (or thrown away). */
static inline uint64_t relay_output_written(const struct relay_output *output)
{
	return output->received - relay_output_waiting(output);
}
/* -1: a gap, or more than the window. */
int relay_output_put(struct relay_output *output, uint64_t offset, const void *data, size_t size);
/* poll() said it can be written. */
void relay_output_write(struct relay_output *output);

void relay_input_init(struct relay_input *input, int fd);
bool relay_input_wants(const struct relay_input *input);
/* poll() said it can be read. */
void relay_input_read(struct relay_input *input);
/* What may be sent now; 0 when nothing. */
size_t relay_input_next(const struct relay_input *input, const void **data_r);
/* A connection begins with a runner that has all below offset; -1 when what it wants next is gone. */
int relay_input_attach(struct relay_input *input, uint64_t offset);
/* The task took all below offset. */
void relay_input_taken(struct relay_input *input, uint64_t offset);

#endif
