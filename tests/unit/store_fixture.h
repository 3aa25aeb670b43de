/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store_fixture.h - a store in a temporary folder with snapshots in it, for the store's tests. */
#ifndef FM_TEST_STORE_FIXTURE_H
#define FM_TEST_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/store/store.h"
#include "tests/unit/xenstream_sample.h"

/* A new empty folder below $TMPDIR; fixture_remove() takes it away. Caller frees. */
char *fixture_store(void);
void fixture_remove(char *store);

/* Bytes that compress somewhat, the same for the same seed. Caller frees. */
unsigned char *fixture_state(size_t size, unsigned seed);

/* A PVH domain's stream of so many pages (pfn 0 …), fixture_state() in them. s is zeroed before; dispose of it. */
void fixture_stream(struct sample *s, size_t pages, unsigned seed);

/* A valid manifest of `members` members with these files; held may be NULL. */
struct json_object *fixture_manifest(const struct fm_snapshot_id *id, unsigned members,
				     const struct store_file *maps, const struct store_file *held);

/* begin, write each member's domain and held frames, commit: 0, or -1 with err. */
int fixture_snapshot(const char *store, uint32_t job, unsigned members, struct fm_snapshot_id *id_r,
		     struct fm_error *err);

/* verify_snapshot() (copies/verify.h), of StoreDir alone. */
int fixture_verify(const char *store, struct fm_snapshot_id *id, struct json_object **result_r, struct fm_error *err);

/* "1 2 5": the numbers store_list() shows of the job. Into a static buffer. */
const char *fixture_listed(const char *store, uint32_t job);

/* Retention by number alone; 0, or -1 with err. */
/* The job's script, not encrypted. */
int fixture_script(const char *store, uint32_t job, const char *script, struct fm_error *err);
int fixture_prune(const char *store, uint32_t job, unsigned keep, unsigned *removed_r, struct fm_error *err);

/* Flip one bit of byte `at` of a file; at < 0 counts from its end. */
void fixture_damage(const char *path, long at);

#define assert_ok(call, err)                                                                       \
	do {                                                                                       \
		if ((call) < 0)                                                                    \
			fail_msg("%s: %s", #call, (err).text);                                     \
	} while (0)
#define assert_code(call, err, expected)                                                           \
	do {                                                                                       \
		assert_int_equal((call), -1);                                                      \
		assert_int_equal((err).code, (expected));                                          \
		assert_true(*(err).text);                                                          \
	} while (0)

#endif
