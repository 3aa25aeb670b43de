/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shim_place.c - see shim_place.h.
 *
 * The token is read here and kept in this process's memory alone: not in argv,
 * not in the environment, not in a message.
 */
#include "config.h"

#include "plugins/slurm/shim_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/http.h"
#include "common/io.h"
#include "common/json.h"

#define ATTACH_MS 60000
#define ASK_MS 10000

static int parse_attach(struct shim_place *place, struct json_object *reply, struct fm_error *err)
{
	const char *address, *token;
	int64_t port;

	if (fm_json_string(reply, "address", &address, err) || fm_json_int(reply, "port", 1, 65535, &port, err) ||
	    fm_json_string(reply, "token", &token, err) || fm_token_parse(token, place->token, err))
		return fm_context(err, "the agent's answer");
	if (strlen(address) >= sizeof(place->address))
		return fm_fail(err, FM_FAILED, "the agent's answer: the address is too long");
	strcpy(place->address, address);
	place->port = (unsigned)port;
	return 0;
}

static bool is_alive(const char *state)
{
	static const char *const alive[] = { "creating", "restoring", "held", "running" };

	for (size_t i = 0; i < sizeof(alive) / sizeof(*alive); i++)
		if (!strcmp(state, alive[i]))
			return true;
	return false;
}

/* The agent gave no place (why): will it ever? */
static enum shim_verdict judge(const struct fm_conf *conf, const char *path, struct fm_error *why)
{
	FM_AUTO_JSON struct json_object *job = NULL;
	FM_AUTO_JSON struct json_object *status = NULL;
	struct fm_error err;
	const char *reason;

	if (!fm_http_call(conf, NULL, "GET", path, NULL, ASK_MS, &job, &err)) {
		if (is_alive(fm_json_string_or(job, "state", "")))
			return SHIM_WAIT;
		reason = fm_json_string_or(job, "error", NULL);
		if (reason)
			fm_fail(why, FM_FAILED, "%s", reason);
		return SHIM_NEVER;
	}
	/* an agent that is being restarted will know the job again; one that answers and does not know it, never */
	if (fm_http_call(conf, NULL, "GET", "/v1/status", NULL, ASK_MS, &status, &err))
		return SHIM_SILENT;
	return why->code == FM_TIMEOUT ? SHIM_WAIT : SHIM_NEVER;
}

enum shim_verdict shim_place_find(struct shim_place *place, const struct fm_conf *conf, uint32_t job,
				  struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *body = json_object_new_object();
	FM_AUTO_JSON struct json_object *reply = NULL;
	char path[64], attach[80];

	snprintf(path, sizeof(path), "/v1/jobs/%u", job);
	snprintf(attach, sizeof(attach), "%s/attach", path);
	if (fm_http_call(conf, NULL, "POST", attach, body, ATTACH_MS, &reply, err))
		return judge(conf, path, err);
	return parse_attach(place, reply, err) ? SHIM_NEVER : SHIM_HERE;
}

int shim_place_fixed(struct shim_place *place, const char *where, const char *token_file, struct fm_error *err)
{
	FM_AUTO_FREE char *token = NULL;
	const char *colon = strrchr(where, ':');
	size_t size;

	if (!colon || (size_t)(colon - where) >= sizeof(place->address))
		return fm_fail(err, FM_USAGE, "--connect %s: not ADDRESS:PORT", where);
	memcpy(place->address, where, (size_t)(colon - where));
	place->address[colon - where] = 0;
	place->port = (unsigned)strtoul(colon + 1, NULL, 10);
	token = fm_file_read(token_file, 4096, &size, err);
	if (!token)
		return -1;
	token[strcspn(token, " \n")] = 0;
	return fm_token_parse(token, place->token, err) ? fm_context(err, "%s", token_file) : 0;
}
