/* SPDX-License-Identifier: GPL-2.0-or-later */
/* compact.c - see compact.h. */
#include "config.h"

#include "agent/compact.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/store/sweep.h"
#include "agent/task.h"

#define AGAIN_FIRST_MS 5000 /* after it gave way; then twice as long, and so on */
#define TRIES 8             /* then it is the next snapshot's */
#define IDLE_PRIORITY (3 << 13) /* ioprio_set(2): class idle */
#define IOPRIO_WHO_PROCESS 1

enum state { WAITING, RUNNING, DONE, FAILED };

struct compaction {
	struct compaction *next;
	struct agent *agent;
	uint32_t job;
	enum state state;
	bool again;     /* there is something new since it began */
	bool forgotten; /* goes when it has ended */
	unsigned tries;
	struct event *timer;
	int64_t before, after, began, when;
	struct fm_error error;
};

static struct compaction *find(const struct agent *agent, uint32_t job)
{
	struct compaction *c = agent->compactions;

	while (c && c->job != job)
		c = c->next;
	return c;
}

static void compaction_free(struct compaction *c)
{
	struct compaction **at = &c->agent->compactions;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	if (c->timer)
		event_free(c->timer);
	free(c);
}

/* ---- in the task --------------------------------------------------------------------- */

static int pass(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct compaction *c = arg;
	const struct fm_conf *conf = &c->agent->conf;
	const struct sweep_options o = { .key_file = conf->key_file, .share = COMPACT_SHARE, .compact = true,
					 .whole_packs = *conf->local_dir, .background = true };
	struct sweep_result swept;

	(void)blob;
	setpriority(PRIO_PROCESS, 0, 19);
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IDLE_PRIORITY);
	if (store_sweep(conf->store_dir, c->job, &o, &swept, err) < 0)
		return -1;
	json_object_object_add(result, "sweep", sweep_to_json(&swept));
	return 0;
}

/* ---- in the agent ---------------------------------------------------------------------- */

static void start(struct compaction *c);

static void try_again(struct compaction *c, const char *why)
{
	int64_t ms = (int64_t)AGAIN_FIRST_MS << c->tries;
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	fm_debug("job=%u its pages are compacted later: %s", c->job, why);
	c->state = WAITING;
	if (++c->tries > TRIES || event_add(c->timer, &tv))
		c->state = DONE;
}

static void note_failure(struct compaction *c, const struct fm_error *error)
{
	c->state = FAILED;
	c->error = *error;
	fm_warning("job=%u its pages cannot be compacted: %s", c->job, error->text);
}

static void note_result(struct compaction *c, struct json_object *sweep)
{
	int64_t before = fm_json_int_or(sweep, "bytes", 0), freed = fm_json_int_or(sweep, "freed", 0);

	c->state = DONE;
	c->when = (int64_t)time(NULL);
	c->before = before;
	c->after = before - freed;
	if (freed || fm_json_int_or(sweep, "rewritten", 0))
		fm_info("job=%u pages compacted: %lld bytes, before %lld; %lld packs written anew, %lld removed, %lld s", c->job,
			(long long)c->after, (long long)before, (long long)fm_json_int_or(sweep, "rewritten", 0),
			(long long)fm_json_int_or(sweep, "removed", 0), (long long)(c->when - c->began));
	if (fm_json_int_or(sweep, "damaged", 0))
		fm_warning("job=%u packs that are damaged: %lld; %s", c->job, (long long)fm_json_int_or(sweep, "damaged", 0),
			   fm_json_string_or(sweep, "damaged_text", ""));
	if (fm_json_bool_or(sweep, "given_way", false))
		try_again(c, "a snapshot, a restore or a sweep was waiting");
}

static void on_passed(struct json_object *result, const struct task_blob *blob, const struct fm_error *error, void *arg)
{
	struct compaction *c = arg;

	(void)blob;
	if (error && error->code == FM_BUSY)
		try_again(c, error->text);
	else if (error)
		note_failure(c, error);
	else
		note_result(c, json_object_object_get(result, "sweep"));
	if (c->forgotten)
		compaction_free(c);
	else if (c->again)
		compact_begin(c->agent, c->job);
}

static void start(struct compaction *c)
{
	struct fm_error err;

	event_del(c->timer);
	c->again = false;
	c->state = RUNNING;
	c->began = (int64_t)time(NULL);
	if (!task_start(c->agent, pass, c, on_passed, c, &err))
		note_failure(c, &err);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	start(arg);
}

static struct compaction *make(struct agent *agent, uint32_t job)
{
	struct compaction *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct compaction){ .next = agent->compactions, .agent = agent, .job = job };
	agent->compactions = c;
	c->timer = evtimer_new(agent->base, on_timer, c);
	if (c->timer)
		return c;
	compaction_free(c);
	return NULL;
}

void compact_begin(struct agent *agent, uint32_t job)
{
	struct compaction *c = find(agent, job);

	if (!agent->conf.compact || (!c && !(c = make(agent, job))))
		return;
	c->tries = 0;
	c->forgotten = false;
	if (c->state == RUNNING && c->began)
		c->again = true;
	else
		start(c);
}

struct json_object *compact_describe(const struct agent *agent, uint32_t job)
{
	static const char *const names[] = { "waiting", "running", "done", "failed" };
	const struct compaction *c = find(agent, job);
	struct json_object *o;

	if (!c || (c->state == DONE && !c->when)) /* it never came to it */
		return NULL;
	o = json_object_new_object();
	fm_json_set_string(o, "state", names[c->state]);
	if (c->when) {
		fm_json_set_int(o, "before", c->before);
		fm_json_set_int(o, "after", c->after);
		fm_json_set_int(o, "when", c->when);
	}
	if (c->state == DONE)
		fm_json_set_int(o, "seconds", c->when - c->began);
	if (c->state == FAILED)
		fm_json_set_string(o, "error", c->error.text);
	return o;
}

void compact_forget(struct agent *agent, uint32_t job)
{
	struct compaction *c = find(agent, job);

	if (!c)
		return;
	c->forgotten = true;
	c->again = false;
	if (c->state != RUNNING)
		compaction_free(c);
}

void compacts_free(struct agent *agent)
{
	while (agent->compactions)
		compaction_free(agent->compactions);
}
