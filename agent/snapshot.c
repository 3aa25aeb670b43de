/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot.c - see snapshot.h. The machine is cut/lead; here is what its actions do. */
#include "config.h"

#include "agent/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/cut/lead.h"
#include "agent/compact.h"
#include "agent/copier.h"
#include "agent/cut_inject.h"
#include "agent/cutter.h"
#include "agent/group.h"
#include "agent/job_drop.h"
#include "agent/local_disk.h"
#include "agent/manifest_build.h"
#include "agent/periodic.h"
#include "agent/prune.h"
#include "agent/store/secret.h"
#include "agent/store/store.h"
#include "agent/task.h"
#include "agent/tree.h"
#include "common/cleanup.h"

#define GRACE_MS 1000  /* a member's own lease comes first: it says why */
#define UNDO_MS 40000  /* a member's undoing, its worker killed and its guest resumed */
#define STOP_ROUND_MS 10000

/* A create that came while the one before was being made whole. */
struct waiting {
	snapshot_begun begun; /* NULL: none */
	void *arg;
	char *comment;
};

struct snapshot {
	struct job *job;
	struct agent *agent;
	struct fm_snapshot_id id;
	struct lead lead;
	struct tree *tree;
	struct event *timer;
	struct task *task;
	snapshot_begun begun;
	void *begun_arg;
	char *comment;
	struct fm_error why;
	uint64_t started_ns, gate_ns, round_ns;
	double round_ms[CUT_ROUNDS]; /* from the order to the barrier */
	int64_t first_ns, last_ns;   /* the members' instants */
	char *entries;               /* the members' manifest entries */
	size_t entries_size;
	int64_t started;
	int64_t lease_ms; /* of the gates: GateMax, and more when a guest must be stopped to be copied */
	uint64_t bytes;
	bool begin_failed;
	struct waiting waiting;
};

static void step(struct snapshot *s, enum lead_event event, enum cut_round round, unsigned rank);

static const char *tag(const struct snapshot *s)
{
	static char text[64];

	snprintf(text, sizeof(text), "job=%u snapshot=%u.%u", s->id.job, s->id.job, s->id.n);
	return text;
}

bool snapshot_is(const struct snapshot *s, const struct fm_snapshot_id *id)
{
	return s && s->id.job == id->job && s->id.n == id->n && id->n;
}

struct json_object *snapshot_progress(const struct snapshot *s)
{
	struct json_object *o = json_object_new_object();
	char id[24] = "";

	if (s->id.n)
		fm_snapshot_id_format(&s->id, id);
	fm_json_set_string(o, "id", id);
	fm_json_set_string(o, "state", "running");
	fm_json_set_string(o, "round", lead_state_name(s->lead.state));
	if (s->why.code)
		fm_json_set_string(o, "error", s->why.text);
	fm_json_set_int(o, "started", s->started);
	fm_json_set_int(o, "bytes", (int64_t)s->bytes);
	return o;
}

const struct outcome *snapshot_outcome(const struct job *job, const struct fm_snapshot_id *id)
{
	for (size_t i = 0; i < JOB_OUTCOMES; i++)
		if (job->outcomes[i].id.job == id->job && job->outcomes[i].id.n == id->n && id->n)
			return &job->outcomes[i];
	return NULL;
}

/* ---- the end ----------------------------------------------------------------------- */

static void snapshot_free(struct snapshot *s)
{
	tree_end(s->tree);
	task_cancel(s->task);
	if (s->timer)
		event_free(s->timer);
	free(s->entries);
	free(s->comment);
	free(s->waiting.comment);
	free(s);
}

static void remember(struct snapshot *s)
{
	struct outcome *all = s->job->outcomes;

	memmove(all + 1, all, (JOB_OUTCOMES - 1) * sizeof(*all));
	all[0] = (struct outcome){ .id = s->id, .error = s->why, .started = s->started, .bytes = s->bytes };
}

static void save_record(struct job *job)
{
	struct fm_error err;

	if (job_save(job, &err))
		fm_err("%s the record cannot be written: %s", job_tag(job), err.text);
}

static void finish(struct snapshot *s)
{
	struct job *job = s->job;
	struct waiting waiting = s->waiting;
	struct fm_snapshot_id id = s->id;
	FM_AUTO_FREE char *comment = fm_steal_ptr(&s->waiting.comment);
	bool whole = s->lead.state == LEAD_WHOLE;

	if (whole) {
		s->why.code = FM_OK;
		fm_info("%s whole: %llu bytes, %.1f s", tag(s), (unsigned long long)s->bytes,
			(double)(agent_now_ns() - s->started_ns) / 1e9);
	} else {
		fm_warning("%s failed: %s", tag(s), s->why.text);
	}
	job->last_error = s->why;
	job->cutting.n = 0;
	save_record(job);
	remember(s);
	job->snapshot = NULL;
	snapshot_free(s);
	periodic_again(job);
	if (whole) {
		local_disk_snapshot(job->agent, &id, job->spec.nodes, job->spec.node_count);
		prune_after_snapshot(job);
		if (!*job->agent->conf.local_dir) /* else when its packs are in StoreDir */
			copier_add(job->agent, job->spec.job);
		compact_begin(job->agent, job->spec.job);
	}
	if (waiting.begun)
		snapshot_create(job, comment, waiting.begun, waiting.arg);
	job_drop_next(job);
}

/* ---- rounds ---------------------------------------------------------------------------- */

/* How long a member may take for the state's round. */
static int64_t member_ms(const struct snapshot *s)
{
	int64_t copy = cutter_copy_ms(s->job);
	int64_t since_gate = (int64_t)((agent_now_ns() - s->gate_ns) / 1000000u);

	switch (s->lead.state) {
	case LEAD_ARMING:
	case LEAD_SAVING: return copy + GRACE_MS;
	case LEAD_GATING: return s->lease_ms + GRACE_MS;
	case LEAD_DRAINING:
	case LEAD_CUTTING: return since_gate < s->lease_ms ? s->lease_ms - since_gate + GRACE_MS : GRACE_MS;
	case LEAD_RELEASING: return STOP_ROUND_MS;
	case LEAD_ABORTING: return UNDO_MS;
	default: return 0;
	}
}

/* The tree's own deadline comes first: it knows who is silent. */
static int64_t state_ms(const struct snapshot *s)
{
	int64_t ms = member_ms(s);

	return ms ? tree_within_ms(s->tree, ms) + TREE_HOP_MS : 0;
}

static void set_timer(struct snapshot *s)
{
	int64_t ms = state_ms(s);
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	event_del(s->timer);
	if (ms > 0)
		event_add(s->timer, &tv);
}

static void take_sum(struct snapshot *s, enum cut_round round, const struct cut_sum *sum)
{
	s->round_ms[round] = (double)(agent_now_ns() - s->round_ns) / 1e6;
	if (round == CUT_ARM && sum->stopped_bytes)
		s->lease_ms = s->agent->conf.gate_max_ms + cutter_stop_ms((int64_t)sum->stopped_bytes);
	if (round == CUT_CUT) {
		s->first_ns = sum->first_ns;
		s->last_ns = sum->last_ns;
	}
	if (round == CUT_COMMIT && (s->entries = malloc(sum->entries_size + 1))) {
		memcpy(s->entries, sum->entries, sum->entries_size);
		s->entries_size = sum->entries_size;
	}
}

static void on_answer(const struct tree_answer *answer, void *arg)
{
	struct snapshot *s = arg;

	if (answer->round == s->lead.round && answer->error && !s->why.code)
		s->why = *answer->error; /* step() adds whose and where */
	else if (answer->round == s->lead.round && !answer->error)
		take_sum(s, answer->round, answer->sum);
	step(s, answer->error ? LEAD_EV_NO : LEAD_EV_YES, answer->round, answer->rank);
}

static void send_round(struct snapshot *s, enum cut_round round)
{
	s->round_ns = agent_now_ns();
	if (round == CUT_GATE)
		s->gate_ns = s->round_ns;
	tree_order(s->tree, round, tree_within_ms(s->tree, member_ms(s)), s->lease_ms);
}

/* ---- store --------------------------------------------------------------------------------- */

static int seal_guest(struct snapshot *s, struct json_object *manifest, struct fm_error *err)
{
	const struct fm_conf *conf = &s->agent->conf;
	struct store_access access;
	int r = store_access_job(&access, conf->store_dir, s->id.job, conf->key_file, true, err);

	if (r == 0)
		r = store_guest_seal(&access, &s->id, manifest, err);
	store_access_close(&access);
	return r;
}

static int commit(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	struct snapshot *s = arg;
	struct manifest_facts facts = {
		.job = s->job, .id = &s->id, .comment = s->comment, .entries = s->entries,
		.entries_size = s->entries_size, .first_ns = s->first_ns, .last_ns = s->last_ns,
		.round_ms = s->round_ms, .create_ms = (double)(agent_now_ns() - s->started_ns) / 1e6,
	};
	FM_AUTO_JSON struct json_object *manifest = manifest_build(&facts, err);
	struct fm_error ignored;

	(void)blob;
	if (!manifest || seal_guest(s, manifest, err) || store_commit(s->agent->conf.store_dir, &s->id, manifest, err))
		return -1;
	cut_inject(s->job, "lead", "committed", &ignored);
	fm_json_set_int(result, "bytes", (int64_t)facts.bytes);
	return 0;
}

static void on_committed(struct json_object *result, const struct task_blob *blob, const struct fm_error *error,
			 void *arg)
{
	struct snapshot *s = arg;

	(void)blob;
	s->task = NULL;
	if (error)
		s->why = *error;
	else
		s->bytes = (uint64_t)fm_json_int_or(result, "bytes", 0);
	step(s, error ? LEAD_EV_STORE_FAILED : LEAD_EV_STORED, CUT_COMMIT, 0);
}

static int discard(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	struct snapshot *s = arg;

	(void)result, (void)blob;
	return store_discard(s->agent->conf.store_dir, &s->id, err);
}

static void on_discarded(struct json_object *result, const struct task_blob *blob, const struct fm_error *error,
			 void *arg)
{
	struct snapshot *s = arg;

	(void)result, (void)blob;
	s->task = NULL;
	if (error)
		fm_warning("%s its remains stay for now: %s", tag(s), error->text);
	step(s, LEAD_EV_DISCARDED, CUT_ABORT, 0);
}

static void run_task(struct snapshot *s, task_fn fn, task_done done)
{
	struct fm_error err;

	s->task = task_start(s->agent, fn, s, done, s, &err);
	if (!s->task)
		done(NULL, NULL, &err, s);
}

/* ---- the machine ------------------------------------------------------------------------------- */

/* Whose fault, in words, once: when the lead has just given up. */
static void explain(struct snapshot *s, int64_t waited_ms)
{
	const struct lead *lead = &s->lead;
	const char *node = lead->blame_rank < s->job->spec.node_count ? s->job->spec.nodes[lead->blame_rank] : "?";
	const char *round = lead_state_name(lead->blame_state);

	switch (lead->blame) {
	case BLAME_MEMBER: fm_context(&s->why, "member %u (%s), step %s", lead->blame_rank, node, round); break;
	case BLAME_SILENT:
		fm_fail(&s->why, FM_TIMEOUT, "member %u (%s), step %s: no answer within %lld ms", lead->blame_rank, node,
			round, (long long)waited_ms);
		break;
	case BLAME_STORE: fm_context(&s->why, "writing the manifest"); break;
	default: break;
	}
	fm_warning("%s given up: %s", tag(s), s->why.text);
}

/* A test's failure in the state just entered; true: it takes the place of that state's actions. */
static bool injected(struct snapshot *s)
{
	struct fm_error err;

	if (cut_inject(s->job, "lead", lead_state_name(s->lead.state), &err) == 0)
		return false;
	fm_warning("%s %s", tag(s), err.text);
	if (s->lead.state == LEAD_STORING) {
		s->why = err;
		step(s, LEAD_EV_STORE_FAILED, CUT_COMMIT, 0);
		return true;
	}
	if (s->lead.blame != BLAME_NONE || s->lead.state == LEAD_WHOLE)
		return false;
	s->why = err;
	step(s, LEAD_EV_STOP, CUT_ABORT, 0);
	return true;
}

static void step(struct snapshot *s, enum lead_event event, enum cut_round round, unsigned rank)
{
	enum lead_state before = s->lead.state;
	enum lead_blame blame = s->lead.blame;
	int64_t waited_ms = state_ms(s);
	struct lead_actions a;

	lead_step(&s->lead, event, round, rank, &a);
	if (s->lead.blame != blame)
		explain(s, waited_ms);
	else if (s->lead.blame == BLAME_NONE)
		s->why.code = FM_OK; /* a stale answer's */
	if (s->lead.state != before || event == LEAD_EV_BEGIN) {
		fm_debug("%s %s", tag(s), lead_state_name(s->lead.state));
		set_timer(s);
		if (injected(s))
			return;
	}
	if (a.send)
		send_round(s, a.round); /* may step again before it returns: nothing may follow it */
	else if (a.store)
		run_task(s, commit, on_committed);
	else if (a.discard)
		run_task(s, discard, on_discarded);
	else if (a.finished)
		finish(s);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	step(arg, LEAD_EV_TIME, CUT_ARM, 0);
}

void snapshot_stop(struct job *job, const struct fm_error *error)
{
	struct snapshot *s = job->snapshot;

	if (!s || s->lead.blame != BLAME_NONE)
		return;
	if (!s->id.n) { /* still looking for a number */
		s->why = *error;
		s->begin_failed = true;
		return;
	}
	s->why = *error;
	step(s, LEAD_EV_STOP, CUT_ABORT, 0);
}

/* ---- the beginning --------------------------------------------------------------------------------- */

static int begin(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct snapshot *s = arg;
	struct fm_snapshot_id id;
	char text[24];

	(void)blob;
	if (store_begin(s->agent->conf.store_dir, s->job->spec.job, &id, err))
		return -1;
	fm_snapshot_id_format(&id, text);
	fm_json_set_string(result, "id", text);
	return 0;
}

static void on_begun(struct json_object *result, const struct task_blob *blob, const struct fm_error *error,
		     void *arg)
{
	struct snapshot *s = arg;
	struct job *job = s->job;
	struct fm_error err = { 0 };

	(void)blob;
	s->task = NULL;
	if (error)
		err = *error;
	else if (s->begin_failed)
		err = s->why;
	else
		fm_snapshot_id_parse(fm_json_string_or(result, "id", ""), &s->id, &err);
	if (!err.code)
		s->tree = tree_create(job, &s->id, on_answer, s, &err);
	if (err.code) {
		job->snapshot = NULL;
		fm_warning("%s no snapshot: %s", job_tag(job), err.text);
		s->begun(NULL, &err, s->begun_arg);
		snapshot_free(s);
		job_drop_next(job);
		return;
	}
	fm_info("%s begins: %u members%s%s", tag(s), job->spec.node_count, s->comment ? ", " : "", s->comment ? s->comment : "");
	job->cutting = s->id;
	save_record(job);
	s->begun(&s->id, NULL, s->begun_arg);
	step(s, LEAD_EV_BEGIN, CUT_ARM, 0);
}

static struct snapshot *snapshot_new(struct job *job, const char *comment)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->job = job;
	s->agent = job->agent;
	s->started = (int64_t)time(NULL);
	s->started_ns = agent_now_ns();
	s->lease_ms = job->agent->conf.gate_max_ms;
	s->comment = comment && *comment ? strdup(comment) : NULL;
	s->timer = evtimer_new(job->agent->base, on_timer, s);
	lead_init(&s->lead);
	if (!s->timer) {
		snapshot_free(s);
		return NULL;
	}
	return s;
}

static int may_begin(const struct job *job, struct fm_error *err)
{
	if (job->snapshot)
		return fm_fail(err, FM_BUSY, "job %u is being snapshotted already (%u.%u)", job->spec.job,
			       job->spec.job, job->snapshot->id.n);
	if (job->error.code) {
		*err = job->error;
		return fm_context(err, "job %u cannot be snapshotted", job->spec.job);
	}
	if (!group_running(job))
		return fm_fail(err, FM_BUSY, "job %u is not running yet (%s)", job->spec.job, job_state_name(job->state));
	if (job->checkpoint_disabled)
		return fm_fail(err, FM_DENIED, "checkpoints of job %u are disabled", job->spec.job);
	return 0;
}

/*
 * The manifest is in the store before the lead has noted it, so another node's agent may have said already that the
 * snapshot is whole: who then asks for the next one is not to be told that there is one under way.
 */
static bool wait_for_end(struct snapshot *s, const char *comment, snapshot_begun begun, void *arg)
{
	if (!s || s->lead.state != LEAD_STORING || s->waiting.begun)
		return false;
	s->waiting = (struct waiting){ .begun = begun, .arg = arg, .comment = comment ? strdup(comment) : NULL };
	return true;
}

void snapshot_create(struct job *job, const char *comment, snapshot_begun begun, void *arg)
{
	struct snapshot *s;
	struct fm_error err;

	if (wait_for_end(job->snapshot, comment, begun, arg))
		return;
	if (may_begin(job, &err)) {
		begun(NULL, &err, arg);
		return;
	}
	s = snapshot_new(job, comment);
	if (!s || !(s->task = task_start(job->agent, begin, s, on_begun, s, &err))) {
		if (!s)
			fm_fail(&err, FM_FAILED, "out of memory");
		else
			snapshot_free(s);
		begun(NULL, &err, arg);
		return;
	}
	s->begun = begun;
	s->begun_arg = arg;
	job->snapshot = s;
}
