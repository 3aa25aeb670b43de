/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xenstore.c - see xenstore.h. The message's layout is that of Xen's public io/xs_wire.h. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/runner/xenstore.h"
#include "common/cleanup.h"
#include "common/io.h"

#define PARTS_MAX 256
#define REQUEST_MAX 512

int xenstore_request(int fd, enum xenstore_type type, const char *key, const char *value)
{
	size_t key_size = strlen(key) + 1, value_size = value ? strlen(value) + (type == XENSTORE_WATCH) : 0;
	struct xenstore_header head = { .type = type, .request = type, .size = (uint32_t)(key_size + value_size) };
	char message[sizeof(head) + REQUEST_MAX];

	if (key_size + value_size > REQUEST_MAX) {
		errno = E2BIG;
		return -1;
	}
	memcpy(message, &head, sizeof(head));
	memcpy(message + sizeof(head), key, key_size);
	if (value)
		memcpy(message + sizeof(head) + key_size, value, value_size);
	return fm_write_all(fd, message, sizeof(head) + head.size);
}

int xenstore_receive(int fd, struct xenstore_input *in, struct xenstore_message *message_r)
{
	const struct xenstore_header *head = (const struct xenstore_header *)in->bytes;
	const size_t begin = sizeof(*head);

	for (;;) { /* no more than this message's bytes are asked for: what follows stays in the device */
		size_t want = in->used < begin ? begin : begin + head->size;
		ssize_t n;

		if (in->used >= begin && head->size > XENSTORE_PAYLOAD_MAX)
			return -1;
		if (in->used >= begin && in->used == want)
			break;
		n = read(fd, in->bytes + in->used, want - in->used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == EAGAIN ? 0 : -1;
		in->used += (size_t)n;
	}
	in->bytes[in->used] = 0;
	in->used = 0;
	*message_r = (struct xenstore_message){ (enum xenstore_type)head->type, (enum xenstore_type)head->request,
						in->bytes + begin };
	return 1;
}

static int exchange(int fd, const char *path, char *value, size_t *size_r, struct fm_error *err)
{
	struct xenstore_header head;

	if (xenstore_request(fd, XENSTORE_READ, path, NULL))
		return fm_fail(err, FM_FAILED, "writing: %s", strerror(errno));
	if (fm_read_all(fd, &head, sizeof(head)) != sizeof(head) || head.size > XENSTORE_PAYLOAD_MAX)
		return fm_fail(err, FM_FAILED, "a malformed answer");
	if (fm_read_all(fd, value, head.size) != (ssize_t)head.size)
		return fm_fail(err, FM_FAILED, "an answer cut short");
	value[head.size] = 0;
	if (head.type == XENSTORE_ERROR)
		return fm_fail(err, strcmp(value, "ENOENT") ? FM_FAILED : FM_NOT_FOUND, "%s", value);
	if (head.type != XENSTORE_READ)
		return fm_fail(err, FM_FAILED, "an answer to something else");
	*size_r = head.size;
	return 0;
}

char *xenstore_read(const char *device, const char *key, size_t *size_r, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(device, O_RDWR | O_CLOEXEC);
	FM_AUTO_FREE char *whole = NULL;
	size_t size = 0;

	if (fd < 0) {
		fm_fail(err, FM_FAILED, "%s: %s", device, strerror(errno));
		return NULL;
	}
	for (unsigned part = 0; part < PARTS_MAX; part++) {
		FM_AUTO_FREE char *path = part ? fm_format("%s-%u", key, part) : strdup(key);
		char *grown = realloc(whole, size + XENSTORE_PAYLOAD_MAX + 1);
		size_t n = 0;

		if (!path || !grown) {
			fm_fail(err, FM_FAILED, "out of memory");
			return NULL;
		}
		whole = grown;
		if (exchange(fd, path, whole + size, &n, err)) {
			if (part && err->code == FM_NOT_FOUND)
				break;
			fm_context(err, "%s: %s", device, path);
			return NULL;
		}
		size += n;
	}
	whole[size] = 0;
	*size_r = size;
	return fm_steal_ptr(&whole);
}
