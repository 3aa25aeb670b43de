/* SPDX-License-Identifier: GPL-2.0-or-later */
/* secret_test - the script and the guests' token: readable with the job's key alone, where it has one. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/store/secret.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/key_fixture.h"

static const char text[] = "#!/bin/sh\necho \xc3\xa9\n";
static const char token[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"; /* store_fixture.c's */

/* Is `what` to be seen in the file? */
static bool holds(const char *path, const char *what)
{
	struct fm_error err;
	size_t size;
	FM_AUTO_FREE char *data = fm_file_read(path, 1 << 20, &size, &err);

	assert_non_null(data);
	return memmem(data, size, what, strlen(what)) != NULL;
}

static void script_of(const struct key_world *w, const char *key_file)
{
	FM_AUTO_FREE char *path = fm_format("%s/script", w->folder), *script = NULL;
	struct store_access a;
	struct fm_error err;
	struct stat st;

	assert_ok(store_access_open(&a, w->folder, JOB, key_file, true, &err), err);
	assert_null(store_script_read(&a, &err));
	assert_int_equal(err.code, FM_NOT_FOUND);
	assert_ok(store_script_write(&a, "#!/bin/sh\nold\n", &err), err);
	assert_ok(store_script_write(&a, text, &err), err);
	script = store_script_read(&a, &err);
	assert_string_equal(script, text);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(holds(path, "echo"), !key_file);
	store_access_close(&a);
}

static void a_script_is_kept(void **state)
{
	script_of(*state, NULL);
}

static void a_script_is_sealed(void **state)
{
	const struct key_world *w = *state;
	FM_AUTO_FREE char *path = fm_format("%s/script", w->folder);
	struct store_access a;
	struct fm_error err;

	script_of(w, w->site_path);
	assert_ok(store_access_open(&a, w->folder, JOB, w->site_path, false, &err), err);
	fixture_damage(path, -1);
	assert_null(store_script_read(&a, &err));
	assert_int_equal(err.code, FM_CORRUPT);
	/* one that is not sealed was not written by who has the key */
	assert_ok(fm_file_write(path, 0600, text, strlen(text), &err), err);
	assert_null(store_script_read(&a, &err));
	assert_int_equal(err.code, FM_DENIED);
	store_access_close(&a);
	assert_code(store_access_open(&a, w->folder, JOB, NULL, false, &err), err, FM_DENIED);
	store_access_close(&a);
}

static struct json_object *manifest_of(const struct fm_snapshot_id *id)
{
	const struct store_file map = { "member-0.map", 1, 1, "" }, held = { "member-0.held", 1, 1, "" };

	return fixture_manifest(id, 1, &map, &held);
}

static void a_token_is_left_where_there_is_no_key(void **state)
{
	const struct key_world *w = *state;
	const struct fm_snapshot_id id = { JOB, 3 };
	FM_AUTO_JSON struct json_object *manifest = manifest_of(&id), *guest = NULL;
	struct store_access a;
	struct fm_error err;

	assert_ok(store_access_open(&a, w->folder, JOB, NULL, true, &err), err);
	assert_ok(store_guest_seal(&a, &id, manifest, &err), err);
	assert_non_null(strstr(json_object_to_json_string(manifest), token));
	guest = store_guest_open(&a, &id, manifest, &err);
	assert_string_equal(fm_json_string_or(guest, "token", ""), token);
	store_access_close(&a);
}

static void a_token_is_sealed(void **state)
{
	const struct key_world *w = *state;
	const struct fm_snapshot_id id = { JOB, 3 }, other = { JOB, 4 };
	FM_AUTO_JSON struct json_object *manifest = manifest_of(&id), *guest = NULL;
	struct store_access a;
	struct fm_error err;

	assert_ok(store_access_open(&a, w->folder, JOB, w->site_path, true, &err), err);
	assert_ok(store_guest_seal(&a, &id, manifest, &err), err);
	assert_null(strstr(json_object_to_json_string(manifest), token));
	guest = store_guest_open(&a, &id, manifest, &err);
	assert_string_equal(fm_json_string_or(guest, "token", ""), token);
	assert_int_equal(fm_json_int_or(guest, "port", 0), 7777);
	assert_null(json_object_object_get(guest, "token_sealed"));
	/* another snapshot's token is not this one's; half of one is none */
	assert_null(store_guest_open(&a, &other, manifest, &err));
	assert_int_equal(err.code, FM_CORRUPT);
	fm_json_set_string(json_object_object_get(manifest, "guest"), "token_sealed", "0g");
	assert_null(store_guest_open(&a, &id, manifest, &err));
	assert_int_equal(err.code, FM_CORRUPT);
	store_access_close(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, key_world_make, key_world_remove)
		T(a_script_is_kept),
		T(a_script_is_sealed),
		T(a_token_is_left_where_there_is_no_key),
		T(a_token_is_sealed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
