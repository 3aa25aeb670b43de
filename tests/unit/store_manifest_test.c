/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_manifest_test - a manifest is believed only when its hash, its types, its
 * bounds and its names are right.  Whoever writes a manifest by hand can also
 * compute its hash: so every hostile value here is properly sealed.
 */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/manifest.h"
#include "common/cleanup.h"
#include "common/io.h"

struct bench {
	char *store;
	struct fm_snapshot_id id;
	char *path; /* of the manifest */
	struct json_object *manifest;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct fm_error err;

	b->store = fixture_store();
	assert_ok(fixture_snapshot(b->store, 7, 2, &b->id, &err), err);
	b->path = fm_format("%s/7/1/manifest.json", b->store);
	b->manifest = store_manifest(b->store, &b->id, &err);
	if (!b->manifest)
		fail_msg("%s", err.text);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	json_object_put(b->manifest);
	fixture_remove(b->store);
	free(b->path);
	free(b);
	return 0;
}

/* The value at "members.1.map.bytes"; the last step's holder and key. */
static struct json_object *walk(struct json_object *o, const char *path, const char **last_r)
{
	static char copy[128];
	char *save = NULL, *step, *next;

	snprintf(copy, sizeof(copy), "%s", path);
	step = strtok_r(copy, ".", &save);
	while ((next = strtok_r(NULL, ".", &save)) != NULL) {
		if (json_object_is_type(o, json_type_array))
			o = json_object_array_get_idx(o, strtoul(step, NULL, 10));
		else
			o = manifest_get(o, step);
		assert_non_null(o);
		step = next;
	}
	*last_r = step;
	return o;
}

/* A sealed manifest with `path` set to the JSON `value` (NULL: key removed) and what reading it says. */
static enum fm_code verdict_on(struct bench *b, const char *path, const char *value, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *copy = NULL, *back = NULL;
	struct json_object *holder;
	FM_AUTO_FREE char *text = NULL;
	const char *key;

	assert_int_equal(json_object_deep_copy(b->manifest, &copy, NULL), 0);
	holder = walk(copy, path, &key);
	if (!value)
		json_object_object_del(holder, key);
	else if (json_object_is_type(holder, json_type_array))
		json_object_array_put_idx(holder, strtoul(key, NULL, 10), json_tokener_parse(value));
	else
		json_object_object_add(holder, key, json_tokener_parse(value));
	text = manifest_seal(copy, err);
	if (!text)
		fail_msg("%s=%s: %s", path, value ? value : "(removed)", err->text);
	assert_ok(fm_file_write(b->path, 0600, text, strlen(text), err), *err);
	back = store_manifest(b->store, &b->id, err);
	return back ? FM_OK : err->code;
}

static void every_key_is_needed(void **state)
{
	static const char *const keys[] = {
		"version", "snapshot", "created", "job", "guest", "members", "cut", "notes",
		"job.scheduler", "job.job", "job.name", "job.uid", "job.gid", "job.gids", "job.user", "job.home",
		"job.image", "job.memory_mib", "job.vcpus", "job.interval_s", "job.keep", "job.nodes",
		"guest.token", "guest.port", "guest.prefix", "guest.nodes", "guest.nodes.1.name", "guest.nodes.1.ip",
		"guest.nodes.1.mac", "members.1.rank", "members.1.node", "members.1.type", "members.1.live",
		"members.1.map", "members.1.map.name", "members.1.map.bytes", "members.1.map.raw_bytes",
		"members.1.map.sha256", "members.1.map.stored_bytes", "members.1.map.known_pages",
		"members.1.held.name", "members.1.held.bytes", "members.1.held.frames",
		"members.1.stop_ms", "members.1.suspended_at_ns", "cut.stop_ms", "cut.skew_ms", "cut.create_ms",
		"cut.flush_bound_ms", "cut.gate",
	};
	struct bench *b = *state;
	struct fm_error err;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (verdict_on(b, keys[i], NULL, &err) != FM_CORRUPT)
			fail_msg("without %s it is not FM_CORRUPT", keys[i]);
		if (verdict_on(b, keys[i], "{\"a\":1}", &err) == FM_OK)
			fail_msg("%s may be an object of nothing", keys[i]);
	}
	assert_int_equal(verdict_on(b, "comment", NULL, &err), FM_OK);
	assert_int_equal(verdict_on(b, "members.1.held", NULL, &err), FM_OK);
	assert_int_equal(verdict_on(b, "of_a_later_writer", "1", &err), FM_OK);
}

static void numbers_out_of_bounds_are_refused(void **state)
{
	static const struct {
		const char *path, *value;
	} cases[] = {
		{ "version", "0" }, { "version", "-1" }, { "version", "\"1\"" }, { "version", "1.0" },
		{ "job.job", "0" }, { "job.job", "8" }, { "job.job", "4294967303" },
		{ "job.uid", "-1" }, { "job.uid", "4294967295" }, { "job.gids.1", "4294967295" }, { "job.gids.0", "-5" },
		{ "job.memory_mib", "0" }, { "job.memory_mib", "9223372036854775807" }, { "job.vcpus", "0" },
		{ "job.vcpus", "1000000" }, { "job.interval_s", "-1" }, { "job.keep", "-1" },
		{ "guest.port", "0" }, { "guest.port", "65536" }, { "guest.prefix", "33" }, { "guest.prefix", "0" },
		{ "members.0.rank", "1" }, { "members.0.rank", "-1" }, { "members.1.rank", "65536" },
		{ "members.0.map.bytes", "-1" }, { "members.0.map.bytes", "9223372036854775807" },
		{ "members.0.map.bytes", "18446744073709551615" }, { "members.0.map.bytes", "1e3" },
		{ "members.0.map.raw_bytes", "2000000000000000000" },
		{ "members.0.held.bytes", "268435457" }, { "members.0.held.frames", "-1" },
		{ "members.0.stop_ms", "-0.5" }, { "members.0.stop_ms", "1e300" }, { "members.0.stop_ms", "NaN" },
		{ "members.0.suspended_at_ns", "-1" }, { "cut.skew_ms", "Infinity" }, { "cut.create_ms", "\"4\"" },
		{ "members.0.live", "1" },
	};
	struct bench *b = *state;
	struct fm_error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (verdict_on(b, cases[i].path, cases[i].value, &err) != FM_CORRUPT)
			fail_msg("%s=%s: not refused", cases[i].path, cases[i].value);
	/* And the bounds themselves are allowed. */
	assert_int_equal(verdict_on(b, "job.uid", "4294967294", &err), FM_OK);
	assert_int_equal(verdict_on(b, "guest.port", "65535", &err), FM_OK);
	assert_int_equal(verdict_on(b, "members.0.stop_ms", "0", &err), FM_OK);
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
	static const struct {
		const char *path, *value;
	} cases[] = {
		{ "members.0.map.name", "\"../../7/1/member-0.map\"" }, { "members.0.map.name", "\"/etc/shadow\"" },
		{ "members.0.map.name", "\"member-1.map\"" }, { "members.0.map.name", "\"\"" },
		{ "members.0.map.name", "\"member-0.map\\u0000x\"" }, { "members.0.held.name", "\"..\"" },
		{ "members.0.held.name", "\"member-0.map\"" }, { "members.0.held.name", "\".\"" },
		{ "job.image", "\"../../root\"" }, { "job.image", "\"a/b\"" }, { "job.image", "\".hidden\"" },
		{ "job.nodes.0", "\"-oProxyCommand=x\"" }, { "job.nodes.0", "\"n1;reboot\"" }, { "job.nodes.0", "\"\"" },
		{ "members.0.node", "\"n1 n2\"" }, { "guest.nodes.0.name", "\"a\\nb\"" },
		{ "guest.nodes.0.ip", "\"10.78.1\"" }, { "guest.nodes.0.ip", "\"300.1.1.1\"" },
		{ "guest.nodes.0.mac", "\"00:16:3e:00:01:0g\"" }, { "guest.nodes.0.mac", "\"00:16:3e:00:01\"" },
		{ "guest.token", "\"ABCD\"" }, { "members.0.map.sha256", "\"xyz\"" },
		{ "snapshot", "\"7.2\"" }, { "snapshot", "\"8.1\"" }, { "created", "\"yesterday\"" },
		{ "created", "\"2026-11-22 18:00:00\"" }, { "cut.gate", "\"\"" },
	};
	struct bench *b = *state;
	struct fm_error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (verdict_on(b, cases[i].path, cases[i].value, &err) != FM_CORRUPT)
			fail_msg("%s=%s: not refused", cases[i].path, cases[i].value);
}

static void counts_must_agree(void **state)
{
	struct bench *b = *state;
	struct fm_error err;

	assert_int_equal(verdict_on(b, "members", "[]", &err), FM_CORRUPT);
	assert_int_equal(verdict_on(b, "job.nodes", "[\"n1\"]", &err), FM_CORRUPT);
	assert_int_equal(verdict_on(b, "guest.nodes", "[]", &err), FM_CORRUPT);
	assert_int_equal(verdict_on(b, "notes", "[1]", &err), FM_CORRUPT);
}

static void another_version_says_so(void **state)
{
	struct bench *b = *state;
	struct fm_error err;

	assert_int_equal(verdict_on(b, "version", "4", &err), FM_INCOMPATIBLE);
	assert_non_null(strstr(err.text, "version 4"));
	assert_non_null(strstr(err.text, "newer"));
	assert_int_equal(verdict_on(b, "version", "1", &err), FM_INCOMPATIBLE);
	assert_non_null(strstr(err.text, "earlier"));
}

#define DISK(vdev, name)                                                                                                   \
	"{\"vdev\":\"" vdev "\",\"size\":8192,\"name\":\"" name "\",\"bytes\":1,\"raw_bytes\":1,\"sha256\":"                          \
	"\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"stored_bytes\":1,\"pages\":1,"              \
	"\"known_pages\":0,\"stored_pages\":1}"

/* A reader that knows of no disks must not take a member's memory without them. */
static void disks_are_of_a_version_of_their_own(void **state)
{
	static const char *const bad[] = {
		"[" DISK("xvdb", "member-0.disk-xvdb.map") "]", "[" DISK("xvdb", "member-1.disk-xvdc.map") "]", "[]",
		"[" DISK("xvdb", "member-1.disk-xvdb.map") "," DISK("xvdb", "member-1.disk-xvdb.map") "]", "[{}]",
		"[" DISK("../b", "member-1.disk-../b.map") "]",
	};
	static const char good[] = "[" DISK("xvdb", "member-1.disk-xvdb.map") "]";
	struct bench *b = *state;
	struct store_disk disk;
	struct fm_error err;

	assert_int_equal(verdict_on(b, "members.1.disks", good, &err), FM_CORRUPT);
	json_object_object_add(b->manifest, "version", json_object_new_int(MANIFEST_VERSION_DISKS));
	assert_int_equal(verdict_on(b, "members.1.disks", good, &err), FM_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(verdict_on(b, "members.1.disks", bad[i], &err), FM_CORRUPT);
	json_object_object_add(json_object_array_get_idx(manifest_get(b->manifest, "members"), 1), "disks", json_tokener_parse(good));
	assert_false(store_manifest_disk(b->manifest, 0, 0, &disk));
	assert_true(store_manifest_disk(b->manifest, 1, 0, &disk));
	assert_string_equal(disk.vdev, "xvdb");
	assert_int_equal(disk.size, 8192);
	assert_false(store_manifest_disk(b->manifest, 1, 1, &disk));
	assert_int_equal(store_check(b->store, &b->id, b->manifest, &err), -1); /* the map is not there */
	assert_int_equal(err.code, FM_CORRUPT);
}

/* Every byte of the text: what still reads must mean exactly the same. */
static void every_damaged_byte_is_found(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE char *text = NULL, *whole = strdup(json_object_to_json_string(b->manifest));
	struct fm_error err;
	size_t size, refused = 0;

	text = fm_file_read(b->path, 1 << 20, &size, &err);
	assert_non_null(text);
	for (size_t i = 0; i < size; i++) {
		for (int bit = 0; bit < 8; bit++) {
			FM_AUTO_JSON struct json_object *back = NULL;

			text[i] ^= (char)(1 << bit);
			back = manifest_open(text, size, &b->id, &err);
			text[i] ^= (char)(1 << bit);
			if (back && strcmp(json_object_to_json_string(back), whole) != 0)
				fail_msg("bit %d of byte %zu damaged: reads, and means something else", bit, i);
			refused += !back;
			assert_true(back || err.code == FM_CORRUPT || err.code == FM_INCOMPATIBLE);
		}
	}
	assert_true(refused > size * 8 - 8);
	for (size_t cut = 0; cut < size; cut++)
		assert_null(manifest_open(text, cut, &b->id, &err));
}

static void a_valid_one_reads_back_the_same(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE char *sealed = NULL;
	FM_AUTO_JSON struct json_object *back = NULL;
	struct store_file map, held;
	struct fm_error err;

	sealed = manifest_seal(b->manifest, &err);
	assert_non_null(sealed);
	back = manifest_open(sealed, strlen(sealed), &b->id, &err);
	assert_non_null(back);
	assert_string_equal(json_object_to_json_string(back), json_object_to_json_string(b->manifest));
	assert_ok(store_manifest_member(back, 1, &map, &held, &err), err);
	assert_string_equal(map.name, "member-1.map");
	assert_in_range(map.raw_bytes, 70 * 4096, 71 * 4096);
	assert_string_equal(held.name, "member-1.held");
	assert_int_equal(held.bytes, 1001);
	assert_code(store_manifest_member(back, 2, &map, &held, &err), err, FM_NOT_FOUND);
}

static void the_description_keeps_the_token(void **state)
{
	struct bench *b = *state;
	FM_AUTO_JSON struct json_object *o = store_describe(b->store, &b->id, b->manifest);
	const char *text = json_object_to_json_string(o);
	struct store_file map, held;
	int64_t bytes = 0;
	struct fm_error err;

	assert_null(strstr(text, "00112233445566"));
	assert_null(strstr(text, "token"));
	for (unsigned i = 0; i < 2; i++) {
		assert_ok(store_manifest_member(b->manifest, i, &map, &held, &err), err);
		bytes += (int64_t)(9 + held.bytes); /* stored_bytes */
	}
	assert_int_equal(fm_json_int_or(o, "bytes", -1), bytes);
	assert_string_equal(fm_json_string_or(o, "snapshot", ""), "7.1");
	assert_string_equal(fm_json_string_or(o, "state", ""), "whole");
	assert_int_equal(fm_json_int_or(manifest_get(o, "job"), "uid", -1), 1000);
	assert_int_equal(json_object_array_length(manifest_get(o, "members")), 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(every_key_is_needed),
		T(numbers_out_of_bounds_are_refused),
		T(names_that_lead_elsewhere_are_refused),
		T(counts_must_agree),
		T(another_version_says_so),
		T(disks_are_of_a_version_of_their_own),
		T(every_damaged_byte_is_found),
		T(a_valid_one_reads_back_the_same),
		T(the_description_keeps_the_token),
	};

	return cmocka_run_group_tests_name("store manifest", tests, NULL, NULL);
}
