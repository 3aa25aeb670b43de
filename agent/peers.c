/* SPDX-License-Identifier: GPL-2.0-or-later */
/* peers.c - see peers.h. */
#include "config.h"

#include "agent/peers.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/auth.h"
#include "common/cleanup.h"
#include "common/io.h"

#define REPLY_MAX (8u << 20) /* a plan or a snapshot of thousands of members */
#define CONNECT_MS 5000L
#define IDLE_CONNECTIONS 4096L

struct call {
	struct call *next, **prev;
	struct peers *peers;
	CURL *easy;
	struct curl_slist *headers;
	char *node, *body;
	char *reply;
	size_t size;
	peer_done done;
	void *arg;
	struct fm_error early; /* it could not even be sent */
	struct event *soon;
	char text[CURL_ERROR_SIZE];
};

struct peers {
	struct agent *agent;
	CURLM *multi;
	struct event *timer;
	struct call *calls;
};

static void call_free(struct call *call)
{
	if (call->prev) {
		*call->prev = call->next;
		if (call->next)
			call->next->prev = call->prev;
	}
	if (call->soon)
		event_free(call->soon);
	if (call->easy) {
		curl_multi_remove_handle(call->peers->multi, call->easy);
		curl_easy_cleanup(call->easy);
	}
	curl_slist_free_all(call->headers);
	free(call->node);
	free(call->body);
	free(call->reply);
	free(call);
}

static void call_end(struct call *call, struct json_object *reply, const struct fm_error *err)
{
	peer_done done = call->done;
	void *arg = call->arg;

	call_free(call);
	done(reply, err, arg);
}

static void transport_error(struct call *call, CURLcode code, struct fm_error *err)
{
	const char *text = call->text[0] ? call->text : curl_easy_strerror(code);

	if (code == CURLE_OPERATION_TIMEDOUT)
		fm_fail(err, FM_TIMEOUT, "no answer from the agent of %s in time (%s)", call->node, text);
	else if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
		fm_fail(err, FM_NOT_FOUND, "no connection to the agent of %s (%s)", call->node, text);
	else
		fm_fail(err, FM_FAILED, "the connection to the agent of %s broke (%s)", call->node, text);
}

static void call_finished(struct call *call, CURLcode code)
{
	FM_AUTO_JSON struct json_object *reply = NULL;
	struct fm_error err;
	long status = 0;

	if (code != CURLE_OK) {
		transport_error(call, code, &err);
		call_end(call, NULL, &err);
		return;
	}
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	reply = fm_json_parse(call->reply ? call->reply : "", call->size, &err);
	if (!reply) {
		fm_context(&err, "answer of the agent of %s", call->node);
		call_end(call, NULL, &err);
	} else if (status / 100 != 2) {
		fm_json_to_error(reply, &err);
		call_end(call, NULL, &err);
	} else {
		call_end(call, reply, NULL);
	}
}

static void reap(struct peers *peers)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(peers->multi, &left))) {
		struct call *call;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		call_finished(call, msg->data.result);
	}
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct peers *peers = arg;
	int flags = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
	int running;

	curl_multi_socket_action(peers->multi, fd, flags, &running);
	reap(peers);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct peers *peers = arg;
	int running;

	(void)fd, (void)what;
	curl_multi_socket_action(peers->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(peers);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct peers *peers = arg;
	struct event *ev = socket_arg;
	short flags = EV_PERSIST;

	(void)easy;
	if (ev)
		event_free(ev);
	if (what == CURL_POLL_REMOVE) {
		curl_multi_assign(peers->multi, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		flags |= EV_READ;
	if (what & CURL_POLL_OUT)
		flags |= EV_WRITE;
	ev = event_new(peers->agent->base, fd, flags, on_socket, peers);
	curl_multi_assign(peers->multi, fd, ev);
	return ev && event_add(ev, NULL) == 0 ? 0 : -1;
}

static int want_timer(CURLM *multi, long ms, void *arg)
{
	struct peers *peers = arg;
	struct timeval tv = { ms / 1000, (ms % 1000) * 1000 };

	(void)multi;
	return ms < 0 ? event_del(peers->timer) : event_add(peers->timer, &tv);
}

struct peers *peers_create(struct agent *agent, struct fm_error *err)
{
	struct peers *peers = calloc(1, sizeof(*peers));

	if (peers) {
		peers->agent = agent;
		peers->multi = curl_multi_init();
		peers->timer = evtimer_new(agent->base, on_timer, peers);
	}
	if (!peers || !peers->multi || !peers->timer) {
		peers_destroy(peers);
		fm_fail(err, FM_FAILED, "cannot set up libcurl");
		return NULL;
	}
	curl_multi_setopt(peers->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(peers->multi, CURLMOPT_SOCKETDATA, peers);
	curl_multi_setopt(peers->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(peers->multi, CURLMOPT_TIMERDATA, peers);
	curl_multi_setopt(peers->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS);
	return peers;
}

void peers_destroy(struct peers *peers)
{
	if (!peers)
		return;
	while (peers->calls)
		call_free(peers->calls);
	if (peers->multi)
		curl_multi_cleanup(peers->multi);
	if (peers->timer)
		event_free(peers->timer);
	free(peers);
}

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
	struct call *call = arg;
	size_t n = size * count;
	char *grown;

	if (n > REPLY_MAX - call->size || !(grown = realloc(call->reply, call->size + n + 1)))
		return 0; /* curl ends the call with an error */
	call->reply = grown;
	memcpy(call->reply + call->size, data, n);
	call->size += n;
	return n;
}

/* A dead host sends no RST: let the kernel ask every 5 s, give up after three. */
static int on_new_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	int idle = 5, interval = 5, count = 2, user_ms = 15000;

	(void)arg, (void)purpose;
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_ms, sizeof(user_ms));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int));
	return CURL_SOCKOPT_OK;
}

static int set_headers(struct call *call, const char *method, const char *path, struct fm_error *err)
{
	struct agent *agent = call->peers->agent;
	FM_AUTO_FREE char *cred = NULL;
	FM_AUTO_FREE char *line = NULL;

	cred = fm_auth_encode(&agent->conf, method, path, call->body, call->body ? strlen(call->body) : 0, 1, err);
	if (!cred)
		return -1;
	line = fm_format("Authorization: MUNGE %s", cred);
	if (!line || !(call->headers = curl_slist_append(NULL, line)) ||
	    !curl_slist_append(call->headers, "Content-Type: application/json") ||
	    !curl_slist_append(call->headers, "Expect:"))
		return fm_fail(err, FM_FAILED, "out of memory");
	return 0;
}

static int call_setup(struct call *call, const char *method, const char *path, int64_t timeout_ms,
		      struct fm_error *err)
{
	const struct fm_conf *conf = &call->peers->agent->conf;
	char buf[256];
	const char *address;
	FM_AUTO_FREE char *url = NULL;

	if (set_headers(call, method, path, err))
		return -1;
	address = fm_conf_node_address(conf, call->node, buf, sizeof(buf));
	url = fm_format(strchr(address, ':') ? "http://[%s]:%u%s" : "http://%s:%u%s", address, conf->port, path);
	call->easy = curl_easy_init();
	if (!url || !call->easy)
		return fm_fail(err, FM_FAILED, "out of memory");
	curl_easy_setopt(call->easy, CURLOPT_URL, url);
	curl_easy_setopt(call->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
	curl_easy_setopt(call->easy, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	curl_easy_setopt(call->easy, CURLOPT_ERRORBUFFER, call->text);
	curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
	curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(call->easy, CURLOPT_SOCKOPTFUNCTION, on_new_socket);
	if (call->body) {
		curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(call->body));
		curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->body);
	}
	if (curl_multi_add_handle(call->peers->multi, call->easy) != CURLM_OK)
		return fm_fail(err, FM_FAILED, "libcurl takes no more calls");
	return 0;
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct call *call = arg;
	struct fm_error err = call->early;

	(void)fd, (void)what;
	call_end(call, NULL, &err);
}

struct call *peer_call(struct peers *peers, const char *node, const char *method, const char *path,
		       struct json_object *body, int64_t timeout_ms, peer_done done, void *arg)
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		abort(); /* nobody to tell: the caller waits for done() */
	call->peers = peers;
	call->done = done;
	call->arg = arg;
	call->node = strdup(node);
	call->body = body ? strdup(fm_json_text(body)) : NULL;
	call->next = peers->calls;
	call->prev = &peers->calls;
	if (call->next)
		call->next->prev = &call->next;
	peers->calls = call;
	if (call_setup(call, method, path, timeout_ms, &call->early)) {
		call->soon = evtimer_new(peers->agent->base, on_soon, call);
		event_active(call->soon, EV_TIMEOUT, 1);
	}
	return call;
}

void peer_cancel(struct call *call)
{
	if (call)
		call_free(call);
}
