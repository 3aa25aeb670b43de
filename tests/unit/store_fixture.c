/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store_fixture.c - see store_fixture.h. */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/retain.h"
#include "agent/store/secret.h"
#include "agent/store/copies/verify.h"
#include "agent/store/stream.h"
#include "agent/xenstream/writer.h"
#include "common/cleanup.h"
#include "common/io.h"

char *fixture_store(void)
{
	const char *tmp = getenv("TMPDIR");
	char *path = fm_format("%s/fm-store-XXXXXX", tmp && *tmp ? tmp : "/tmp");

	assert_non_null(path);
	assert_non_null(mkdtemp(path));
	return path;
}

void fixture_remove(char *store)
{
	struct fm_error err;

	assert_ok(fm_remove_tree(store, &err), err);
	free(store);
}

unsigned char *fixture_state(size_t size, unsigned seed)
{
	unsigned char *data = malloc(size + 1);
	uint32_t x = seed * 2654435761u + 1;

	assert_non_null(data);
	for (size_t i = 0; i < size; i++) {
		x = x * 1664525 + 1013904223;
		/* Runs of 64 zeroes between 64 random bytes: neither trivial nor incompressible. */
		data[i] = (i / 64) & 1 ? 0 : (unsigned char)(x >> 24);
	}
	return data;
}

static void add_all(struct sample *s, const char *letters)
{
	for (; *letters; letters++)
		assert_true(sample_add(s, *letters));
}

void fixture_stream(struct sample *s, size_t pages, unsigned seed)
{
	FM_AUTO_FREE unsigned char *data = fixture_state(pages * PAGES_SIZE, seed);
	const size_t most = XENSTREAM_BATCH_USUAL;

	sample_xl(s, "{\"fixture\":true}");
	sample_libxl(s);
	add_all(s, "L3cs");
	for (size_t at = 0; at < pages; at += most) {
		size_t n = pages - at < most ? pages - at : most;
		unsigned char header[XENSTREAM_BATCH_HEADER];

		sample_mark(s, "PAGE_DATA", sizeof(header));
		xenstream_batch_header(header, n, n);
		sample_bytes(s, header, sizeof(header));
		for (size_t i = 0; i < n; i++) {
			unsigned char entry[8];

			xenstream_put_le64(entry, xenstream_entry(at + i, XENSTREAM_NOTAB));
			sample_bytes(s, entry, sizeof(entry));
		}
		sample_bytes(s, data + at * PAGES_SIZE, n * PAGES_SIZE);
	}
	add_all(s, "txheE");
}

static struct json_object *file_json(const struct store_file *file)
{
	struct json_object *o = json_object_new_object();

	fm_json_set_string(o, "name", file->name);
	fm_json_set_int(o, "bytes", (int64_t)file->bytes);
	fm_json_set_int(o, "raw_bytes", (int64_t)file->raw_bytes);
	fm_json_set_string(o, "sha256", file->sha256);
	return o;
}

static struct json_object *at(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(o, key, &v);
	return v;
}

static struct json_object *member_json(unsigned rank, const struct store_file *map,
				       const struct store_file *held)
{
	struct json_object *o = json_object_new_object(), *h;
	FM_AUTO_FREE char *node = fm_format("n%u", rank + 1);
	static const char *const counts[] = { "stored_bytes", "pages", "zero_pages", "known_pages", "stored_pages" };

	fm_json_set_int(o, "rank", rank);
	fm_json_set_string(o, "node", node);
	fm_json_set_string(o, "type", "pvh");
	fm_json_set_bool(o, "live", true);
	json_object_object_add(o, "map", file_json(map));
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		fm_json_set_int(at(o, "map"), counts[i], 9);
	if (held) {
		h = file_json(held);
		fm_json_set_int(h, "frames", 3);
		json_object_object_add(o, "held", h);
	}
	fm_json_set_double(o, "stop_ms", 57.125);
	fm_json_set_int(o, "suspended_at_ns", 1800000000123456789);
	return o;
}

static const char constant[] =
	"{\"version\":2,\"snapshot\":\"%u.%u\",\"created\":\"2026-11-22T18:00:00.25Z\",\"comment\":\"a/b \\\"c\\\" \xc3\xa9\","
	"\"job\":{\"scheduler\":\"slurm\",\"job\":%u,\"name\":\"heat\",\"uid\":1000,\"gid\":1000,\"gids\":[1000,27],"
	"\"user\":\"alice\",\"home\":\"/home/alice\",\"image\":\"mpi\",\"memory_mib\":96,\"vcpus\":1,\"interval_s\":1800,"
	"\"keep\":2,\"nodes\":[]},"
	"\"guest\":{\"token\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\",\"port\":7777,"
	"\"prefix\":16,\"nodes\":[]},\"members\":[],"
	"\"cut\":{\"stop_ms\":61.5,\"skew_ms\":0.1,\"create_ms\":4200,\"flush_bound_ms\":20,\"gate\":\"bpf\"},"
	"\"notes\":[\"live\"]}";

struct json_object *fixture_manifest(const struct fm_snapshot_id *id, unsigned members,
				     const struct store_file *maps, const struct store_file *held)
{
	FM_AUTO_FREE char *text = fm_format(constant, id->job, id->n, id->job);
	struct json_object *o, *guest;
	struct fm_error err;

	o = fm_json_parse(text, strlen(text), &err);
	if (!o)
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < members; i++) {
		FM_AUTO_FREE char *node = fm_format("n%u", i + 1);
		FM_AUTO_FREE char *ip = fm_format("10.78.1.%u", i + 1);
		FM_AUTO_FREE char *mac = fm_format("00:16:3e:00:01:%02x", i + 1);

		json_object_array_add(at(at(o, "job"), "nodes"), json_object_new_string(node));
		guest = json_object_new_object();
		fm_json_set_string(guest, "name", node);
		fm_json_set_string(guest, "ip", ip);
		fm_json_set_string(guest, "mac", mac);
		json_object_array_add(at(at(o, "guest"), "nodes"), guest);
		json_object_array_add(at(o, "members"), member_json(i, &maps[i], held ? &held[i] : NULL));
	}
	return o;
}

static int write_member(const char *store, const struct fm_snapshot_id *id, unsigned rank, struct store_file *map_r,
			struct store_file *held_r, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = store_snapshot_dir(store, id);
	FM_AUTO_FREE char *pages = fm_format("%s/%u/pages", store, id->job);
	FM_AUTO_FREE char *path = fm_format("%s/member-%u.map", dir, rank);
	FM_AUTO_FREE char *name = fm_format("member-%u.held", rank);
	FM_AUTO_FREE unsigned char *state = fixture_state(2000, rank);
	struct stream_writer *w = stream_writer_create(&(struct stream_place){ path, pages, id->job, NULL, NULL },
						       &(struct stream_options){ 0 }, err);
	struct stream_saved saved;
	struct sample s = { 0 };
	int rc;

	if (!w)
		return -1;
	fixture_stream(&s, 70, 10 * id->n + rank);
	rc = stream_write(w, s.data, s.size, err);
	sample_dispose(&s);
	if (rc < 0) {
		stream_writer_abort(w);
		return -1;
	}
	if (stream_writer_finish(w, &saved, err) < 0)
		return -1;
	*map_r = saved.map;
	return store_file_write(dir, name, state, 1000 + rank, held_r, err);
}

int fixture_snapshot(const char *store, uint32_t job, unsigned members, struct fm_snapshot_id *id_r,
		     struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *manifest = NULL;
	struct store_file maps[8], held[8];

	assert_in_range(members, 1, 8);
	if (store_begin(store, job, id_r, err) < 0)
		return -1;
	for (unsigned i = 0; i < members; i++)
		if (write_member(store, id_r, i, &maps[i], &held[i], err) < 0)
			return -1;
	manifest = fixture_manifest(id_r, members, maps, held);
	return store_commit(store, id_r, manifest, err);
}

const char *fixture_listed(const char *store, uint32_t job)
{
	static char text[256];
	struct fm_error err;
	FM_AUTO_JSON struct json_object *list = store_list(store, job, &err);
	size_t used = 0;

	if (!list)
		fail_msg("%s", err.text);
	*text = '\0';
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		const char *dot = strchr(fm_json_string_or(o, "snapshot", "?.?"), '.');
		const char *mark = strcmp(fm_json_string_or(o, "state", ""), "whole") ? "!" : "";

		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s%s", i ? " " : "", dot + 1, mark);
		assert_true(used < sizeof(text));
	}
	return text;
}

int fixture_script(const char *store, uint32_t job, const char *script, struct fm_error *err)
{
	struct store_access access;
	int rc = store_access_job(&access, store, job, NULL, true, err);

	if (rc == 0)
		rc = store_script_write(&access, script, err);
	store_access_close(&access);
	return rc;
}

int fixture_prune(const char *store, uint32_t job, unsigned keep, unsigned *removed_r, struct fm_error *err)
{
	const struct retain_options o = { .given = true, .rules.keep = keep };
	FM_AUTO_JSON struct json_object *report = NULL;

	if (store_retain(store, job, &o, &report, err) < 0)
		return -1;
	if (at(report, "sweep_error"))
		return fm_fail(err, FM_FAILED, "%s", fm_json_string_or(report, "sweep_error", ""));
	*removed_r = (unsigned)fm_json_int_or(report, "removed", 0);
	return 0;
}

void fixture_damage(const char *path, long where)
{
	FM_AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
	unsigned char byte;
	off_t offset;

	assert_true(fd >= 0);
	offset = lseek(fd, where, where < 0 ? SEEK_END : SEEK_SET);
	assert_true(offset >= 0);
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
}

int fixture_verify(const char *store, struct fm_snapshot_id *id, struct json_object **result_r, struct fm_error *err)
{
	struct site site;
	int rc = site_init(&site, NULL, store, "", 0, err);

	if (rc == 0)
		rc = verify_snapshot(&site, id, false, result_r, err);
	site_dispose(&site);
	return rc;
}
