/* SPDX-License-Identifier: GPL-2.0-or-later */
/* http.c - see http.h. libcurl's easy interface, one handle a call. */
#include "config.h"

#include "common/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/auth.h"
#include "common/cleanup.h"
#include "common/hostlist.h"
#include "common/io.h"

#define REPLY_MAX (16 << 20)
#define CONNECT_TIMEOUT_MS 5000L
#define KEEPALIVE_S 5L /* a host that goes while it works on an answer is noticed, also where there is no deadline */

struct reply {
	char *data;
	size_t size;
};

static size_t reply_write(char *data, size_t one, size_t size, void *arg)
{
	struct reply *reply = arg;
	char *grown;

	(void)one; /* libcurl: always 1 */
	if (size > REPLY_MAX - reply->size || !(grown = realloc(reply->data, reply->size + size + 1)))
		return 0; /* libcurl ends the transfer with CURLE_WRITE_ERROR */
	reply->data = grown;
	memcpy(grown + reply->size, data, size);
	reply->size += size;
	grown[reply->size] = '\0';
	return size;
}

/* Who we talk to, as errors name it. */
static const char *target_name(const struct fm_conf *conf, const char *node, char *buf, size_t size)
{
	if (node)
		snprintf(buf, size, "fermatad on %s (port %u)", node, conf->port);
	else
		snprintf(buf, size, "the local fermatad (%s)", conf->socket);
	return buf;
}

static int curl_failure(CURLcode code, const char *detail, const char *target, long timeout_ms,
			struct fm_error *err)
{
	const char *why = *detail ? detail : curl_easy_strerror(code);

	switch (code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
		return fm_fail(err, FM_NOT_FOUND, "cannot reach %s: %s", target, why);
	case CURLE_OPERATION_TIMEDOUT:
		return fm_fail(err, FM_TIMEOUT, "no answer from %s within %ld ms", target, timeout_ms);
	default:
		return fm_fail(err, FM_FAILED, "%s: %s", target, why);
	}
}

/* The Authorization header of a TCP call; on the unix socket the kernel tells who calls. */
static int add_authorization(const struct fm_conf *conf, const char *method, const char *path,
			     const char *body, struct curl_slist **headers, struct fm_error *err)
{
	FM_AUTO_FREE char *credential = fm_auth_encode(conf, method, path, body, strlen(body), 0, err);
	FM_AUTO_FREE char *line = credential ? fm_format("Authorization: MUNGE %s", credential) : NULL;
	struct curl_slist *more = line ? curl_slist_append(*headers, line) : NULL;

	if (!credential)
		return -1;
	if (!more)
		return fm_fail(err, FM_FAILED, "out of memory");
	*headers = more;
	return 0;
}

static void set_options(CURL *curl, const char *method, const char *body, long timeout_ms, char *detail,
			struct reply *reply)
{
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_S);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, reply_write);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
	if (strcmp(method, "GET")) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
	}
}

static int take_reply(CURL *curl, const struct reply *reply, const char *target, struct json_object **reply_r,
		      struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *o = NULL;
	long status = 0;

	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	o = fm_json_parse(reply->data ? reply->data : "", reply->size, err);
	if (!o) {
		err->code = FM_FAILED;
		return fm_context(err, "%s, HTTP status %ld", target, status);
	}
	if (status >= 400)
		return fm_json_to_error(o, err);
	if (reply_r)
		*reply_r = fm_steal_ptr(&o);
	return 0;
}

/* no_connection_r tells "nobody there" from an agent's own "not found". */
static int call(const struct fm_conf *conf, const char *node, const char *method, const char *path,
		struct json_object *body, long timeout_ms, struct json_object **reply_r,
		int *no_connection_r, struct fm_error *err)
{
	char address[256], target[320], detail[CURL_ERROR_SIZE] = "";
	const char *text = body ? fm_json_text(body) : "";
	FM_AUTO_FREE char *url = NULL;
	struct reply reply = { NULL, 0 };
	struct curl_slist *headers;
	CURL *curl = curl_easy_init();
	CURLcode code;
	int r = -1;

	*no_connection_r = 0;
	url = fm_format("http://%s:%u%s",
			node ? fm_conf_node_address(conf, node, address, sizeof address) : "localhost",
			conf->port, path);
	headers = curl_slist_append(NULL, "Content-Type: application/json");
	target_name(conf, node, target, sizeof target);
	if (!curl || !url || !headers) {
		fm_fail(err, FM_FAILED, "out of memory");
		goto out;
	}
	if (node && add_authorization(conf, method, path, text, &headers, err))
		goto out;
	set_options(curl, method, text, timeout_ms, detail, &reply);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	if (!node)
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, conf->socket);
	code = curl_easy_perform(curl);
	if (code != CURLE_OK) {
		r = curl_failure(code, detail, target, timeout_ms, err);
		*no_connection_r = err->code == FM_NOT_FOUND;
	} else {
		r = take_reply(curl, &reply, target, reply_r, err);
	}
out:
	free(reply.data);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return r;
}

int fm_http_call(const struct fm_conf *conf, const char *node, const char *method, const char *path,
		 struct json_object *body, long timeout_ms, struct json_object **reply_r,
		 struct fm_error *err)
{
	int no_connection;

	return call(conf, node, method, path, body, timeout_ms, reply_r, &no_connection, err);
}

/* One attempt after another; see fm_http_call_any and fm_http_call_job. */
struct search {
	const struct fm_conf *conf;
	const char *method, *path;
	struct json_object *body;
	long timeout_ms;
	struct json_object **reply_r;
	int pass_not_found;
	unsigned asked;    /* agents that answered */
	unsigned silent;   /* agents that could not be connected */
};

/* 1: go on with the next; 0: done; -1: final error. */
static int attempt(struct search *s, const char *node, struct fm_error *err)
{
	int no_connection;

	if (!call(s->conf, node, s->method, s->path, s->body, s->timeout_ms, s->reply_r, &no_connection, err))
		return 0;
	if (no_connection) {
		s->silent++;
		return 1;
	}
	s->asked++;
	return s->pass_not_found && err->code == FM_NOT_FOUND ? 1 : -1;
}

static int attempt_list(struct search *s, const char *nodes, struct fm_error *err)
{
	struct fm_hostlist list;
	int r = 1;

	if (fm_hostlist_parse(&list, nodes ? nodes : "", err))
		r = -1;
	for (size_t i = 0; r == 1 && i < list.count; i++)
		r = attempt(s, list.names[i], err);
	fm_hostlist_dispose(&list);
	return r;
}

static int search_run(struct search *s, const char *nodes, struct fm_error *err)
{
	int r = 1;

	if (!access(s->conf->socket, F_OK))
		r = attempt(s, NULL, err);
	if (r == 1)
		r = attempt_list(s, nodes, err);
	if (r == 1)
		r = attempt_list(s, s->conf->agents, err);
	if (r != 1)
		return r;
	if (!s->asked && !s->silent)
		return fm_fail(err, FM_NOT_FOUND, "no agent to ask: no %s on this host, and Agents= names none",
			       s->conf->socket);
	if (!s->asked)
		return fm_context(err, "no agent could be reached");
	return -1; /* the last "not found" stands */
}

int fm_http_call_any(const struct fm_conf *conf, const char *nodes, const char *method, const char *path,
		     struct json_object *body, long timeout_ms, struct json_object **reply_r,
		     struct fm_error *err)
{
	struct search s = { conf, method, path, body, timeout_ms, reply_r, 0, 0, 0 };

	return search_run(&s, nodes, err);
}

int fm_http_call_job(const struct fm_conf *conf, uint32_t job, const char *nodes, const char *method,
		     const char *path, struct json_object *body, long timeout_ms,
		     struct json_object **reply_r, struct fm_error *err)
{
	struct search s = { conf, method, path, body, timeout_ms, reply_r, 1, 0, 0 };

	if (!search_run(&s, nodes, err))
		return 0;
	if (err->code == FM_NOT_FOUND && s.asked)
		return fm_fail(err, FM_NOT_FOUND, "job %u: no agent that answered has a VM of it%s", job,
			       s.silent ? " (others could not be reached)" : "");
	return -1;
}
