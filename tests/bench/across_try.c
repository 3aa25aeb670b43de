/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * across_try - alike members saved at the same time, each by its own writer into one folder: one JSON object.
 *
 *	across_try alone|claims DIR DELAY_US IMAGE…
 *
 * claims: they leave pages to each other (pages.h). Who asked first is known to a table in this process, which answers
 * after DELAY_US, as an agent elsewhere does.
 */
#include "config.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/store/pages/pages.h"
#include "common/cleanup.h"
#include "common/io.h"

#define JOB 1u
#define PIECE 256u /* pages */
#define TABLE (1u << 22)

static struct {
	pthread_mutex_t lock;
	struct {
		uint8_t hash[16];
		uint32_t who;
	} *entry;
	unsigned long calls, asked;
} owner = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct member {
	pthread_t thread;
	const char *dir, *image;
	bool claims;
	unsigned who;
	useconds_t delay;
	struct pages_saved saved;
	struct fm_error err;
	int rc;
};

static void ask(void *data, const uint8_t (*hash)[PAGES_HASH], size_t count, bool *others_r)
{
	const struct member *m = data;

	usleep(m->delay);
	pthread_mutex_lock(&owner.lock);
	owner.calls++;
	owner.asked += count;
	for (size_t i = 0; i < count; i++) {
		uint32_t at;

		memcpy(&at, hash[i], sizeof(at));
		for (at %= TABLE; owner.entry[at].who && memcmp(owner.entry[at].hash, hash[i], 16) != 0; at = (at + 1) % TABLE)
			;
		if (!owner.entry[at].who) {
			memcpy(owner.entry[at].hash, hash[i], 16);
			owner.entry[at].who = m->who + 1;
		}
		others_r[i] = owner.entry[at].who != m->who + 1;
	}
	pthread_mutex_unlock(&owner.lock);
}

static int put_all(struct pages_writer *w, const char *image, struct fm_error *err)
{
	FM_AUTO_FREE unsigned char *data = malloc(PIECE * PAGES_SIZE);
	FM_AUTO_CLOSE int fd = open(image, O_RDONLY | O_CLOEXEC);
	uint64_t pfn[PIECE], next = 0;
	ssize_t n;

	if (!data || fd < 0)
		return fm_fail(err, FM_FAILED, "cannot read %s", image);
	while ((n = fm_read_all(fd, (char *)data, PIECE * PAGES_SIZE)) > 0) {
		size_t count = (size_t)n / PAGES_SIZE;

		for (size_t i = 0; i < count; i++)
			pfn[i] = next++;
		if (pages_writer_put(w, pfn, data, count, err) < 0)
			return -1;
	}
	return n < 0 ? fm_fail(err, FM_FAILED, "cannot read %s", image) : 0;
}

static int save(struct member *m, struct pages_store *s)
{
	const struct pages_claims claims = { ask, m };
	struct pages_writer_options o = { .codec = PAGES_LZ4, .claims = m->claims ? &claims : NULL };
	FM_AUTO_FREE char *map = fm_format("%s/../member-%u.map", m->dir, m->who);
	struct pages_writer *w = s ? pages_writer_create(s, &o, &m->err) : NULL;
	int rc = w ? put_all(w, m->image, &m->err) : -1;

	while (rc == 0 && (rc = pages_writer_settle(w, &m->err)) == 0)
		usleep(20000);
	if (rc == 1)
		return pages_writer_finish(w, map, "", 0, &m->saved, &m->err);
	pages_writer_abort(w);
	return -1;
}

static void *run(void *data)
{
	struct member *m = data;
	struct pages_store *s = pages_store_open(m->dir, JOB, NULL, &m->err);

	m->rc = save(m, s);
	pages_store_close(s);
	return NULL;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	unsigned members = argc > 4 ? (unsigned)argc - 4 : 0;
	struct member *m = calloc(members + 1, sizeof(*m));
	unsigned long long bytes = 0, others = 0;
	double began = now_s();

	owner.entry = calloc(TABLE, sizeof(*owner.entry));
	if (!m || !owner.entry || members == 0)
		return 2;
	for (unsigned i = 0; i < members; i++) {
		m[i] = (struct member){ .dir = argv[2], .image = argv[4 + i], .claims = strcmp(argv[1], "claims") == 0, .who = i,
					.delay = (useconds_t)atoi(argv[3]) };
		if (pthread_create(&m[i].thread, NULL, run, &m[i]) != 0)
			return 1;
	}
	for (unsigned i = 0; i < members; i++) {
		pthread_join(m[i].thread, NULL);
		if (m[i].rc < 0)
			fprintf(stderr, "member %u: %s\n", i, m[i].err.text);
		if (m[i].rc < 0)
			return 1;
		bytes += m[i].saved.bytes;
		others += m[i].saved.others;
	}
	printf("{\"bytes\": %llu, \"others\": %llu, \"calls\": %lu, \"asked\": %lu, \"seconds\": %.3f}\n", bytes, others, owner.calls,
	       owner.asked, now_s() - began);
	free(owner.entry);
	free(m);
	return 0;
}
