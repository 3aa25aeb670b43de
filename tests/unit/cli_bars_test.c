/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cli_bars_test - what the progress of a snapshot looks like: width and height are obeyed, numbers are not made up. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/cli/bars.h"

#define GIB ((uint64_t)1 << 30)
#define PAGES_A_GIB (GIB / BARS_PAGE)

/* Member i of count has read i/count of 4 GiB: a half of it zero, a quarter known. */
static struct bars_member *group(size_t count)
{
	struct bars_member *m = calloc(count, sizeof(*m));

	assert_non_null(m);
	for (size_t i = 0; i < count; i++) {
		uint64_t pages = 4 * PAGES_A_GIB * i / count;

		m[i] = (struct bars_member){ .rank = (unsigned)i, .state = BARS_SAVING, .pages = pages, .zero = pages / 2,
					     .known = pages / 4, .stored = pages / 4, .stored_bytes = pages / 4 * 2048,
					     .raw_bytes = 4 * GIB };
		snprintf(m[i].node, sizeof(m[i].node), "node%zu", i);
	}
	return m;
}

static size_t lines_of(const char *text, size_t *longest_r)
{
	size_t n = 1;

	*longest_r = 0;
	for (;; n++) {
		size_t length = strcspn(text, "\n");

		*longest_r = length > *longest_r ? length : *longest_r;
		text += length;
		if (!*text++)
			return n;
	}
}

static void any_size_of_terminal(void **state)
{
	static const size_t counts[] = { 0, 1, 2, 7, 300 };

	(void)state;
	for (size_t c = 0; c < sizeof(counts) / sizeof(*counts); c++) {
		struct bars_member *m = group(counts[c]);
		struct bars b = { .name = "1234.3", .round = "commit", .members = m, .count = counts[c], .bytes_per_s = 1e9 };

		for (unsigned columns = 2; columns < 300; columns += columns < 60 ? 1 : 37)
			for (unsigned rows = 1; rows < 40; rows += 3) {
				char *text = bars_lines(&b, columns, rows);
				size_t longest, n;

				assert_non_null(text);
				n = lines_of(text, &longest);
				assert_true(longest < columns);
				assert_true(n <= rows);
				free(text);
			}
		free(m);
	}
}

static void what_a_wide_one_shows(void **state)
{
	struct bars_member *m = group(2);
	struct bars b = { .name = "12.3", .round = "commit", .members = m, .count = 2, .bytes_per_s = (double)GIB };
	char *text = bars_lines(&b, 120, 20);

	(void)state;
	/* 2 of 8 GiB at 1 GiB/s; half of 524288 pages zero; a page of four is stored, in half the room. */
	assert_non_null(strstr(text, "12.3: commit"));
	assert_non_null(strstr(text, " 25% 2.0 of 8.0 GiB, 1.0 GiB/s, ETA 0:06"));
	assert_non_null(strstr(text, "524288 pages, 50% zero, 25% known, dedup 4.0x, compression 2.0x, 256.0 MiB new"));
	assert_non_null(strstr(text, "1 node1"));
	assert_non_null(strstr(text, " 50% 2.0 of 4.0 GiB, 256.0 MiB new, dedup 4.0x"));
	assert_non_null(strchr(text, '#'));
	free(text);
	text = bars_line(&b);
	assert_string_equal(text, "12.3: commit, 25%, 2.0 of 8.0 GiB, 1.0 GiB/s, ETA 0:06, 524288 pages, 50% zero, 25% known, "
				  "dedup 4.0x, compression 2.0x, 256.0 MiB new");
	free(text);
	free(m);
}

static void the_slowest_of_many(void **state)
{
	struct bars_member *m = group(300);
	struct bars b = { .name = "12.3", .round = "arm", .members = m, .count = 300 };
	char *text;

	(void)state;
	m[299].state = m[298].state = BARS_DONE;
	m[250].pages = 10; /* far behind its neighbours */
	text = bars_lines(&b, 120, 12);
	assert_non_null(strstr(text, "node0 "));
	assert_non_null(strstr(text, "node250 "));
	assert_null(strstr(text, "node299"));
	assert_non_null(strstr(text, "and 292 more members, further on; 2 of them done"));
	free(text);
	free(m);
}

static double percent_of(const struct bars *b)
{
	char *text = bars_line(b), *at = text ? strchr(text, '%') : NULL;
	double value;

	assert_non_null(at);
	while (at > text && at[-1] != ' ')
		at--;
	value = strtod(at, NULL);
	free(text);
	return value;
}

/* A live save reads pages twice; who is not heard of, or says no size, is not taken for done. */
static void not_done_before_it_is(void **state)
{
	struct bars_member *m = group(4);
	struct bars b = { .name = "12.3", .round = "cut", .members = m, .count = 4 };
	struct bars_sum sum;
	char *text;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		m[i].pages = 3 * m[i].raw_bytes / BARS_PAGE;
	assert_true(percent_of(&b) == 99);
	m[0].state = BARS_WAITING;
	m[0].pages = m[0].raw_bytes = 0;
	bars_sum(&b, &sum);
	assert_true(sum.raw_bytes == 16 * GIB); /* as large as the others */
	assert_true(percent_of(&b) == 75);
	for (size_t i = 0; i < 4; i++) {
		m[i].state = BARS_DONE;
		m[i].raw_bytes = 4 * GIB;
	}
	assert_true(percent_of(&b) == 100);
	text = bars_lines(&b, 100, 20);
	assert_non_null(strstr(text, "] done "));
	free(text);
	m[1].state = BARS_SILENT;
	m[1].pages = 0;
	text = bars_lines(&b, 100, 20);
	assert_non_null(strstr(text, "no answer"));
	free(text);
	free(m);
}

/* Before anything is known, and with numbers that no agent should send. */
static void nothing_known_and_nonsense(void **state)
{
	struct bars_member m = { .state = BARS_SAVING };
	struct bars b = { .name = "12.3", .round = "", .members = &m, .count = 0, .elapsed_s = 1.5 };
	char *text = bars_lines(&b, 80, 24);

	(void)state;
	assert_non_null(strstr(text, "12.3: waiting"));
	assert_non_null(strstr(text, "1.5 s"));
	assert_null(strchr(text, '%'));
	free(text);
	b.count = 1;
	b.round = "\033[2Jcut\n";
	m.pages = m.zero = m.known = m.stored = m.stored_bytes = m.raw_bytes = UINT64_MAX / 2;
	b.bytes_per_s = 1e-9;
	text = bars_lines(&b, 80, 24);
	assert_non_null(text);
	assert_null(strchr(text, '\033'));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_size_of_terminal), cmocka_unit_test(what_a_wide_one_shows),
		cmocka_unit_test(the_slowest_of_many),	cmocka_unit_test(not_done_before_it_is),
		cmocka_unit_test(nothing_known_and_nonsense),
	};

	return cmocka_run_group_tests_name("cli bars", tests, NULL, NULL);
}
