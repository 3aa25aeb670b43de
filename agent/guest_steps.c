/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest_steps.c - from the plan to a VM that answers; see guest.h. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/ether.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/cut_inject.h"
#include "agent/guest_private.h"
#include "agent/plan.h"

#define ADDRESS_MS 100
#define LINK_POLL_MS 20
#define PROBE_MS 200 /* between attempts; an attempt may take PROBE_TRY_S */
#define PROBE_TRY_S 2

static void start_build(struct guest *g);
static void start_probe(struct guest *g);
static void on_started(struct guest *g);

/* ---- prepare ------------------------------------------------------------------- */

/*
 * Two guests with one address on a bridge would answer for each other.  1: it is
 * in use by one that is being destroyed; -1: by one that is not.
 */
static int check_address_free(const struct job *job, struct fm_error *err)
{
	struct json_object *mine = job_identity_node(job);
	const char *ip = fm_json_string_or(mine, "ip", ""), *mac = fm_json_string_or(mine, "mac", "");

	for (const struct job *other = job->agent->jobs; other; other = other->next) {
		struct json_object *theirs = other == job ? NULL : job_identity_node(other);

		if (!theirs || (other->state > JOB_RUNNING && !other->guest))
			continue;
		if (strcmp(fm_json_string_or(theirs, "ip", ""), ip) &&
		    strcmp(fm_json_string_or(theirs, "mac", ""), mac))
			continue;
		return other->guest && other->guest->stage == GUEST_UNDOING ? 1 :
			fm_fail(err, FM_BUSY, "the address %s (%s) is in use by job %u's member %u on this node",
				       ip, mac, other->spec.job, other->rank);
	}
	return 0;
}

static int take_preparation(struct guest *g, struct json_object *result, const struct task_blob *blob,
			    struct fm_error *err)
{
	struct job *job = g->job;

	free(job->spec.image);
	job->spec.image = strdup(fm_json_string_or(result, "image", ""));
	job->spec.memory_mib = (unsigned)fm_json_int_or(result, "memory_mib", 0);
	job->spec.vcpus = (unsigned)fm_json_int_or(result, "vcpus", 1);
	snprintf(job->type, sizeof(job->type), "%s", fm_json_string_or(result, "type", "pvh"));
	free(job->home);
	job->home = strdup(fm_json_string_or(result, "home", "/"));
	g->request = json_object_get(json_object_object_get(result, "request"));
	if (blob->size) {
		g->held = malloc(blob->size);
		if (!g->held)
			return fm_fail(err, FM_FAILED, "out of memory");
		memcpy(g->held, blob->data, blob->size);
		g->held_size = blob->size;
	}
	return 0;
}

static void on_prepared(struct json_object *result, const struct task_blob *blob, const struct fm_error *error,
			void *arg)
{
	struct guest *g = arg;
	struct fm_error err;

	g->task = NULL;
	if (error)
		guest_fail(g, error);
	else if (take_preparation(g, result, blob, &err) || job_save(g->job, &err))
		guest_fail(g, &err);
	else
		start_build(g);
}

void guest_prepare(struct guest *g)
{
	struct fm_error err;
	int r = check_address_free(g->job, &err);

	if (r > 0)
		guest_set_timer(g->timer, ADDRESS_MS);
	else if (r < 0 || !(g->task = task_start(g->job->agent, plan_member, g->job, on_prepared, g, &err)))
		guest_fail(g, &err);
}

void guest_planned(struct job *job)
{
	struct guest *g = job->guest;

	if (!g || g->stage != GUEST_PLANNING)
		return;
	g->stage = GUEST_PREPARING;
	if (job->restored_from.job) /* else it is creating already; the plan is saved with the preparation */
		job_set_state(job, JOB_RESTORING, NULL);
	guest_prepare(g);
}

/* ---- build ------------------------------------------------------------------------ */

static int attach_gate(struct guest *g, struct json_object *event, struct fm_error *err)
{
	struct job *job = g->job;
	struct json_object *vifs = json_object_object_get(event, "vifs");
	const char *vif = NULL;

	if (json_object_is_type(vifs, json_type_array) && json_object_array_length(vifs))
		vif = json_object_get_string(json_object_array_get_idx(vifs, 0));
	job->no_runner = !fm_json_bool_or(event, "runner", strcmp(job->agent->conf.hypervisor, "sim") != 0);
	if (!vif || strlen(vif) >= sizeof(job->vif))
		return fm_fail(err, FM_FAILED, "the VM has no network device");
	snprintf(job->vif, sizeof(job->vif), "%s", vif);
	job->gate = gate_create(job->agent->gates, job->vif, err);
	if (!job->gate)
		return fm_context(err, "gate on %s", job->vif);
	if (!job->restored_from.job)
		return 0;
	if (gate_close(job->gate, err) || (g->held && gate_import(job->gate, g->held, g->held_size, err)))
		return fm_context(err, "gate on %s", job->vif);
	free(fm_steal_ptr(&g->held));
	return 0;
}

static void on_built(struct guest *g, struct json_object *event)
{
	struct job *job = g->job;
	struct fm_error err;

	job->domid = (uint32_t)fm_json_int_or(event, "domid", 0);
	if (g->died_domid && g->died_domid != job->domid) /* one of before */
		g->died.code = FM_OK;
	if (attach_gate(g, event, &err)) {
		guest_fail(g, &err);
		return;
	}
	worker_deadline(g->worker, 0); /* the group's deadline counts from here */
	if (job->restored_from.job) {
		job_set_state(job, JOB_HELD, NULL);
		guest_ready(g);
	} else {
		guest_let_run(g);
	}
}

static void on_build_event(struct worker *w, const char *event, struct json_object *o, void *arg)
{
	struct guest *g = arg;

	(void)w;
	if (g->stage == GUEST_BUILDING && (strcmp(event, "created") == 0 || strcmp(event, "restored") == 0))
		on_built(g, o);
	else if (g->stage == GUEST_STARTING && strcmp(event, "running") == 0)
		on_started(g);
	else if (g->stage == GUEST_THAWING && strcmp(event, "thawed") == 0)
		start_probe(g);
}

static void on_build_ended(struct worker *w, const struct fm_error *error, void *arg)
{
	struct guest *g = arg;
	struct fm_error err;

	(void)w;
	g->worker = NULL;
	if (g->stage == GUEST_UNDOING) {
		guest_undone(g);
	} else if (!error && g->died.code) {
		guest_fail(g, &g->died);
	} else if (g->stage <= GUEST_THAWING || (g->stage == GUEST_READY && g->job->state == JOB_HELD)) {
		if (!error)
			fm_fail(&err, FM_FAILED, "the worker ended before its time");
		guest_fail(g, error ? error : &err);
	}
}

static void start_build(struct guest *g)
{
	static const struct worker_events events = { on_build_event, on_build_ended };
	struct job *job = g->job;
	struct fm_error err;

	g->stage = GUEST_BUILDING;
	job->unwatched = false;
	g->worker = worker_start(job->agent, job_tag(job), fm_steal_ptr(&g->request),
				 job->agent->conf.create_timeout_ms, &events, g, &err);
	if (!g->worker)
		guest_fail(g, &err);
}

/* ---- run ----------------------------------------------------------------------------- */

void guest_let_run(struct guest *g)
{
	if (guest_enter(g, GUEST_STARTING) == 0)
		worker_command(g->worker, "release");
}

static void start_probe(struct guest *g)
{
	if (guest_enter(g, GUEST_PROBING) == 0)
		guest_probe(g);
}

/* A new guest's job begins when its runner is asked to; a restored one's is there, and waits for the link. */
static void on_started(struct guest *g)
{
	if (!g->job->restored_from.job)
		start_probe(g);
	else if (guest_enter(g, GUEST_LINKING) == 0)
		guest_poll_link(g);
}

/* done() of a gate that is gone is never called; that of a guest that is, finds none. */
static void on_reinjected(void *arg)
{
	struct job *job = arg;

	if (!job->guest || job->guest->stage != GUEST_REINJECTING)
		return;
	if (guest_enter(job->guest, GUEST_THAWING) == 0)
		worker_command(job->guest->worker, "thaw");
}

/*
 * Every switch on the way believes the guest where it was before, and would
 * send what its peers are given back there. Its own announcement waits in its
 * shut gate: a marker, which no gate holds and no guest gets, goes to all.
 */
static void announce(const struct guest *g)
{
	static const uint8_t all[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const char *text = fm_json_string_or(job_identity_node(g->job), "mac", "");
	const struct ether_addr *mac = ether_aton(text);
	struct fm_error err;

	if (!gate_marks(g->job->agent->gates))
		return;
	if (!mac)
		fm_fail(&err, FM_CORRUPT, "\"%.40s\" is no MAC", text);
	else if (gate_send_marker(g->job->gate, mac->ether_addr_octet, all, "", 0, &err) == 0)
		return;
	fm_warning("%s cannot tell the network where the guest is now: %s", job_tag(g->job), err.text);
}

/* A restored guest is deaf until its frontend has reconnected. */
void guest_poll_link(struct guest *g)
{
	struct fm_error ignored;

	if (gate_link_ready(g->job->gate) && cut_inject(g->job, "guest", "link", &ignored) == 0) {
		announce(g); /* before any member opens: that waits for all to be linked */
		guest_linked(g);
	} else {
		guest_set_timer(g->timer, LINK_POLL_MS);
	}
}

void guest_reinject(struct guest *g)
{
	struct fm_error err;

	if (guest_enter(g, GUEST_REINJECTING) == 0 && gate_release(g->job->gate, on_reinjected, g->job, &err))
		guest_fail(g, &err);
}

/* ---- the runner -------------------------------------------------------------------------- */

void guest_stop_probe(struct guest *g)
{
	if (g->probe)
		event_free(g->probe);
	g->probe = NULL;
	if (g->probe_fd >= 0)
		close(g->probe_fd);
	g->probe_fd = -1;
}

static void probed(struct guest *g)
{
	struct json_object *node = job_identity_node(g->job);

	guest_stop_probe(g);
	fm_debug("%s the runner at %s answers", job_tag(g->job), fm_json_string_or(node, "ip", "?"));
	if (g->job->restored_from.job)
		guest_running(g);
	else
		guest_ready(g);
}

static void on_probe(evutil_socket_t fd, short what, void *arg)
{
	struct guest *g = arg;
	int error = ETIMEDOUT;
	socklen_t size = sizeof(error);

	if (what & EV_WRITE)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error == 0) {
		probed(g);
		return;
	}
	guest_stop_probe(g);
	guest_set_timer(g->timer, PROBE_MS);
}

/* Connect to the runner's port; try until the deadline. */
void guest_probe(struct guest *g)
{
	struct job *job = g->job;
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct timeval patience = { PROBE_TRY_S, 0 };

	if (job->no_runner) {
		probed(g);
		return;
	}
	guest_stop_probe(g);
	sin.sin_port = htons((uint16_t)fm_json_int_or(job->identity, "port", 0));
	inet_pton(AF_INET, fm_json_string_or(job_identity_node(job), "ip", ""), &sin.sin_addr);
	g->probe_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (g->probe_fd >= 0)
		g->probe = event_new(job->agent->base, g->probe_fd, EV_WRITE, on_probe, g);
	if (!g->probe || (connect(g->probe_fd, (struct sockaddr *)&sin, sizeof(sin)) && errno != EINPROGRESS) ||
	    event_add(g->probe, &patience)) {
		guest_stop_probe(g);
		guest_set_timer(g->timer, PROBE_MS);
	}
}
