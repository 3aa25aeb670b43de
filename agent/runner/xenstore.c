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

#define OP_READ 2u
#define OP_ERROR 16u
#define PAYLOAD_MAX 4096u
#define PARTS_MAX 256

struct header { /* in the machine's byte order */
	uint32_t type, request, transaction, size;
};

static int exchange(int fd, const char *path, char *value, size_t *size_r, struct fm_error *err)
{
	struct header head = { .type = OP_READ, .request = 1, .size = (uint32_t)strlen(path) + 1 };
	char message[sizeof(head) + 256];

	if (head.size > 256)
		return fm_fail(err, FM_USAGE, "the key is too long");
	memcpy(message, &head, sizeof(head));
	memcpy(message + sizeof(head), path, head.size);
	if (fm_write_all(fd, message, sizeof(head) + head.size))
		return fm_fail(err, FM_FAILED, "writing: %s", strerror(errno));
	if (fm_read_all(fd, &head, sizeof(head)) != sizeof(head) || head.size > PAYLOAD_MAX)
		return fm_fail(err, FM_FAILED, "a malformed answer");
	if (fm_read_all(fd, value, head.size) != (ssize_t)head.size)
		return fm_fail(err, FM_FAILED, "an answer cut short");
	value[head.size] = 0;
	if (head.type == OP_ERROR)
		return fm_fail(err, strcmp(value, "ENOENT") ? FM_FAILED : FM_NOT_FOUND, "%s", value);
	if (head.type != OP_READ)
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
		char *grown = realloc(whole, size + PAYLOAD_MAX + 1);
		size_t n;

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
