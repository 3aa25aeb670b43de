/* SPDX-License-Identifier: GPL-2.0-or-later */
/* frames.c - see frames.h. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/runner/frames.h"

#define IN_CAPACITY (FM_FRAME_HEADER + FM_FRAME_MAX)

int fm_frames_init(struct fm_frames *frames, int fd)
{
	memset(frames, 0, sizeof(*frames));
	frames->fd = -1;
	frames->limit = FM_FRAME_MAX;
	frames->in = malloc(IN_CAPACITY);
	if (!frames->in)
		return -1;
	frames->fd = fd;
	return 0;
}

void fm_frames_dispose(struct fm_frames *frames)
{
	int saved = errno;

	if (frames->fd >= 0)
		close(frames->fd);
	free(frames->in);
	free(frames->out);
	memset(frames, 0, sizeof(*frames));
	frames->fd = -1;
	errno = saved;
}

int fm_frames_fill(struct fm_frames *frames)
{
	ssize_t n;

	if (frames->in_begin) {
		memmove(frames->in, frames->in + frames->in_begin, frames->in_end - frames->in_begin);
		frames->in_end -= frames->in_begin;
		frames->in_begin = 0;
	}
	if (frames->in_end == IN_CAPACITY)
		return 0;
	n = read(frames->fd, frames->in + frames->in_end, IN_CAPACITY - frames->in_end);
	if (n > 0) {
		frames->in_end += (size_t)n;
		return 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n == 0)
		errno = 0;
	return -1;
}

int fm_frames_next(struct fm_frames *frames, enum fm_frame_type *type_r, const uint8_t **payload_r,
		   size_t *size_r)
{
	const uint8_t *p = frames->in + frames->in_begin;
	size_t have = frames->in_end - frames->in_begin;
	size_t size;

	if (have < FM_FRAME_HEADER)
		return 0;
	size = fm_get_u32(p + 1);
	if (size > frames->limit)
		return -1;
	if (have < FM_FRAME_HEADER + size)
		return 0;
	*type_r = p[0];
	*payload_r = p + FM_FRAME_HEADER;
	*size_r = size;
	frames->in_begin += FM_FRAME_HEADER + size;
	return 1;
}

static int reserve(struct fm_frames *frames, size_t size)
{
	size_t pending = frames->out_end - frames->out_begin;
	size_t capacity = frames->out_capacity ? frames->out_capacity : 4096;
	uint8_t *grown;

	if (frames->out_end + size <= frames->out_capacity)
		return 0;
	if (pending)
		memmove(frames->out, frames->out + frames->out_begin, pending);
	frames->out_begin = 0;
	frames->out_end = pending;
	while (capacity < pending + size)
		capacity *= 2;
	if (capacity == frames->out_capacity)
		return 0;
	grown = realloc(frames->out, capacity);
	if (!grown)
		return -1;
	frames->out = grown;
	frames->out_capacity = capacity;
	return 0;
}

int fm_frames_put(struct fm_frames *frames, enum fm_frame_type type, const void *head, size_t head_size,
		  const void *data, size_t size)
{
	uint8_t *p;

	if (reserve(frames, FM_FRAME_HEADER + head_size + size))
		return -1;
	p = frames->out + frames->out_end;
	p[0] = (uint8_t)type;
	fm_put_u32(p + 1, (uint32_t)(head_size + size));
	if (head_size)
		memcpy(p + FM_FRAME_HEADER, head, head_size);
	if (size)
		memcpy(p + FM_FRAME_HEADER + head_size, data, size);
	frames->out_end += FM_FRAME_HEADER + head_size + size;
	return 0;
}

int fm_frames_put_offset(struct fm_frames *frames, enum fm_frame_type type, enum fm_stream stream,
			 uint64_t offset, const void *data, size_t size)
{
	uint8_t head[9];

	head[0] = (uint8_t)stream;
	fm_put_u64(head + 1, offset);
	return fm_frames_put(frames, type, head, sizeof(head), data, size);
}

int fm_frames_put_error(struct fm_frames *frames, const struct fm_error *err)
{
	uint8_t code = (uint8_t)err->code;

	return fm_frames_put(frames, FM_FRAME_ERROR, &code, 1, err->text, strnlen(err->text, sizeof(err->text)));
}

int fm_frames_get_error(const uint8_t *payload, size_t size, struct fm_error *err)
{
	enum fm_code code = size && payload[0] >= FM_FAILED && payload[0] <= FM_BUSY ? payload[0] : FM_FAILED;
	char text[512];
	size_t n = size ? size - 1 : 0;

	if (n >= sizeof(text))
		n = sizeof(text) - 1;
	for (size_t i = 0; i < n; i++)
		text[i] = payload[1 + i] < ' ' || payload[1 + i] == 0x7f ? '?' : (char)payload[1 + i];
	text[n] = 0;
	return fm_fail(err, code, "%s", text);
}

int fm_frames_flush(struct fm_frames *frames)
{
	while (frames->out_begin < frames->out_end) {
		ssize_t n = send(frames->fd, frames->out + frames->out_begin,
				 frames->out_end - frames->out_begin, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		frames->out_begin += (size_t)n;
	}
	frames->out_begin = frames->out_end = 0;
	return 0;
}

size_t fm_frames_pending(const struct fm_frames *frames)
{
	return frames->out_end - frames->out_begin;
}
