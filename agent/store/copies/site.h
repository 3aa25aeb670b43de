/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * site.h - the levels behind StoreDir as fermata.conf has them (`Level=`, nearest first), opened when they are needed.
 *
 * All that uses them blocks: in a worker or a task, never in the agent. One site is one thread's.
 */
#ifndef FM_STORE_COPIES_SITE_H
#define FM_STORE_COPIES_SITE_H

#include "agent/store/levels/level.h"
#include "common/conf.h"
#include "common/level_spec.h"

/* How long a server that does not answer is asked. */
enum site_patience {
	SITE_PATIENT,   /* a copy in the background, a repair: minutes */
	SITE_IMPATIENT, /* somebody waits for the answer: half a minute at most */
};

struct site_level {
	struct level_spec spec;
	struct level *open; /* NULL: not yet */
};

struct site {
	const char *store;    /* StoreDir; the caller's */
	const char *key_file; /* KeyFile=; "" for none; the caller's */
	enum site_patience patience;
	struct site_level *level;
	size_t count;
	struct throttle *throttle; /* of what goes up; NULL: none */
	bool (*stop)(void *arg);  /* asked as bytes move; may be NULL */
	void (*moved)(void *arg); /* told as bytes move; may be NULL */
	void *arg;
};

/* lines: NULL-terminated, or NULL for none. bandwidth 0: unthrottled. Dispose in any case. */
int site_init(struct site *site, char **lines, const char *store, const char *key_file, uint64_t bandwidth,
	      struct fm_error *err);
/* The same from a configuration, without a throttle: nothing goes up. It must outlive the site. */
int site_init_conf(struct site *site, const struct fm_conf *conf, enum site_patience patience, struct fm_error *err);
void site_dispose(struct site *site);

/* The i-th, opened; NULL with err, which names it, and never is FM_NOT_FOUND. The site's. */
struct level *site_open(struct site *site, size_t i, struct fm_error *err);
const char *site_name(const struct site *site, size_t i);
/* "directory /srv/second", "s3 https://host/bucket/prefix", opened or not. Caller frees; NULL without memory. */
char *site_where(const struct site *site, size_t i);

/* For what comes down: unthrottled. It must not outlive the site. */
struct level_transfer site_down(struct site *site);

/* "<job>/<n>/<name>"; n 0: "<job>/<name>". Caller frees; NULL with err. */
char *site_object(uint32_t job, uint32_t n, const char *name, struct fm_error *err);

#endif
