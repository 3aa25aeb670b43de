/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fetch_newest.c - see fetch.h: a job's newest snapshot, in StoreDir or on a level.
 *
 * What cannot be asked is not taken for empty: where StoreDir has none, that is an error, and no fresh start.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/store/copies/fetch_private.h"
#include "agent/store/copies/listing.h"
#include "agent/store/manifest.h"
#include "common/cleanup.h"
#include "common/io.h"

#define ASK_MS 30000 /* an S3 server has been given up before */

/* The highest number over `above` that some level has and that was not removed; 0: none. */
static uint32_t highest_on(struct site *site, size_t i, uint32_t job, uint32_t above, uint32_t below, struct fm_error *err)
{
	FM_AUTO_FREE char *prefix = fm_format("%" PRIu32 "/", job);
	struct level *level = site_open(site, i, err);
	struct folder_numbers numbers = { 0 };
	struct listing listing = { 0 };
	uint32_t found = 0;

	if (level)
		err->code = FM_OK;
	if (level && prefix && listing_read(&listing, level, prefix, err) == 0 &&
	    listing_numbers(&listing, job, MANIFEST_NAME, &numbers, err) == 0)
		for (size_t n = numbers.count; n-- > 0 && numbers.values[n] > above && !found;) {
			struct fm_snapshot_id id = { .job = job, .n = numbers.values[n] };
			struct fm_error ignored;

			if (id.n < below && record_is_removed(site->store, &id, &ignored) == 0)
				found = id.n;
		}
	else if (err->code == FM_OK)
		fm_fail(err, FM_FAILED, "out of memory");
	folder_numbers_dispose(&numbers);
	listing_dispose(&listing);
	return found;
}

struct highest {
	uint32_t n;
	struct fm_error err;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What the child says in time; it may hang in a file system that does not answer, which no signal ends. */
static bool listen_to(int fd, struct highest *answer_r)
{
	int64_t until = now_ms() + ASK_MS, left;
	size_t got = 0;

	while (got < sizeof(*answer_r) && (left = until - now_ms()) > 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n = poll(&p, 1, (int)left) > 0 ? read(fd, (char *)answer_r + got, sizeof(*answer_r) - got) : -1;

		if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
			break;
		got += n > 0 ? (size_t)n : 0;
	}
	return got == sizeof(*answer_r);
}

/* highest_on(), in a process of its own: a level that hangs must not keep a job from what StoreDir has. */
static uint32_t ask_highest(struct site *site, size_t i, uint32_t job, uint32_t above, uint32_t below, struct fm_error *err)
{
	struct highest answer = { 0 };
	int fds[2];
	bool said;
	pid_t pid;

	err->code = FM_OK;
	if (pipe2(fds, O_CLOEXEC) < 0)
		fm_fail(err, FM_FAILED, "pipe: %s", strerror(errno));
	if (err->code != FM_OK)
		return 0;
	pid = fork();
	if (pid == 0) {
		site->level[i].open = NULL; /* a connection is one process's */
		answer.n = highest_on(site, i, job, above, below, &answer.err);
		_exit(fm_write_all(fds[1], &answer, sizeof(answer)) < 0);
	}
	close(fds[1]);
	said = pid > 0 && listen_to(fds[0], &answer);
	close(fds[0]);
	if (pid > 0 && !said)
		kill(pid, SIGKILL);
	if (pid > 0)
		waitpid(pid, NULL, said ? 0 : WNOHANG);
	if (said)
		*err = answer.err;
	else
		fm_fail(err, FM_TIMEOUT, "it has not answered within %d s", ASK_MS / 1000);
	return said ? answer.n : 0;
}

/* On any level, between these; what could not be asked is in blame. */
static uint32_t highest_of_all(struct site *site, uint32_t job, uint32_t above, uint32_t below, struct blame *blame)
{
	uint32_t highest = 0;

	for (size_t i = 0; i < site->count; i++) {
		struct fm_error why;
		uint32_t n = ask_highest(site, i, job, above, below, &why);

		if (why.code != FM_OK)
			fetch_blame(blame, site_name(site, i), &why);
		highest = n > highest ? n : highest;
	}
	return highest;
}

/* The script was put there when it first started, and no snapshot was ever begun: StoreDir has lost nothing of it. */
static bool never_begun(struct site *site, uint32_t job)
{
	FM_AUTO_FREE char *script = fm_format("%s/%" PRIu32 "/script", site->store, job);
	struct fm_error ignored;
	FM_AUTO_FREE char *folder = folder_job(site->store, job, &ignored);
	struct folder_numbers numbers = { 0 };
	struct stat st;
	bool none = folder && folder_numbers(folder, &numbers, &ignored) == 0 && !numbers.count && script &&
		    lstat(script, &st) == 0;

	folder_numbers_dispose(&numbers);
	return none;
}

/* A number is given once: one that a level has given out, whatever became of it, is taken in StoreDir, too. */
static int keep_number(struct site *site, uint32_t job, uint32_t n, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = store_snapshot_dir(site->store, &(struct fm_snapshot_id){ .job = job, .n = n });

	return dir ? fm_mkdir_all(dir, 0700, err) : fm_fail(err, FM_FAILED, "out of memory");
}

struct json_object *fetch_find(struct site *site, struct fm_snapshot_id *id, struct fetched *f, struct fm_error *err)
{
	struct json_object *manifest, *newer = NULL;
	struct fm_snapshot_id candidate = { .job = id->job };
	struct blame blame = { .code = FM_OK };
	uint32_t below = UINT32_MAX, highest = 0;
	struct fm_error why = { 0 };

	if (id->n)
		return fetch_find_one(site, id, f, err);
	manifest = store_manifest(site->store, id, err);
	if (!site->count || (!manifest && err->code == FM_NOT_FOUND && never_begun(site, id->job)))
		return manifest;
	while (!newer && (candidate.n = highest_of_all(site, id->job, manifest ? id->n : 0, below, &blame)) != 0) {
		newer = fetch_find_one(site, &candidate, f, &why);
		highest = highest ? highest : candidate.n;
		below = candidate.n;
	}
	if (newer && keep_number(site, id->job, highest, err) < 0) {
		json_object_put(newer);
		json_object_put(manifest);
		return NULL;
	}
	if (newer) {
		json_object_put(manifest);
		*id = candidate;
		return newer;
	}
	if (!manifest && err->code == FM_NOT_FOUND && why.code)
		*err = why;
	else if (!manifest && err->code == FM_NOT_FOUND && blame.code)
		fm_fail(err, blame.code, "whether there is a snapshot of job %" PRIu32 " is not known: %s", id->job, blame.text);
	return manifest;
}
