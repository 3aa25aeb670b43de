/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * status.c - fermata status [NODE…]: the agents, and the jobs they look after.
 *
 * Agents are asked side by side: one that is down costs its own time-out only.
 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/hostlist.h"
#include "common/http.h"
#include "common/io.h"
#include "plugins/cli/cli.h"
#include "plugins/cli/print.h"
#include "plugins/cli/table.h"
#include "plugins/cli/text.h"

#define THREADS_MAX 32

struct agent {
	const char *node; /* NULL: the local one */
	struct json_object *status, *jobs;
	struct fm_error err; /* code FM_OK: it answered */
};

struct inquiry {
	const struct cli *cli;
	struct agent *agents;
	size_t count;
	atomic_size_t next;
};

static const struct table_column agent_columns[] = {
	{ .title = "NODE" },
	{ .title = "AGENT" },
	{ .title = "HYPERVISOR" },
	{ .title = "GATE" },
	{ .title = "UP", .right = true },
	{ .title = "JOBS", .right = true },
	{ .title = "STORE FREE", .right = true },
	{ .title = "ERROR", .trunc = true },
	{ .title = NULL },
};

static const struct table_column job_columns[] = {
	{ .title = "JOB", .right = true },
	{ .title = "USER" },
	{ .title = "RANK", .right = true },
	{ .title = "NODE" },
	{ .title = "STATE" },
	{ .title = "IMAGE" },
	{ .title = "SNAPSHOT" },
	{ .title = "SAVING" },
	{ .title = "ERROR", .trunc = true },
	{ .title = NULL },
};

static void ask(const struct cli *cli, struct agent *a)
{
	const struct fm_conf *conf = &cli->conf;
	/* On its own host an agent is asked over its socket: no MUNGE is needed then. */
	const char *node = a->node && strcmp(a->node, conf->node_name) == 0 && access(conf->socket, F_OK) == 0 ? NULL :
														 a->node;

	memset(&a->err, 0, sizeof(a->err));
	if (fm_http_call(conf, node, "GET", "/v1/status", NULL, CLI_CALL_TIMEOUT_MS, &a->status, &a->err) < 0)
		return;
	fm_http_call(conf, node, "GET", "/v1/jobs", NULL, CLI_CALL_TIMEOUT_MS, &a->jobs, &a->err);
}

static void *ask_some(void *arg)
{
	struct inquiry *q = arg;
	size_t i;

	while ((i = atomic_fetch_add(&q->next, 1)) < q->count)
		ask(q->cli, &q->agents[i]);
	return NULL;
}

static void ask_all(struct inquiry *q)
{
	pthread_t threads[THREADS_MAX];
	size_t count = 0;

	while (count < THREADS_MAX && count + 1 < q->count &&
	       pthread_create(&threads[count], NULL, ask_some, q) == 0)
		count++;
	ask_some(q); /* this thread too, and alone if there can be no others */
	while (count > 0)
		pthread_join(threads[--count], NULL);
}

static const char *agent_name(const struct inquiry *q, const struct agent *a)
{
	if (a->status && *print_text_at(a->status, "node"))
		return print_text_at(a->status, "node");
	return a->node ? a->node : q->cli->conf.node_name;
}

static int agent_row(struct table *table, const struct inquiry *q, const struct agent *a, struct fm_error *err)
{
	struct json_object *store = print_at(a->status, "store"), *jobs = print_at(a->status, "jobs");

	if (table_row(table, err) < 0)
		return -1;
	table_cell_copy(table, agent_name(q, a));
	if (!a->status) {
		table_cell_copy(table, a->err.code == FM_NOT_FOUND ? "unreachable" : fm_code_name(a->err.code));
		for (int i = 0; i < 5; i++)
			table_cell_copy(table, "");
		table_cell_copy(table, a->err.text);
		return 0;
	}
	table_cell_copy(table, print_text_at(a->status, "version"));
	table_cell_copy(table, print_text_at(a->status, "hypervisor"));
	table_cell_copy(table, print_text_at(a->status, "gate"));
	table_cell(table, text_seconds(print_number_at(a->status, "uptime_s")));
	table_cell(table, fm_format("%zu", json_object_is_type(jobs, json_type_array) ?
						   json_object_array_length(jobs) : 0));
	table_cell(table, print_at(store, "free_bytes") ? text_size(fm_json_int_or(store, "free_bytes", 0)) :
							   strdup("not readable"));
	return 0;
}

static int job_row(struct table *table, struct json_object *job, struct fm_error *err)
{
	struct json_object *snapshot = print_at(job, "snapshot");
	FM_AUTO_FREE char *saving = print_saving(print_at(job, "saving"));

	if (table_row(table, err) < 0)
		return -1;
	table_cell(table, fm_format("%lld", (long long)fm_json_int_or(job, "job", 0)));
	table_cell_copy(table, print_text_at(job, "user"));
	table_cell(table, fm_format("%lld", (long long)fm_json_int_or(job, "rank", -1)));
	table_cell_copy(table, print_text_at(job, "node"));
	/* of one whose state StoreDir had lost: where it came from */
	table_cell(table, fm_format("%s%s%s", print_text_at(job, "state"), fm_json_int_or(job, "fetched_files", 0) ? ", from " : "",
				    fm_json_int_or(job, "fetched_files", 0) ? print_text_at(job, "restored_level") : ""));
	table_cell_copy(table, print_text_at(job, "image"));
	table_cell(table, snapshot ? fm_format("%s %s", print_text_at(snapshot, "id"), print_text_at(snapshot, "state")) :
				     strdup(""));
	table_cell_copy(table, saving ? saving : "");
	table_cell_copy(table, *print_text_at(job, "error") ? print_text_at(job, "error") :
							       print_text_at(snapshot, "error"));
	return 0;
}

static struct json_object *jobs_of(const struct agent *a)
{
	struct json_object *jobs = print_at(a->jobs, "jobs");

	return json_object_is_type(jobs, json_type_array) ? jobs : NULL;
}

static int print_jobs(const struct inquiry *q, struct fm_error *err)
{
	struct table *table = table_create(job_columns, err);
	size_t rows = 0;
	int rc = table ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < q->count; i++) {
		struct json_object *jobs = jobs_of(&q->agents[i]);

		for (size_t k = 0; rc == 0 && jobs && k < json_object_array_length(jobs); k++, rows++)
			rc = job_row(table, json_object_array_get_idx(jobs, k), err);
	}
	if (rc == 0 && rows) {
		putchar('\n');
		rc = table_print(table, err);
	}
	table_destroy(table);
	return rc;
}

static int print_agents(const struct inquiry *q, struct fm_error *err)
{
	struct table *table = table_create(agent_columns, err);
	int rc = table ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < q->count; i++)
		rc = agent_row(table, q, &q->agents[i], err);
	if (rc == 0)
		rc = table_print(table, err);
	table_destroy(table);
	return rc;
}

/* {agents:[{…status, jobs:[…]} or {node, error:{…}}]} */
static struct json_object *as_json(const struct inquiry *q)
{
	struct json_object *reply = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; i < q->count; i++) {
		const struct agent *a = &q->agents[i];
		struct json_object *o = a->status ? json_object_get(a->status) : fm_json_from_error(&a->err);

		if (jobs_of(a))
			json_object_object_add(o, "jobs", json_object_get(jobs_of(a)));
		if (!a->status)
			fm_json_set_string(o, "node", agent_name(q, a));
		json_object_array_add(list, o);
	}
	json_object_object_add(reply, "agents", list);
	return reply;
}

/* The first agent that did not answer is the command's error. */
static int outcome(const struct inquiry *q, struct fm_error *err)
{
	size_t silent = 0;

	for (size_t i = 0; i < q->count; i++)
		silent += q->agents[i].err.code != FM_OK;
	for (size_t i = 0; i < q->count; i++)
		if (q->agents[i].err.code != FM_OK) {
			*err = q->agents[i].err;
			fm_context(err, "%s", agent_name(q, &q->agents[i]));
			return silent == 1 ? -1 : fm_context(err, "%zu of %zu agents did not answer; the first",
							     silent, q->count);
		}
	return 0;
}

static int run(const struct cli *cli, const struct fm_hostlist *nodes, struct fm_error *err)
{
	struct inquiry q = { .cli = cli, .count = nodes->count ? nodes->count : 1 };
	int rc;

	q.agents = calloc(q.count, sizeof(*q.agents));
	if (!q.agents)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < nodes->count; i++)
		q.agents[i].node = nodes->names[i];
	ask_all(&q);
	if (cli->json) {
		FM_AUTO_JSON struct json_object *o = as_json(&q);

		rc = print_json(o, err);
	} else {
		rc = print_agents(&q, err) < 0 || print_jobs(&q, err) < 0 ? -1 : 0;
	}
	if (rc == 0)
		rc = outcome(&q, err);
	for (size_t i = 0; i < q.count; i++) {
		json_object_put(q.agents[i].status);
		json_object_put(q.agents[i].jobs);
	}
	free(q.agents);
	return rc;
}

/* NODE operands, else --nodes, else Agents=; none of them: the local agent. */
static char *choose(struct cli *cli)
{
	char *text = NULL;

	for (int i = 0; i < cli->operand_count; i++) {
		char *more = fm_format("%s%s%s", text ? text : "", text ? "," : "", cli->operands[i]);

		free(text);
		text = more;
	}
	if (text)
		return text;
	if (cli->nodes)
		return strdup(cli->nodes);
	return strdup(cli->conf.agents);
}

int cli_status(struct cli *cli, struct fm_error *err)
{
	FM_AUTO_FREE char *text = choose(cli);
	struct fm_hostlist nodes;
	int rc;

	if (!text)
		return fm_fail(err, FM_FAILED, "out of memory");
	rc = fm_hostlist_parse(&nodes, text, err);
	if (rc == 0)
		rc = run(cli, &nodes, err);
	fm_hostlist_dispose(&nodes);
	return rc;
}
