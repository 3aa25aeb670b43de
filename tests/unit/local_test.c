/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * local_test - packs on a node's own disk: found beside those in the store, removed when nothing needs them and not
 * before, whoever is killed; and never while the store is not the one.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/local/place.h"
#include "agent/local/placement.h"
#include "agent/local/tidy.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/sweep_fixture.h"

int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);

static unsigned kill_at; /* the removal before which we die; 0: none */

int __wrap_unlinkat(int fd, const char *name, int flags)
{
	if (kill_at && --kill_at == 0)
		raise(SIGKILL);
	return __real_unlinkat(fd, name, flags);
}

/* A world whose packs are on the disk of node n1. */
struct disk {
	struct sweep_world w;
	struct fm_conf conf;
	char *root;
};

static int setup(void **state)
{
	static char none[] = "", node[] = "n1";
	struct disk *d = calloc(1, sizeof(*d));
	struct fm_error err;

	assert_non_null(d);
	sweep_world_make(&d->w);
	d->root = fixture_store();
	d->conf = (struct fm_conf){ .store_dir = d->w.store, .local_dir = d->root, .key_file = none, .node_name = node };
	free(d->w.pages);
	d->w.pages = local_path(&d->conf, JOB, "pages");
	assert_ok(local_claim(&d->conf, &err), err);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	struct disk *d = *state;

	sweep_world_destroy(&d->w);
	fixture_remove(d->root);
	free(d);
	return 0;
}

static size_t packs(const struct disk *d)
{
	char **paths;
	size_t count = fixture_files(d->w.pages, ".pack", &paths);

	fixture_free(paths, count);
	return count;
}

/* Ids of the packs of snapshot n's members. */
static void packs_of(const struct disk *d, uint32_t n, struct placement_packs *packs_r)
{
	*packs_r = (struct placement_packs){ 0 };
	for (unsigned rank = 0; rank < WORLD_MEMBERS; rank++) {
		FM_AUTO_FREE char *name = fm_format("member-%u.map", rank);
		FM_AUTO_FREE char *path = sweep_world_path(&d->w, n, name);
		struct fm_error err;
		struct pages_map *m = pages_map_open(path, JOB, NULL, NULL, &err);
		char id[65];

		assert_non_null(m);
		for (size_t i = 0; pages_map_pack(m, i, id); i++)
			if (!placement_packs_find(packs_r, id))
				assert_ok(placement_packs_add(packs_r, id, 1, &err), err);
		pages_map_close(m);
	}
}

/* As the lead would write it: all of it one node's. */
static void record(const struct disk *d, uint32_t n, const struct placement_packs *needs, const struct placement_packs *bundle)
{
	struct json_object *o = json_object_new_object(), *members = json_object_new_array(), *m = json_object_new_object();
	struct fm_error err;

	fm_json_set_int(o, "version", PLACEMENT_VERSION);
	fm_json_set_string(o, "kind", "partner");
	fm_json_set_int(o, "k", 1);
	fm_json_set_int(o, "m", 1);
	fm_json_set_string(m, "node", "n1");
	json_object_object_add(m, "needs", placement_packs_json(needs));
	json_object_object_add(m, "packs", placement_packs_json(bundle));
	json_object_array_add(members, m);
	json_object_object_add(o, "members", members);
	json_object_object_add(o, "spares", json_object_new_array());
	assert_ok(placement_write(d->conf.store_dir, JOB, n, o, &err), err);
	json_object_put(o);
}

static char *shard(const struct disk *d, const char *name)
{
	FM_AUTO_FREE char *dir = local_path(&d->conf, JOB, "parity");
	char *path = fm_format("%s/%s", dir, name);
	struct fm_error err;

	assert_ok(fm_mkdir_all(dir, 0700, &err), err);
	if (access(path, F_OK))
		assert_ok(fm_file_write(path, 0600, "x", 1, &err), err);
	return path;
}

/* ---- what goes ------------------------------------------------------------------------------------------- */

static void by_maps(void **state)
{
	struct disk *d = *state;
	struct placement_packs left;
	struct tidied tidied;
	struct fm_error err;
	uint32_t unfinished;

	sweep_world_add(&d->w, 0, false);
	sweep_world_add(&d->w, 1, false);
	sweep_world_add(&d->w, 2, false);
	assert_ok(local_tidy(&d->conf, JOB, &tidied, &err), err);
	assert_int_equal(tidied.packs, 0);
	assert_ok(sweep_world_remove(&d->w, 1, &err), err);
	assert_ok(sweep_world_remove(&d->w, 2, &err), err);
	assert_ok(sweep_world_save(&d->w, 3, false, &unfinished, &err), err); /* perhaps under way: its packs stay */
	assert_ok(local_tidy(&d->conf, JOB, &tidied, &err), err);
	assert_true(tidied.packs > 0 && tidied.bytes > 0);
	sweep_world_assert_whole(&d->w, "tidied");
	packs_of(d, unfinished, &left);
	for (size_t i = 0; i < left.count; i++) {
		FM_AUTO_FREE char *path = fm_format("%s/%s.pack", d->w.pages, left.pack[i].id);

		assert_int_equal(access(path, F_OK), 0);
	}
	placement_packs_dispose(&left);
}

/* Its bundle and its shards stay as long as one pack of it is needed: others' parity is made of it. */
static void by_record(void **state)
{
	struct disk *d = *state;
	FM_AUTO_FREE char *own = shard(d, "1-0-0-0.parity");
	FM_AUTO_FREE char *nobodys = shard(d, "9-0-0-0.parity");
	FM_AUTO_FREE char *dir = placement_path(d->conf.store_dir, JOB, 1, NULL);
	struct placement_packs first, second;
	struct tidied tidied;
	struct fm_error err;
	size_t all;

	sweep_world_add(&d->w, 0, false);
	packs_of(d, 1, &first);
	record(d, 1, &first, &first);
	sweep_world_add(&d->w, 1, false);
	packs_of(d, 2, &second);
	record(d, 2, &second, &(struct placement_packs){ 0 });
	all = packs(d);
	assert_ok(sweep_world_remove(&d->w, 1, &err), err);
	assert_ok(local_tidy(&d->conf, JOB, &tidied, &err), err);
	assert_int_equal(tidied.packs, 0);
	assert_int_equal(tidied.shards, 1);
	assert_int_equal(packs(d), all);
	assert_int_equal(access(own, F_OK), 0);
	assert_int_not_equal(access(nobodys, F_OK), 0);
	assert_ok(sweep_world_remove(&d->w, 2, &err), err);
	assert_ok(local_tidy(&d->conf, JOB, &tidied, &err), err);
	assert_int_equal(tidied.records, 2);
	assert_int_equal(packs(d), 0);
	assert_int_not_equal(access(own, F_OK), 0);
	assert_int_not_equal(access(dir, F_OK), 0);
	placement_packs_dispose(&first);
	placement_packs_dispose(&second);
}

static void job_gone(void **state)
{
	struct disk *d = *state;
	FM_AUTO_FREE char *job = fm_format("%s/%u", d->conf.store_dir, JOB);
	FM_AUTO_FREE char *here = local_job(&d->conf, JOB);
	struct tidied tidied;
	struct fm_error err;

	sweep_world_add(&d->w, 0, false);
	assert_ok(fm_remove_tree(job, &err), err);
	assert_ok(local_tidy(&d->conf, JOB, &tidied, &err), err);
	assert_int_not_equal(access(here, F_OK), 0);
}

/* ---- what stops it ------------------------------------------------------------------------------------------ */

static void unreadable(void **state)
{
	struct disk *d = *state;
	FM_AUTO_FREE char *record_json = placement_path(d->conf.store_dir, JOB, 2, "record.json");
	struct placement_packs needs;
	struct tidied tidied;
	struct fm_error err;
	size_t all;

	sweep_world_add(&d->w, 0, false);
	sweep_world_add(&d->w, 1, false);
	packs_of(d, 2, &needs);
	record(d, 2, &needs, &needs);
	placement_packs_dispose(&needs);
	all = packs(d);
	assert_ok(sweep_world_remove(&d->w, 1, &err), err);
	assert_ok(fm_file_write(record_json, 0600, "{\"version\":1,", 13, &err), err);
	assert_code(local_tidy(&d->conf, JOB, &tidied, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, "record.json"));
	assert_int_equal(packs(d), all);
}

static void unreadable_map(void **state)
{
	struct disk *d = *state;
	FM_AUTO_FREE char *map = NULL;
	struct tidied tidied;
	struct fm_error err;
	size_t all;

	sweep_world_add(&d->w, 0, false);
	sweep_world_add(&d->w, 1, false);
	all = packs(d);
	assert_ok(sweep_world_remove(&d->w, 1, &err), err);
	map = sweep_world_path(&d->w, 2, "member-1.map");
	fixture_damage(map, 100);
	assert_code(local_tidy(&d->conf, JOB, &tidied, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, "member-1.map"));
	assert_int_equal(packs(d), all);
}

/* An empty folder where the store should be mounted; another store. */
static void other_store(void **state)
{
	struct disk *d = *state;
	FM_AUTO_FREE char *empty = fixture_store();
	struct fm_conf conf = d->conf, second = d->conf;
	struct tidied tidied;
	struct fm_error err;
	size_t all;

	sweep_world_add(&d->w, 0, false);
	all = packs(d);
	conf.store_dir = empty;
	assert_code(local_tidy(&conf, JOB, &tidied, &err), err, FM_INCOMPATIBLE);
	assert_code(local_claim(&conf, &err), err, FM_INCOMPATIBLE);
	second.store_dir = empty;
	second.local_dir = fm_format("%s/of another node", empty);
	assert_ok(local_claim(&second, &err), err);
	assert_ok(local_claim(&second, &err), err);
	assert_code(local_tidy(&conf, JOB, &tidied, &err), err, FM_INCOMPATIBLE);
	assert_int_equal(packs(d), all);
	free(second.local_dir);
	fixture_remove(fm_steal_ptr(&empty));
}

static void busy(void **state)
{
	struct disk *d = *state;
	const struct pages_writer_options options = { .codec = PAGES_LZ4 };
	struct pages_writer *writer;
	struct pages_store *s;
	struct tidied tidied;
	struct fm_error err;

	sweep_world_add(&d->w, 0, false);
	s = pages_store_open(d->w.pages, JOB, NULL, &err);
	assert_non_null(s);
	writer = pages_writer_create(s, &options, &err);
	assert_non_null(writer);
	assert_code(local_tidy(&d->conf, JOB, &tidied, &err), err, FM_BUSY);
	pages_writer_abort(writer);
	pages_store_close(s);
	assert_ok(local_tidy(&d->conf, JOB, &tidied, &err), err);
}

/* Killed before each removal in turn; what is left is as good as before, and the next one goes on. */
static void killed(void **state)
{
	struct disk *d = *state;
	struct placement_packs first, third;
	struct tidied tidied;
	struct fm_error err;
	unsigned deaths = 0;
	int status;

	sweep_world_add(&d->w, 0, false);
	packs_of(d, 1, &first);
	record(d, 1, &first, &first);
	free(shard(d, "1-0-0-0.parity"));
	sweep_world_add(&d->w, 0, false);
	sweep_world_add(&d->w, 0, false);
	packs_of(d, 3, &third);
	record(d, 3, &third, &third);
	free(shard(d, "3-0-0-0.parity"));
	for (unsigned i = 0; i < 12; i++) {
		FM_AUTO_FREE char *nobodys = fm_format("9-0-%u-0.parity", i);

		free(shard(d, nobodys));
	}
	assert_ok(sweep_world_remove(&d->w, 1, &err), err);
	assert_ok(sweep_world_remove(&d->w, 2, &err), err);
	for (bool over = false; !over; deaths++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			kill_at = 1 + deaths % 3; /* one to three steps further each time */
			_exit(local_tidy(&d->conf, JOB, &tidied, &err) == 0 ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		over = WIFEXITED(status);
		assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
		sweep_world_assert_whole(&d->w, "after a death");
	}
	assert_true(deaths > 3);
	assert_ok(local_tidy(&d->conf, JOB, &tidied, &err), err);
	assert_int_equal(tidied.packs + tidied.shards + tidied.records, 0);
	placement_packs_dispose(&first);
	placement_packs_dispose(&third);
}

/* ---- two places ------------------------------------------------------------------------------------------------ */

/* Save snapshot n's member into `dir`, with `also` as the further place: how many pages it wrote. */
static uint64_t save(const struct disk *d, const char *dir, const char *also, uint32_t n, const char *map)
{
	const struct pages_writer_options options = { .codec = PAGES_LZ4, .frame_pages = 16 };
	struct fixture_guest g;
	struct pages_writer *w;
	struct pages_store *s;
	struct pages_saved saved;
	struct fm_error err;

	(void)d;
	sweep_world_guest(&g, n, 0);
	s = pages_store_open(dir, JOB, NULL, &err);
	assert_non_null(s);
	assert_ok(pages_store_also(s, also, &err), err);
	w = pages_writer_create(s, &options, &err);
	assert_non_null(w);
	for (uint64_t i = 0; i < g.pages; i++) {
		unsigned char page[4096];

		if (g.content[i] == FIXTURE_HOLE)
			continue;
		fixture_page(g.content[i], page);
		assert_ok(pages_writer_put(w, &i, page, 1, &err), err);
	}
	assert_ok(pages_writer_finish(w, map, "s", 1, &saved, &err), err);
	pages_store_close(s);
	fixture_guest_dispose(&g);
	return saved.progress.stored;
}

/* All of the map's pages: 0, or -1 with err. */
static int read_all(const char *dir, const char *also, const char *map, struct fm_error *err)
{
	struct pages_store *s = pages_store_open(dir, JOB, NULL, err);
	struct pages_map *m = pages_map_open(map, JOB, NULL, NULL, err);
	struct pages_reader *r;
	struct pages_batch batch;
	int rc;

	assert_true(s && m);
	if (also)
		assert_ok(pages_store_also(s, also, err), *err);
	r = pages_reader_create(s, m, &(struct pages_reader_options){ .threads = 1 }, err);
	rc = r ? 1 : -1;
	while (rc > 0)
		rc = pages_reader_next(r, &batch, err);
	pages_reader_destroy(r);
	pages_map_close(m);
	pages_store_close(s);
	return rc;
}

static void further_place(void **state)
{
	struct disk *d = *state;
	FM_AUTO_FREE char *there = fm_format("%s/there", d->root);
	FM_AUTO_FREE char *nowhere = fm_format("%s/nowhere", d->root);
	FM_AUTO_FREE char *first = fm_format("%s/first.map", d->root);
	FM_AUTO_FREE char *second = fm_format("%s/second.map", d->root);
	struct pages_store *s;
	struct pages_reader *r;
	struct pages_map *m;
	struct fm_error err;

	assert_true(save(d, there, nowhere, 1, first) > 0);
	assert_int_equal(save(d, d->w.pages, there, 1, second), 0); /* a writer knows what is there */
	assert_ok(read_all(d->w.pages, there, second, &err), err);
	assert_code(read_all(d->w.pages, NULL, second, &err), err, FM_CORRUPT);
	assert_code(read_all(d->w.pages, nowhere, second, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, nowhere));
	/* No sweep there while a reader of both is at work. */
	s = pages_store_open(d->w.pages, JOB, NULL, &err);
	assert_ok(pages_store_also(s, there, &err), err);
	m = pages_map_open(second, JOB, NULL, NULL, &err);
	r = pages_reader_create(s, m, &(struct pages_reader_options){ .threads = 1 }, &err);
	assert_non_null(r);
	{
		struct pages_store *swept = pages_store_open(there, JOB, NULL, &err);

		assert_code(pages_sweep_begin(swept, &err), err, FM_BUSY);
		pages_reader_destroy(r);
		assert_ok(pages_sweep_begin(swept, &err), err);
		pages_store_close(swept);
	}
	pages_map_close(m);
	pages_store_close(s);
}

/* Damaged in the first place, whole in the further one: read from there; a writer takes it for there, too. */
static void damaged_here(void **state)
{
	struct disk *d = *state;
	FM_AUTO_FREE char *there = fm_format("%s/there", d->root);
	FM_AUTO_FREE char *map = fm_format("%s/first.map", d->root);
	FM_AUTO_FREE char *id = NULL;
	struct pages_store *s;
	struct fm_error err;
	char **paths;
	size_t count;

	assert_true(save(d, there, d->w.pages, 1, map) > 0);
	count = fixture_files(there, ".pack", &paths);
	assert_int_equal(count, 1);
	assert_ok(fm_mkdir_all(d->w.pages, 0700, &err), err);
	{
		FM_AUTO_FREE char *copy = fm_format("%s%s", d->w.pages, strrchr(paths[0], '/'));
		FM_AUTO_FREE char *command = fm_format("cp '%s' '%s'", paths[0], copy);

		assert_int_equal(system(command), 0);
		fixture_damage(copy, -200);
		id = strndup(strrchr(copy, '/') + 1, 64);
	}
	fixture_free(paths, count);
	assert_code(read_all(d->w.pages, NULL, map, &err), err, FM_CORRUPT);
	assert_ok(read_all(d->w.pages, there, map, &err), err);
	s = pages_store_open(d->w.pages, JOB, NULL, &err);
	assert_code(pages_pack_check(s, id, &err), err, FM_CORRUPT);
	assert_ok(pages_store_also(s, there, &err), err);
	assert_ok(pages_pack_check(s, id, &err), err);
	assert_code(pages_store_also(s, there, &err), err, FM_USAGE);
	pages_store_close(s);
}

static struct json_object *one_pack(const char *id, int64_t bytes)
{
	struct json_object *o = json_object_new_object(), *members = json_object_new_array(), *m = json_object_new_object();
	struct json_object *packs = json_object_new_array(), *pair = json_object_new_array();

	json_object_array_add(pair, json_object_new_string(id));
	json_object_array_add(pair, json_object_new_int64(bytes));
	json_object_array_add(packs, pair);
	fm_json_set_int(o, "version", PLACEMENT_VERSION);
	fm_json_set_int(o, "k", 1);
	fm_json_set_int(o, "m", 1);
	fm_json_set_string(m, "node", "n1");
	json_object_object_add(m, "needs", json_object_get(packs));
	json_object_object_add(m, "packs", packs);
	json_object_array_add(members, m);
	json_object_object_add(o, "members", members);
	json_object_object_add(o, "spares", json_object_new_array());
	return o;
}

/* What is written can be read, the largest packs too; what could not is not written. */
static void records(void **state)
{
	struct disk *d = *state;
	char id[65] = { 0 };
	struct json_object *o;
	struct placement r;
	struct fm_error err;

	memset(id, 'a', 64);
	o = one_pack(id, ((int64_t)1 << 30) + (40 << 20));
	assert_ok(placement_write(d->conf.store_dir, JOB, 5, o, &err), err);
	json_object_put(o);
	assert_ok(placement_read(d->conf.store_dir, JOB, 5, &r, &err), err);
	assert_int_equal(r.members, 1);
	assert_int_equal(r.member[0].packs.bytes, ((int64_t)1 << 30) + (40 << 20));
	assert_string_equal(r.member[0].needs.pack[0].id, id);
	placement_dispose(&r);
	for (int i = 0; i < 3; i++) {
		o = one_pack(i == 0 ? "../../etc" : id, i == 1 ? -1 : i == 2 ? (int64_t)1 << 40 : 1);
		assert_code(placement_write(d->conf.store_dir, JOB, 6, o, &err), err, FM_CORRUPT);
		json_object_put(o);
	}
	assert_code(placement_read(d->conf.store_dir, JOB, 6, &r, &err), err, FM_NOT_FOUND);
}

static void names(void **state)
{
	(void)state;
	assert_true(local_name_ok("pages", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff.pack"));
	assert_true(local_name_ok("parity", "12-0-3-1.parity"));
	assert_false(local_name_ok("pages", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff.part"));
	assert_false(local_name_ok("pages", "../../../../../../../../../etc/shadow"));
	assert_false(local_name_ok("pages", "0011.pack"));
	assert_false(local_name_ok("parity", "../1.parity"));
	assert_false(local_name_ok("parity", ".parity"));
	assert_false(local_name_ok("incoming", "12-0-3-1.parity"));
}

int main(void)
{
#define LOCAL_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		LOCAL_TEST(by_maps),
		LOCAL_TEST(by_record),
		LOCAL_TEST(job_gone),
		LOCAL_TEST(unreadable),
		LOCAL_TEST(unreadable_map),
		LOCAL_TEST(other_store),
		LOCAL_TEST(busy),
		LOCAL_TEST(killed),
		LOCAL_TEST(further_place),
		LOCAL_TEST(damaged_here),
		LOCAL_TEST(records),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
