/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copies_test - what was copied to a level can be restored from it, whatever was swept, rewritten, removed or killed
 * since; what was lost is not taken from it.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/store/copies/contents.h"
#include "agent/store/copies/copy.h"
#include "agent/store/copies/fetch.h"
#include "agent/store/copies/listing.h"
#include "agent/store/copies/record.h"
#include "agent/store/copies/trim.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/sweep_fixture.h"

/* A job's store, and a level that is a directory. */
struct place {
	struct sweep_world world;
	char *dir;      /* the level's */
	char *lines[2]; /* fermata.conf's */
	struct site site;
};

static void place_make(struct place *p)
{
	struct fm_error err;

	memset(p, 0, sizeof(*p));
	sweep_world_make(&p->world);
	p->world.packs_most = 1; /* so that pages are kept twice, and a compaction has something to take away */
	p->dir = fixture_store();
	p->lines[0] = fm_format("second directory:%s same-filesystem=yes", p->dir);
	assert_ok(site_init(&p->site, p->lines, p->world.store, NULL, 0, &err), err);
}

static void place_destroy(struct place *p)
{
	site_dispose(&p->site);
	sweep_world_destroy(&p->world);
	fixture_remove(p->dir);
	free(p->lines[0]);
}

static struct fm_snapshot_id id_of(uint32_t n)
{
	return (struct fm_snapshot_id){ .job = JOB, .n = n };
}

/* A snapshot with a manifest that names its files. */
static uint32_t add(struct place *p, uint32_t parent)
{
	struct store_file maps[WORLD_MEMBERS];
	FM_AUTO_JSON struct json_object *manifest = NULL;
	struct fm_snapshot_id id = id_of(0);
	struct fm_error err;

	memset(maps, 0, sizeof(maps));
	assert_ok(sweep_world_save(&p->world, parent, false, &id.n, &err), err);
	for (unsigned rank = 0; rank < WORLD_MEMBERS; rank++) {
		FM_AUTO_FREE char *path = NULL;
		struct level_object is;

		snprintf(maps[rank].name, sizeof(maps[rank].name), "member-%u.map", rank);
		path = sweep_world_path(&p->world, id.n, maps[rank].name);
		assert_ok(level_object_of_file(path, &is, &err), err);
		maps[rank].bytes = maps[rank].raw_bytes = is.bytes;
		memcpy(maps[rank].sha256, is.sha256, sizeof(is.sha256));
	}
	manifest = fixture_manifest(&id, WORLD_MEMBERS, maps, NULL);
	assert_ok(store_commit(p->world.store, &id, manifest, &err), err);
	return id.n;
}

static int copy(struct place *p, uint32_t n, struct copy_progress *progress_r, struct fm_error *err)
{
	const struct copy_calls calls = { 0 };
	struct fm_snapshot_id id = id_of(n);
	int lock = record_lock(p->world.store, JOB, err);
	int rc = lock < 0 ? -1 : copy_snapshot(&p->site, 0, &id, &calls, progress_r, err);

	if (lock >= 0)
		close(lock);
	return rc;
}

static struct listing objects(struct place *p)
{
	struct listing l;
	struct fm_error err;

	assert_ok(listing_read(&l, site_open(&p->site, 0, &err), "", &err), err);
	return l;
}

static bool has(struct place *p, const char *name)
{
	struct listing l = objects(p);
	bool found = listing_find(&l, name) != NULL;

	listing_dispose(&l);
	return found;
}

/* Into an empty store, by what the level has alone: 0, or -1 with err. Wrong bytes fail the test. */
static int restore(struct place *p, uint32_t n, struct fm_error *err)
{
	struct sweep_world other;
	struct fm_snapshot_id id = id_of(n);
	struct json_object *manifest;
	struct fetched f = { 0 };
	struct site site;
	int rc = 0;

	sweep_world_make(&other);
	assert_ok(site_init(&site, p->lines, other.store, NULL, 0, err), *err);
	manifest = fetch_find(&site, &id, &f, err);
	for (unsigned rank = 0; manifest && rc == 0 && rank < WORLD_MEMBERS; rank++)
		rc = fetch_member(&site, &id, rank, &f, err);
	if (manifest && rc == 0) {
		assert_string_equal(fetched_from(&site, &f), "second");
		rc = sweep_world_read(&other, n, err);
	}
	json_object_put(manifest);
	site_dispose(&site);
	sweep_world_destroy(&other);
	return manifest ? rc : -1;
}

static void restores(struct place *p, uint32_t n, const char *when)
{
	struct fm_error err;

	if (restore(p, n, &err) < 0)
		fail_msg("%s: 77.%u: %s", when, n, err.text);
}

static void remove_on_purpose(struct place *p, uint32_t n)
{
	struct fm_snapshot_id id = id_of(n);
	struct fm_error err;

	assert_ok(record_removing(p->world.store, &id, &err), err);
	assert_ok(store_remove(p->world.store, &id, &err), err);
}

static int trim(struct place *p, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *report = json_object_new_array();

	return trim_job(&p->site, JOB, report, err);
}

static void sweep(struct place *p, bool compact)
{
	const struct sweep_options o = { .share = 100, .compact = compact };
	struct sweep_result r;
	struct fm_error err;

	assert_ok(store_sweep(p->world.store, JOB, &o, &r, &err), err);
}

/* ---- any life ------------------------------------------------------------------------- */

struct life {
	bool there[64], copied[64];
	unsigned copies, restored, lost;
};

static void look(struct place *p, struct life *life, const char *when)
{
	for (uint32_t n = 1; n < 64; n++)
		if (life->copied[n]) {
			restores(p, n, when);
			life->restored++;
		}
}

static uint32_t pick(const bool *of, uint64_t random)
{
	uint32_t numbers[64], count = 0;

	for (uint32_t n = 1; n < 64; n++)
		if (of[n])
			numbers[count++] = n;
	return count ? numbers[random % count] : 0;
}

/* StoreDir loses the job; the newest copy comes back. */
static void lose(struct place *p, struct life *life)
{
	FM_AUTO_FREE char *folder = fm_format("%s/%u", p->world.store, JOB);
	struct fm_snapshot_id id = id_of(0);
	struct json_object *manifest;
	struct fetched f = { 0 };
	struct fm_error err;

	assert_ok(fm_remove_tree(folder, &err), err);
	manifest = fetch_find(&p->site, &id, &f, &err);
	memset(life->there, 0, sizeof(life->there));
	if (!manifest)
		return;
	for (unsigned rank = 0; rank < WORLD_MEMBERS; rank++)
		assert_ok(fetch_member(&p->site, &id, rank, &f, &err), err);
	assert_ok(sweep_world_read(&p->world, id.n, &err), err);
	for (uint32_t n = id.n + 1; n < 64; n++)
		assert_false(life->copied[n]); /* it was the newest */
	life->there[id.n] = true;
	life->lost++;
	json_object_put(manifest);
}

static void step(struct place *p, struct life *life, uint64_t *random)
{
	uint64_t dice = sweep_world_random(random) % 16;
	uint32_t one = pick(life->there, sweep_world_random(random));
	struct copy_progress progress;
	struct fm_error err;

	if (!one || dice < 5) {
		one = add(p, dice < 3 ? one : 0);
		life->there[one] = true;
	} else if (dice < 10) {
		assert_ok(copy(p, one, &progress, &err), err);
		assert_true(progress.done == progress.total && progress.bytes >= progress.total);
		life->copied[one] = true;
		life->copies++;
	} else if (dice < 12) {
		sweep(p, dice == 10);
	} else if (dice < 15) {
		remove_on_purpose(p, one);
		sweep(p, false);
		assert_ok(trim(p, &err), err);
		life->there[one] = life->copied[one] = false;
	} else if (pick(life->copied, 0)) {
		lose(p, life);
	}
}

static void live(uint64_t seed, struct life *sum)
{
	struct life life = { 0 };
	uint64_t random = seed;
	struct place p;

	place_make(&p);
	for (unsigned i = 0; i < 24; i++) {
		FM_AUTO_FREE char *when = fm_format("seed %u, step %u", (unsigned)seed, i);

		step(&p, &life, &random);
		if (i % 3 == 2)
			look(&p, &life, when);
	}
	look(&p, &life, "at the end");
	place_destroy(&p);
	sum->copies += life.copies;
	sum->restored += life.restored;
	sum->lost += life.lost;
}

static void any_life_can_be_restored(void **state)
{
	struct life sum = { 0 };

	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++)
		live(seed, &sum);
	print_message("%u copies, %u restores, %u stores lost\n", sum.copies, sum.restored, sum.lost);
	assert_true(sum.copies > 20 && sum.restored > 40 && sum.lost > 1);
}

/* ---- packs that have lost pages ------------------------------------------------------------ */

static void only_what_is_new_is_sent(void **state)
{
	struct place *p = *state;
	uint32_t first = add(p, 0), second = add(p, first);
	struct copy_progress progress;
	struct fm_error err;

	assert_ok(copy(p, first, &progress, &err), err);
	assert_true(progress.total > 0 && progress.total == progress.bytes);
	assert_ok(copy(p, second, &progress, &err), err);
	assert_true(progress.total > 0 && progress.total < progress.bytes);
	assert_ok(copy(p, second, &progress, &err), err);
	assert_int_equal(progress.total, 0);
	sweep(p, true); /* their bytes are others now, what is there is as good */
	assert_ok(copy(p, first, &progress, &err), err);
	assert_ok(copy(p, second, &progress, &err), err);
	restores(p, first, "after a compaction");
	restores(p, second, "after a compaction");
}

static int count_others(void *arg, const struct pages_source *source, struct fm_error *err)
{
	unsigned *others = arg;

	(void)err;
	*others += !source->named;
	return 0;
}

/* Packs that a copy of a snapshot needs though none of its maps names them. */
static unsigned others_of(struct place *p, uint32_t n)
{
	unsigned others = 0;

	for (unsigned rank = 0; rank < WORLD_MEMBERS; rank++) {
		FM_AUTO_FREE char *name = fm_format("member-%u.map", rank);
		FM_AUTO_FREE char *path = sweep_world_path(&p->world, n, name);
		struct fm_error err;
		struct pages_store *s = pages_store_open(p->world.pages, JOB, NULL, &err);
		struct pages_map *m = pages_map_open(path, JOB, NULL, NULL, &err);

		assert_true(s && m);
		assert_ok(pages_map_sources(s, m, count_others, &others, &err), err);
		pages_map_close(m);
		pages_store_close(s);
	}
	return others;
}

/* A page that its pack has lost is in another: both go there, and both come back. */
static void a_page_that_moved_is_copied(void **state)
{
	struct place *p = *state;
	uint32_t first = add(p, 0), second = add(p, 0);
	struct copy_progress progress;
	struct sweep_result r;
	const struct sweep_options o = { .compact = true };
	struct fm_error err;

	assert_ok(store_sweep(p->world.store, JOB, &o, &r, &err), err);
	assert_true(r.rewritten > 0);
	assert_true(others_of(p, first) + others_of(p, second) > 0);
	assert_ok(copy(p, second, &progress, &err), err); /* the other one's packs are not the level's yet */
	restores(p, second, "the second alone");
	assert_ok(copy(p, first, &progress, &err), err);
	restores(p, first, "the first");
}

/* ---- killed ------------------------------------------------------------------------------------ */

static bool kill_at(void *arg)
{
	unsigned *left = arg;

	if ((*left)-- == 0)
		raise(SIGKILL);
	return false;
}

static void killed_anywhere_goes_on(void **state)
{
	struct place *p = *state;
	uint32_t n = add(p, 0);
	FM_AUTO_FREE char *manifest = fm_format("%u/%u/manifest.json", JOB, n);
	struct copy_progress progress;
	unsigned kills = 0;
	bool killed = true;
	struct fm_error err;

	for (unsigned at = 0; killed; at += 1 + at / 4) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			unsigned left = at;

			p->site.stop = kill_at;
			p->site.arg = &left;
			_exit(copy(p, n, &progress, &err) < 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		killed = WIFSIGNALED(status);
		assert_true(killed ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
		kills += killed;
		if (has(p, manifest)) /* last: so all is */
			restores(p, n, "killed");
		else
			assert_true(killed);
	}
	assert_true(kills > 5);
	assert_ok(copy(p, n, &progress, &err), err);
	assert_int_equal(progress.total, 0);
}

/* ---- no room ------------------------------------------------------------------------------------ */

/* As on a full disk: no file over so many bytes. */
static int copy_without_room(struct place *p, uint32_t n, rlim_t bytes)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct copy_progress progress;
		struct fm_error err = { 0 };
		int rc;

		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){ bytes, bytes });
		rc = copy(p, n, &progress, &err);
		_exit(rc == 0 ? 0 : err.code == FM_FAILED && strstr(err.text, "level second") ? 10 : 20);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void without_room_it_fails_and_goes_on_later(void **state)
{
	struct place *p = *state;
	uint32_t n = add(p, 0);
	FM_AUTO_FREE char *manifest = fm_format("%u/%u/manifest.json", JOB, n);
	struct copy_progress progress;
	struct fm_error err;

	for (rlim_t bytes = 64; bytes <= 4096; bytes *= 8) {
		assert_int_equal(copy_without_room(p, n, bytes), 10);
		assert_false(has(p, manifest));
	}
	assert_ok(sweep_world_read(&p->world, n, &err), err);
	assert_ok(copy(p, n, &progress, &err), err);
	restores(p, n, "with room again");
}

/* ---- what is not taken away ----------------------------------------------------------------------- */

static void what_was_lost_stays(void **state)
{
	struct place *p = *state;
	uint32_t first = add(p, 0), second = add(p, 0);
	FM_AUTO_FREE char *folder = sweep_world_path(&p->world, first, "");
	struct copy_progress progress;
	struct fm_error err;

	assert_ok(copy(p, first, &progress, &err), err);
	assert_ok(copy(p, second, &progress, &err), err);
	assert_ok(fm_remove_tree(folder, &err), err); /* nobody said that it was to be removed */
	assert_ok(trim(p, &err), err);
	remove_on_purpose(p, second);
	assert_ok(trim(p, &err), err);
	restores(p, first, "after the other was removed");
	assert_int_equal(restore(p, second, &err), -1);
	assert_int_equal(err.code, FM_NOT_FOUND);
}

static void a_removal_that_did_not_come_to_pass_is_none(void **state)
{
	struct place *p = *state;
	uint32_t n = add(p, 0);
	struct fm_snapshot_id id = id_of(n);
	struct copy_progress progress;
	struct fm_error err;

	assert_ok(copy(p, n, &progress, &err), err);
	assert_ok(record_removing(p->world.store, &id, &err), err); /* killed here */
	assert_int_equal(record_is_removed(p->world.store, &id, &err), 0);
	assert_ok(trim(p, &err), err);
	restores(p, n, "after a removal that was none");
}

static void a_list_that_cannot_be_read_keeps_all_packs(void **state)
{
	struct place *p = *state;
	uint32_t first = add(p, 0), second = add(p, 0);
	FM_AUTO_FREE char *list = fm_format("%s/%u/%u/packs", p->dir, JOB, first);
	struct listing before, after;
	struct copy_progress progress;
	struct fm_error err;

	assert_ok(copy(p, first, &progress, &err), err);
	assert_ok(copy(p, second, &progress, &err), err);
	remove_on_purpose(p, second);
	fixture_damage(list, 100);
	before = objects(p);
	assert_code(trim(p, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, "no pack of job 77 is removed"));
	after = objects(p);
	for (size_t i = 0; i < before.count; i++)
		if (strstr(before.object[i].name, "/pages/"))
			assert_non_null(listing_find(&after, before.object[i].name));
	listing_dispose(&before);
	listing_dispose(&after);
	fixture_damage(list, 100); /* as it was */
	assert_ok(trim(p, &err), err);
	restores(p, first, "after all");
}

static void another_of_the_same_name_is_not_overwritten(void **state)
{
	struct place *p = *state, other;
	uint32_t n = add(p, 0);
	struct copy_progress progress;
	struct fm_error err;

	assert_ok(copy(p, n, &progress, &err), err);
	place_make(&other);
	add(&other, 0);
	remove_on_purpose(&other, 1);
	assert_int_equal(add(&other, 0), 2);
	site_dispose(&other.site);
	assert_ok(site_init(&other.site, p->lines, other.world.store, NULL, 0, &err), err);
	assert_ok(copy(&other, 2, &progress, &err), err); /* no such number there */
	place_destroy(&other);
	place_make(&other);
	other.world.packs_most = 0;
	assert_int_equal(add(&other, 0), n);
	{
		FM_AUTO_FREE char *path = sweep_world_path(&other.world, n, "manifest.json");
		struct fm_snapshot_id id = id_of(n);
		FM_AUTO_JSON struct json_object *manifest = store_manifest(other.world.store, &id, &err);

		assert_non_null(manifest);
		assert_int_equal(unlink(path), 0);
		fm_json_set_string(manifest, "comment", "another one");
		assert_ok(store_commit(other.world.store, &id, manifest, &err), err);
	}
	site_dispose(&other.site);
	assert_ok(site_init(&other.site, p->lines, other.world.store, NULL, 0, &err), err);
	assert_code(copy(&other, n, &progress, &err), err, FM_BUSY);
	assert_non_null(strstr(err.text, "nothing is overwritten"));
	place_destroy(&other);
	restores(p, n, "after the other");
}

static void damage_is_not_copied(void **state)
{
	struct place *p = *state;
	uint32_t n = add(p, 0);
	FM_AUTO_FREE char *manifest = fm_format("%u/%u/manifest.json", JOB, n);
	struct copy_progress progress;
	struct fm_error err;
	char **packs;
	size_t count = fixture_files(p->world.pages, ".pack", &packs);

	assert_true(count > 2);
	fixture_damage(packs[count - 1], 100);
	assert_code(copy(p, n, &progress, &err), err, FM_CORRUPT);
	assert_false(has(p, manifest));
	fixture_damage(packs[count - 1], 100);
	fixture_free(packs, count);
	assert_ok(copy(p, n, &progress, &err), err);
	restores(p, n, "after it was repaired");
}

/* ---- the list -------------------------------------------------------------------------------------- */

static void a_list_with_any_bit_flipped_is_refused(void **state)
{
	struct contents list = { 0 }, again = { 0 };
	FM_AUTO_FREE char *text = NULL;
	struct fm_error err;
	size_t size;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct contents_pack pack = { .bytes = 1000 + i, .present = 7 + i };

		memset(pack.id, 'a' + (int)(2 - i), 64);
		assert_ok(contents_add(&list, &pack, &err), err);
	}
	contents_sort(&list);
	assert_int_equal(list.pack[0].present, 9);
	text = contents_text(&list, &err);
	assert_non_null(text);
	size = strlen(text);
	assert_ok(contents_parse(&again, text, size, &err), err);
	assert_true(contents_same(&list, &again));
	for (size_t i = 0; i < size * 8; i++) {
		struct contents other = { 0 };

		text[i / 8] ^= (char)(1 << i % 8);
		assert_int_equal(contents_parse(&other, text, size, &err), -1);
		text[i / 8] ^= (char)(1 << i % 8);
		contents_dispose(&other);
	}
	for (size_t cut = 0; cut < size; cut++) {
		FM_AUTO_FREE char *half = strndup(text, cut);
		struct contents other = { 0 };

		assert_int_equal(contents_parse(&other, half, cut, &err), -1);
		contents_dispose(&other);
	}
	contents_dispose(&list);
	contents_dispose(&again);
}

static int setup(void **state)
{
	struct place *p = malloc(sizeof(*p));

	assert_non_null(p);
	place_make(p);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	place_destroy(*state);
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_life_can_be_restored),
		cmocka_unit_test_setup_teardown(only_what_is_new_is_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(a_page_that_moved_is_copied, setup, teardown),
		cmocka_unit_test_setup_teardown(killed_anywhere_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(without_room_it_fails_and_goes_on_later, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_lost_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(a_removal_that_did_not_come_to_pass_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_that_cannot_be_read_keeps_all_packs, setup, teardown),
		cmocka_unit_test_setup_teardown(another_of_the_same_name_is_not_overwritten, setup, teardown),
		cmocka_unit_test_setup_teardown(damage_is_not_copied, setup, teardown),
		cmocka_unit_test(a_list_with_any_bit_flipped_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
