/* SPDX-License-Identifier: GPL-2.0-or-later */
/* relay_io.c - see relay_io.h. */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/runner/relay_io.h"

/* ---- output --------------------------------------------------------------------- */

void relay_output_init(struct relay_output *output, int fd)
{
	struct stat st;

	memset(output, 0, offsetof(struct relay_output, data));
	output->fd = fd;
	output->is_pipe = !fstat(fd, &st) && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

int relay_output_put(struct relay_output *output, uint64_t offset, const void *data, size_t size)
{
	uint64_t overlap = output->received - offset;

	if (offset > output->received)
		return -1;
	if (overlap >= size)
		return 0;
	data = (const uint8_t *)data + overlap;
	size -= (size_t)overlap;
	if (!output->failed) {
		if (size > sizeof(output->data) - relay_output_waiting(output))
			return -1;
		if (size > sizeof(output->data) - output->end) {
			memmove(output->data, output->data + output->begin, relay_output_waiting(output));
			output->end -= output->begin;
			output->begin = 0;
		}
		memcpy(output->data + output->end, data, size);
		output->end += size;
	}
	output->received += size;
	return 0;
}

void relay_output_write(struct relay_output *output)
{
	size_t size = relay_output_waiting(output);
	ssize_t n;

	/* poll() promises room for PIPE_BUF bytes in a pipe, no more */
	if (output->is_pipe && size > PIPE_BUF)
		size = PIPE_BUF;
	n = write(output->fd, output->data + output->begin, size);
	if (n > 0) {
		output->begin += (size_t)n;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		output->failed = errno;
		output->begin = output->end;
	}
	if (output->begin == output->end)
		output->begin = output->end = 0;
}

/* ---- input ---------------------------------------------------------------------- */

void relay_input_init(struct relay_input *input, int fd)
{
	memset(input, 0, offsetof(struct relay_input, data));
	input->fd = fd;
}

bool relay_input_wants(const struct relay_input *input)
{
	return !input->eof && !input->gone &&
	       (input->skip || input->end - input->begin < sizeof(input->data));
}

void relay_input_read(struct relay_input *input)
{
	uint8_t *to;
	size_t room;
	ssize_t n;

	if (input->begin) {
		memmove(input->data, input->data + input->begin, input->end - input->begin);
		input->end -= input->begin;
		input->begin = 0;
	}
	to = input->data + input->end;
	room = sizeof(input->data) - input->end;
	if (input->skip && room > input->skip)
		room = (size_t)input->skip;
	n = read(input->fd, to, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		input->eof = true; /* a closed or unreadable stdin is an empty one */
	else if (input->skip)
		input->skip -= (uint64_t)n;
	else
		input->end += (size_t)n;
}

size_t relay_input_next(const struct relay_input *input, const void **data_r)
{
	uint64_t read = input->base + (input->end - input->begin);
	uint64_t until = input->taken + FM_WINDOW;
	uint64_t n;

	if (input->gone || input->sent >= read || input->sent >= until)
		return 0;
	n = (read < until ? read : until) - input->sent;
	*data_r = input->data + input->begin + (input->sent - input->base);
	return n < FM_OUTPUT_MAX ? (size_t)n : FM_OUTPUT_MAX;
}

/* The runner keeps all below offset: so need we no more. */
static void forget(struct relay_input *input, uint64_t offset)
{
	input->begin += (size_t)(offset - input->base);
	input->base = offset;
}

int relay_input_attach(struct relay_input *input, uint64_t offset)
{
	uint64_t read = input->base + (input->end - input->begin);

	input->eof_sent = false;
	input->taken = 0; /* until it says so; an ACK follows if it is not so */
	if (offset < input->base) {
		input->gone = true;
		return -1;
	}
	if (offset > read) { /* another process sent that much of the same input */
		input->skip += offset - read;
		input->begin = input->end;
		input->base = offset;
	} else {
		forget(input, offset);
	}
	input->sent = offset;
	return 0;
}

void relay_input_taken(struct relay_input *input, uint64_t offset)
{
	if (offset == FM_STDIN_GONE) {
		input->gone = true;
		return;
	}
	if (offset > input->taken && offset <= input->sent)
		input->taken = offset;
	if (input->taken > input->base)
		forget(input, input->taken);
}
