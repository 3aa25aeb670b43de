/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stream.c - see stream.h. */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int stream_start(struct stream *s, int fd)
{
	int on = 1, flags = fcntl(fd, F_GETFL);

	s->fd = fd;
	s->out = malloc(STREAM_OUT_MAX);
	if (!s->out)
		return -1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return -1;
	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -1 : 0;
}

bool stream_put(struct stream *s, enum frame_type type, const void *payload, size_t size)
{
	uint8_t *at = s->out + s->out_size;

	if (size > STREAM_PAYLOAD_MAX || s->out_size + STREAM_HEADER + size > STREAM_OUT_MAX)
		return false;
	at[0] = (uint8_t)type;
	at[1] = (uint8_t)(size >> 8);
	at[2] = (uint8_t)size;
	if (size)
		memcpy(at + STREAM_HEADER, payload, size);
	s->out_size += STREAM_HEADER + size;
	return true;
}

int stream_flush(struct stream *s)
{
	while (s->out_size) {
		ssize_t n = send(s->fd, s->out, s->out_size, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		s->out_size -= (size_t)n;
		memmove(s->out, s->out + n, s->out_size);
	}
	return 0;
}

int stream_read(struct stream *s, int (*fn)(enum frame_type type, const uint8_t *payload, size_t size, void *arg), void *arg)
{
	for (;;) {
		ssize_t n = recv(s->fd, s->in + s->in_size, sizeof(s->in) - s->in_size, 0);
		size_t at = 0;

		if (n == 0) {
			s->over = true;
			return 0;
		}
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		s->in_size += (size_t)n;
		while (s->in_size - at >= STREAM_HEADER) {
			const uint8_t *frame = s->in + at;
			size_t size = (size_t)frame[1] << 8 | frame[2];

			if (size > STREAM_PAYLOAD_MAX) {
				errno = EBADMSG;
				return -1;
			}
			if (s->in_size - at < STREAM_HEADER + size)
				break;
			at += STREAM_HEADER + size;
			if (fn((enum frame_type)frame[0], frame + STREAM_HEADER, size, arg) < 0) {
				errno = EBADMSG;
				return -1;
			}
		}
		s->in_size -= at;
		memmove(s->in, s->in + at, s->in_size);
	}
}

void stream_close(struct stream *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->out);
	s->out = NULL;
	s->fd = -1;
}
