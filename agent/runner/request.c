/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * request.c - START's blob: fields of one byte tag, four bytes length, content.
 *
 * A tag may come once; an unknown one is refused, so that a client cannot ask
 * for what this runner would silently not do.  String lists are the strings,
 * each with its NUL.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "agent/runner/protocol.h"
#include "common/cleanup.h"

#define NUMBERS_SIZE 32u /* flags, umask, client, from stdout, from stderr */

enum tag { TAG_ID, TAG_NUMBERS, TAG_ARGV, TAG_ENV, TAG_CWD, TAG_SCRIPT, TAG_COUNT };

static const struct {
	const char *name;
	size_t max;
} tags[TAG_COUNT] = {
	[TAG_ID] = { "task id", FM_TASK_ID_MAX },
	[TAG_NUMBERS] = { "numbers", NUMBERS_SIZE },
	[TAG_ARGV] = { "argument list", FM_STRINGS_MAX },
	[TAG_ENV] = { "environment", FM_STRINGS_MAX },
	[TAG_CWD] = { "working directory", FM_PATH_MAX },
	[TAG_SCRIPT] = { "script", FM_SCRIPT_MAX },
};

static size_t strings_size(char *const *strings)
{
	size_t size = 0;

	for (; strings && *strings; strings++)
		size += strlen(*strings) + 1;
	return size;
}

static uint8_t *put_header(uint8_t *p, enum tag tag, size_t size)
{
	*p = (uint8_t)tag;
	fm_put_u32(p + 1, (uint32_t)size);
	return p + 5;
}

static uint8_t *put_field(uint8_t *p, enum tag tag, const void *data, size_t size)
{
	p = put_header(p, tag, size);
	if (size)
		memcpy(p, data, size);
	return p + size;
}

static uint8_t *put_strings(uint8_t *p, enum tag tag, char *const *strings)
{
	p = put_header(p, tag, strings_size(strings));
	for (; strings && *strings; strings++) {
		size_t n = strlen(*strings) + 1;

		memcpy(p, *strings, n);
		p += n;
	}
	return p;
}

uint8_t *fm_request_encode(const struct fm_request *request, size_t *size_r, struct fm_error *err)
{
	const char *cwd = request->cwd ? request->cwd : "";
	const size_t sizes[TAG_COUNT] = {
		[TAG_ID] = strlen(request->id),
		[TAG_NUMBERS] = NUMBERS_SIZE,
		[TAG_ARGV] = strings_size(request->argv),
		[TAG_ENV] = strings_size(request->env),
		[TAG_CWD] = strlen(cwd),
		[TAG_SCRIPT] = request->script ? request->script_size : 0,
	};
	uint8_t numbers[NUMBERS_SIZE];
	size_t size = 0;
	uint8_t *blob, *p;

	for (int i = 0; i < TAG_COUNT; i++) {
		if (sizes[i] > tags[i].max) {
			fm_fail(err, FM_USAGE, "the %s is too long (%zu bytes, at most %zu)", tags[i].name,
				sizes[i], tags[i].max);
			return NULL;
		}
		size += 5 + sizes[i];
	}
	blob = malloc(size);
	if (!blob) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	fm_put_u32(numbers, request->flags);
	fm_put_u32(numbers + 4, request->umask);
	fm_put_u64(numbers + 8, request->client);
	fm_put_u64(numbers + 16, request->from[FM_STDOUT]);
	fm_put_u64(numbers + 24, request->from[FM_STDERR]);
	p = put_field(blob, TAG_ID, request->id, sizes[TAG_ID]);
	p = put_field(p, TAG_NUMBERS, numbers, NUMBERS_SIZE);
	p = put_strings(p, TAG_ARGV, request->argv);
	p = put_strings(p, TAG_ENV, request->env);
	p = put_field(p, TAG_CWD, cwd, sizes[TAG_CWD]);
	if (request->script)
		p = put_field(p, TAG_SCRIPT, request->script, request->script_size);
	*size_r = (size_t)(p - blob);
	return blob;
}

static char **get_strings(const uint8_t *data, size_t size, struct fm_error *err)
{
	size_t count = 0;
	char **list, *copy;

	if (size && data[size - 1] != 0) {
		fm_fail(err, FM_USAGE, "a string without its end");
		return NULL;
	}
	for (size_t i = 0; i < size; i++)
		count += data[i] == 0;
	/* one block: the pointers, then the strings, so one free() */
	list = malloc((count + 1) * sizeof(*list) + size);
	if (!list) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	copy = (char *)(list + count + 1);
	if (size)
		memcpy(copy, data, size);
	for (size_t i = 0; i < count; i++, copy += strlen(copy) + 1)
		list[i] = copy;
	list[count] = NULL;
	return list;
}

static char *get_text(const uint8_t *data, size_t size, struct fm_error *err)
{
	char *text = malloc(size + 1);

	if (!text) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	memcpy(text, data, size);
	text[size] = 0;
	return text;
}

static int get_id(struct fm_request *request, const uint8_t *data, size_t size, struct fm_error *err)
{
	for (size_t i = 0; i < size; i++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", data[i]) ||
		    data[i] == 0 || (i == 0 && data[i] == '.'))
			return fm_fail(err, FM_USAGE, "a task id with a character it may not have");
	memcpy(request->id, data, size);
	request->id[size] = 0;
	return 0;
}

static int get_field(struct fm_request *request, enum tag tag, const uint8_t *data, size_t size,
		     struct fm_error *err)
{
	switch (tag) {
	case TAG_ID:
		return get_id(request, data, size, err);
	case TAG_NUMBERS:
		if (size != NUMBERS_SIZE)
			return fm_fail(err, FM_USAGE, "a request of another version");
		request->flags = fm_get_u32(data);
		request->umask = fm_get_u32(data + 4) & 0777;
		request->client = fm_get_u64(data + 8);
		request->from[FM_STDOUT] = fm_get_u64(data + 16);
		request->from[FM_STDERR] = fm_get_u64(data + 24);
		return 0;
	case TAG_ARGV:
		request->argv = get_strings(data, size, err);
		return request->argv ? 0 : -1;
	case TAG_ENV:
		request->env = get_strings(data, size, err);
		return request->env ? 0 : -1;
	case TAG_CWD:
		request->cwd = get_text(data, size, err);
		return request->cwd ? 0 : -1;
	case TAG_SCRIPT:
		request->script = get_text(data, size, err);
		request->script_size = size;
		return request->script ? 0 : -1;
	case TAG_COUNT:
		break;
	}
	return fm_fail(err, FM_USAGE, "a request with an unknown field");
}

int fm_request_decode(struct fm_request *request, const uint8_t *data, size_t size, struct fm_error *err)
{
	unsigned seen = 0;

	memset(request, 0, sizeof(*request));
	while (size) {
		size_t n;
		unsigned tag;

		if (size < 5)
			return fm_fail(err, FM_USAGE, "a request cut short");
		tag = data[0];
		n = fm_get_u32(data + 1);
		if (tag >= TAG_COUNT || seen & 1u << tag)
			return fm_fail(err, FM_USAGE, "a request with an unknown or repeated field");
		if (n > tags[tag].max || n > size - 5)
			return fm_fail(err, FM_USAGE, "the %s of a request is too long", tags[tag].name);
		if (get_field(request, tag, data + 5, n, err))
			return -1;
		seen |= 1u << tag;
		data += 5 + n;
		size -= 5 + n;
	}
	if ((seen | 1u << TAG_SCRIPT) != (1u << TAG_COUNT) - 1)
		return fm_fail(err, FM_USAGE, "a request without all its fields");
	if (!request->argv[0])
		return fm_fail(err, FM_USAGE, "a request without a command");
	if (!request->id[0] != !!(request->flags & FM_REQUEST_EPHEMERAL))
		return fm_fail(err, FM_USAGE, "a task needs an id, one that ends with its connection none");
	return 0;
}

void fm_request_dispose(struct fm_request *request)
{
	free(request->argv);
	free(request->env);
	free(request->cwd);
	free(request->script);
	memset(request, 0, sizeof(*request));
}
