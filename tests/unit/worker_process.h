/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * worker_process.h - a real fermata-worker on simulated domains, for tests.
 *
 * Everything is waited for with a bound; a check that fails fails the cmocka
 * test it is called from.
 */
#ifndef FM_TEST_WORKER_PROCESS_H
#define FM_TEST_WORKER_PROCESS_H

#include <sys/types.h>

#include "common/json.h"

struct worker_process {
	pid_t pid;
	int in, out; /* ours */
	char line[65536];
	size_t used;
};

/* A folder for the simulated domains and the streams; removed by worker_folder_remove(). */
char *worker_folder(void);
void worker_folder_remove(char *folder);

void worker_start(struct worker_process *w);
void worker_send(struct worker_process *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Start and send {"driver":"sim","rundir":…, <fields>}. */
void worker_request(struct worker_process *w, const char *folder, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
struct json_object *worker_any_event(struct worker_process *w); /* but "progress"; caller puts it */
/* The next event, which must be `event`; caller puts it. */
struct json_object *worker_event(struct worker_process *w, const char *event);
/* The same, and nothing in it matters. */
void worker_expect(struct worker_process *w, const char *event);
/* The next event must be an error of that code whose text contains `part`. */
void worker_expect_error(struct worker_process *w, int code, const char *part);
/* Nothing more is said and it ends with that exit status (or -signal). */
void worker_end(struct worker_process *w, int status);
void worker_hang_up(struct worker_process *w); /* close its stdin */

/* create and release a domain of `mib` MiB. */
void worker_make_domain(const char *folder, const char *name, int mib);
/* "running", "suspended", … or NULL when there is none. Static buffer. */
const char *worker_domain_state(const char *folder, const char *name);
/* A test's fault: the content of <rundir>/sim/inject; NULL removes it. */
void worker_inject(const char *folder, const char *entries);

#endif
