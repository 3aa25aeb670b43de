/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xl_file.c - see xl_file.h. */
#include "config.h"

#include "agent/hypervisor/xl_file.h"

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"

#define MAGIC_SIZE 32
#define BYTE_ORDER_MARK 0x01020304u
#define MANDATORY_JSON 1u     /* the configuration is JSON */
#define MANDATORY_STREAM2 2u  /* libxl's stream version 2 follows */
#define LIBXL_IDENT 0x4c6962786c466d74ull /* "LibxlFmt" */
#define LIBXL_VERSION_2 2u
#define RECORD_LIBXC_CONTEXT 1u

static const char magic[MAGIC_SIZE] = "Xen saved domain, xl format\n \0 \r";

struct xl_header {
	char magic[MAGIC_SIZE];
	uint32_t byte_order;
	uint32_t mandatory;
	uint32_t optional;
	uint32_t optional_size;
};

struct libxl_begin {
	uint64_t ident;
	uint32_t version;
	uint32_t options;
	uint32_t record_type;
	uint32_t record_size;
};

_Static_assert(sizeof(struct xl_header) == 48, "no padding");
_Static_assert(sizeof(struct libxl_begin) == 24, "no padding");

const unsigned char xl_file_end[XL_FILE_END_SIZE] = { 0 }; /* type END, length 0 */

void *xl_file_begin(const char *config_json, size_t *size_r, struct fm_error *err)
{
	size_t json_size = strlen(config_json) + 1;
	uint32_t n = htole32((uint32_t)json_size);
	struct xl_header xl = { .byte_order = htole32(BYTE_ORDER_MARK),
				.mandatory = htole32(MANDATORY_JSON | MANDATORY_STREAM2),
				.optional_size = htole32((uint32_t)(sizeof(n) + json_size)) };
	const struct libxl_begin libxl = { .ident = htobe64(LIBXL_IDENT), .version = htobe32(LIBXL_VERSION_2),
					   .record_type = htole32(RECORD_LIBXC_CONTEXT) };
	char *bytes, *p;

	if (json_size > XL_FILE_JSON_MAX) {
		fm_fail(err, FM_FAILED, "a configuration of %zu bytes is too large", json_size);
		return NULL;
	}
	*size_r = sizeof(xl) + sizeof(n) + json_size + sizeof(libxl);
	p = bytes = malloc(*size_r);
	if (!bytes) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	memcpy(xl.magic, magic, MAGIC_SIZE);
	p = mempcpy(p, &xl, sizeof(xl));
	p = mempcpy(p, &n, sizeof(n));
	p = mempcpy(p, config_json, json_size);
	memcpy(p, &libxl, sizeof(libxl));
	return bytes;
}

static int read_exactly(int fd, void *data, size_t size, struct fm_error *err)
{
	ssize_t n = fm_read_all(fd, data, size);

	if (n < 0)
		return fm_fail(err, FM_FAILED, "reading the stream: %s", strerror(errno));
	return (size_t)n == size ? 0 : fm_fail(err, FM_CORRUPT, "the stream ends within its header");
}

char *xl_file_read_header(int fd, struct fm_error *err)
{
	FM_AUTO_FREE char *json = NULL;
	struct xl_header h;
	uint32_t n, size;

	if (read_exactly(fd, &h, sizeof(h), err) < 0)
		return NULL;
	size = le32toh(h.optional_size);
	if (memcmp(h.magic, magic, MAGIC_SIZE) != 0) {
		fm_fail(err, FM_CORRUPT, "this is not a saved domain");
		return NULL;
	}
	if (le32toh(h.byte_order) != BYTE_ORDER_MARK ||
	    le32toh(h.mandatory) != (MANDATORY_JSON | MANDATORY_STREAM2)) {
		fm_fail(err, FM_INCOMPATIBLE, "the saved domain is of a kind this version does not read");
		return NULL;
	}
	if (read_exactly(fd, &n, sizeof(n), err) < 0)
		return NULL;
	n = le32toh(n);
	if (n == 0 || n > XL_FILE_JSON_MAX || size != sizeof(n) + n) {
		fm_fail(err, FM_CORRUPT, "the saved domain's configuration has an impossible length");
		return NULL;
	}
	json = malloc(n);
	if (!json) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	if (read_exactly(fd, json, n, err) < 0)
		return NULL;
	if (json[n - 1] != '\0') {
		fm_fail(err, FM_CORRUPT, "the saved domain's configuration has no end");
		return NULL;
	}
	return fm_steal_ptr(&json);
}
