/* SPDX-License-Identifier: GPL-2.0-or-later */
/* worker_xl_file_test.c - the frame of a saved domain, byte by byte as xl wants it. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/hypervisor/xl_file.h"
#include "common/cleanup.h"
#include "common/io.h"

static const unsigned char expected[] =
	"Xen saved domain, xl format\n \0 \r" /* 32 */
	"\x04\x03\x02\x01" "\x03\0\0\0" "\0\0\0\0" "\x08\0\0\0"
	"\x04\0\0\0" "{ }\0"
	"LibxlFmt" "\0\0\0\x02" "\0\0\0\0"
	"\x01\0\0\0" "\0\0\0";

/* The bytes behind a descriptor, as a restore gets them. */
static int pipe_of(const void *bytes, size_t size)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fm_write_all(fds[1], bytes, size), 0);
	close(fds[1]);
	return fds[0];
}

static void test_begin_is_what_xl_wants(void **state)
{
	struct fm_error err;
	size_t size;
	FM_AUTO_FREE unsigned char *bytes = xl_file_begin("{ }", &size, &err);

	assert_non_null(bytes);
	assert_int_equal(size, sizeof(expected));
	assert_memory_equal(bytes, expected, size);
	assert_memory_equal(xl_file_end, "\0\0\0\0\0\0\0\0", XL_FILE_END_SIZE);
}

static void test_header_read_back(void **state)
{
	FM_AUTO_CLOSE int fd = pipe_of(expected, sizeof(expected));
	struct fm_error err;
	FM_AUTO_FREE char *json = xl_file_read_header(fd, &err);
	char next[8];

	assert_non_null(json);
	assert_string_equal(json, "{ }");
	assert_int_equal(fm_read_all(fd, next, 8), 8); /* libxl starts right here */
	assert_memory_equal(next, "LibxlFmt", 8);
}

static void refused(const void *bytes, size_t size, enum fm_code code)
{
	FM_AUTO_CLOSE int fd = pipe_of(bytes, size);
	struct fm_error err;

	assert_null(xl_file_read_header(fd, &err));
	assert_int_equal(err.code, code);
}

static void test_bad_headers(void **state)
{
	unsigned char bad[sizeof(expected)];

	for (size_t size = 0; size < 56; size++)
		refused(expected, size, FM_CORRUPT);
	memcpy(bad, expected, sizeof(bad));
	bad[3] ^= 1; /* magic */
	refused(bad, sizeof(bad), FM_CORRUPT);
	memcpy(bad, expected, sizeof(bad));
	bad[32] = 1; /* byte order */
	refused(bad, sizeof(bad), FM_INCOMPATIBLE);
	memcpy(bad, expected, sizeof(bad));
	bad[36] = 7; /* a mandatory feature nobody knows */
	refused(bad, sizeof(bad), FM_INCOMPATIBLE);
	memcpy(bad, expected, sizeof(bad));
	bad[51] = bad[47] = 0x7f; /* two gigabytes of JSON */
	refused(bad, sizeof(bad), FM_CORRUPT);
	memcpy(bad, expected, sizeof(bad));
	bad[48] = 0; /* lengths that disagree */
	refused(bad, sizeof(bad), FM_CORRUPT);
	memcpy(bad, expected, sizeof(bad));
	bad[55] = 'x'; /* no NUL */
	refused(bad, sizeof(bad), FM_CORRUPT);
}

static void test_huge_configuration_is_not_written(void **state)
{
	FM_AUTO_FREE char *json = malloc(XL_FILE_JSON_MAX + 1);
	struct fm_error err;
	size_t size;

	assert_non_null(json);
	memset(json, ' ', XL_FILE_JSON_MAX);
	json[XL_FILE_JSON_MAX] = '\0';
	assert_null(xl_file_begin(json, &size, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begin_is_what_xl_wants),
		cmocka_unit_test(test_header_read_back),
		cmocka_unit_test(test_bad_headers),
		cmocka_unit_test(test_huge_configuration_is_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
