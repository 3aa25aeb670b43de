/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server.c - see server.h. */
#include "config.h"

#include "agent/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/auth.h"
#include "common/cleanup.h"

#define LOCAL_BODY_MAX (8u << 20) /* root's: a job script of up to 4 MiB, escaped */
#define USER_BODY_MAX (64u << 10)
#define REMOTE_BODY_MAX (256u << 10) /* held before the caller is proven: keep it small */
#define HEADER_MEMORY (32u << 10)
#define URI_MAX 2048
#define CONNECTIONS_MAX 4096 /* a lead hears from each member, and each keeps its connection for a while */

struct server {
	struct agent *agent;
	struct MHD_Daemon *daemon;
	struct event *readable; /* MHD's epoll fd */
	struct event *timer;
	server_handler handler;
	struct pending *pending; /* suspended connections */
	bool resumed; /* one of them, and libmicrohttpd has not run since */
	char *socket_path;
	bool local;
};

/* What libmicrohttpd keeps for us per request; the handler sees `req`. */
struct pending {
	struct request req; /* first: request_…() get back to us from it */
	struct pending *next, **prev;
	struct server *server;
	struct MHD_Connection *connection;
	char *uri; /* as sent, with the query */
	char *data;
	size_t size, limit;
	struct json_object *answer;
	unsigned status;
	bool started, dispatched, inside, suspended, answered, too_large;
};

static void server_pump(struct server *server)
{
	MHD_UNSIGNED_LONG_LONG ms;

	server->resumed = false;
	MHD_run(server->daemon);
	/* Work libmicrohttpd holds ready is not on its epoll fd: ask each time. */
	if (MHD_get_timeout(server->daemon, &ms) == MHD_YES) {
		struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000 };

		event_add(server->timer, &tv);
	} else {
		event_del(server->timer);
	}
	if (server->resumed) /* while it ran, by another request of its: that call has been undone above */
		event_active(server->timer, EV_TIMEOUT, 1);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	server_pump(arg);
}

static void *on_uri(void *arg, const char *uri, struct MHD_Connection *connection)
{
	struct server *server = arg;
	struct pending *p;

	if (strlen(uri) > URI_MAX)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p || !(p->uri = strdup(uri))) {
		free(p);
		return NULL;
	}
	p->server = server;
	p->connection = connection;
	p->req.agent = server->agent;
	p->req.local = server->local;
	p->req.uid = (uid_t)-1;
	return p;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct pending *p = *state;

	(void)arg, (void)connection, (void)code;
	if (!p)
		return;
	if (p->req.body)
		json_object_put(p->req.body);
	if (p->answer)
		json_object_put(p->answer);
	free(p->data);
	free(p->uri);
	free(p);
	*state = NULL;
}

static unsigned status_of(enum fm_code code)
{
	switch (code) {
	case FM_USAGE: return 400;
	case FM_DENIED: return 403;
	case FM_NOT_FOUND: return 404;
	case FM_BUSY: return 409;
	case FM_CORRUPT:
	case FM_INCOMPATIBLE: return 422;
	case FM_TIMEOUT: return 504;
	default: return 500;
	}
}

static enum MHD_Result send_answer(struct pending *p)
{
	const char *text = p->answer ? fm_json_text(p->answer) : "{}";
	struct MHD_Response *response;
	enum MHD_Result r;

	response = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	if (p->too_large)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	r = MHD_queue_response(p->connection, p->status, response);
	MHD_destroy_response(response);
	return r;
}

static void answer(struct pending *p, unsigned status, struct json_object *body)
{
	if (p->answered) { /* a second answer is our mistake; the first stands */
		fm_err("request %s %s answered twice", p->req.method, p->req.path);
		if (body)
			json_object_put(body);
		return;
	}
	p->answered = true;
	p->status = status;
	p->answer = body;
	if (!p->suspended)
		return;
	*p->prev = p->next;
	if (p->next)
		p->next->prev = p->prev;
	p->suspended = false;
	p->server->resumed = true;
	MHD_resume_connection(p->connection);
	event_active(p->server->timer, EV_TIMEOUT, 1);
}

void request_reply(struct request *req, unsigned status, struct json_object *body)
{
	answer((struct pending *)req, status, body);
}

void request_fail(struct request *req, const struct fm_error *err)
{
	request_reply(req, status_of(err->code), fm_json_from_error(err));
}

void request_error(struct request *req, enum fm_code code, const char *fmt, ...)
{
	struct fm_error err;
	char text[sizeof(err.text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fm_fail(&err, code, "%s", text);
	request_fail(req, &err);
}

const char *request_query(struct request *req, const char *key)
{
	return MHD_lookup_connection_value(((struct pending *)req)->connection, MHD_GET_ARGUMENT_KIND, key);
}

static int peer_uid(struct pending *p, struct fm_error *err)
{
	const union MHD_ConnectionInfo *info;
	struct ucred cred;
	socklen_t size = sizeof(cred);

	info = MHD_get_connection_info(p->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &cred, &size))
		return fm_fail(err, FM_DENIED, "the kernel does not say who is calling");
	p->req.uid = cred.uid;
	return 0;
}

static int munge_uid(struct pending *p, struct fm_error *err)
{
	const char *header = MHD_lookup_connection_value(p->connection, MHD_HEADER_KIND, "Authorization");
	gid_t gid;

	if (!header || strncmp(header, "MUNGE ", 6))
		return fm_fail(err, FM_DENIED, "a MUNGE credential is needed (Authorization: MUNGE …)");
	return fm_auth_decode(&p->server->agent->conf, header + 6, p->req.method, p->uri, p->data, p->size,
			      &p->req.uid, &gid, err);
}

static int prepare(struct pending *p, struct fm_error *err)
{
	if (p->too_large)
		return fm_fail(err, FM_USAGE, "the request's body is larger than %zu bytes", p->limit);
	if (!p->server->local && munge_uid(p, err))
		return -1;
	if (p->size && !(p->req.body = fm_json_parse(p->data, p->size, err)))
		return -1;
	return 0;
}

/* The whole request is here. */
static enum MHD_Result dispatch(struct pending *p)
{
	struct fm_error err = { 0 };

	p->dispatched = true;
	p->inside = true;
	if (prepare(p, &err)) {
		if (err.code == FM_DENIED)
			p->status = 401;
		request_reply(&p->req, err.code == FM_DENIED ? 401 : status_of(err.code), fm_json_from_error(&err));
	} else {
		p->server->handler(&p->req);
	}
	p->inside = false;
	if (p->answered)
		return send_answer(p);
	p->suspended = true;
	p->next = p->server->pending;
	p->prev = &p->server->pending;
	if (p->next)
		p->next->prev = &p->next;
	p->server->pending = p;
	MHD_suspend_connection(p->connection);
	return MHD_YES;
}

/* Headers are here: who, and how much may come. */
static enum MHD_Result begin(struct pending *p, const char *method, const char *path)
{
	struct fm_error err;

	p->started = true;
	p->req.method = method;
	p->req.path = path;
	p->limit = REMOTE_BODY_MAX;
	if (p->server->local) {
		if (peer_uid(p, &err)) {
			request_fail(&p->req, &err);
			return send_answer(p);
		}
		p->limit = p->req.uid == 0 ? LOCAL_BODY_MAX : USER_BODY_MAX;
	}
	return MHD_YES;
}

static enum MHD_Result take_data(struct pending *p, const char *data, size_t *size)
{
	char *grown;

	if (p->too_large || *size > p->limit - p->size) {
		p->too_large = true; /* read on without keeping, then say so */
		*size = 0;
		return MHD_YES;
	}
	grown = realloc(p->data, p->size + *size + 1);
	if (!grown)
		return MHD_NO;
	p->data = grown;
	memcpy(p->data + p->size, data, *size);
	p->size += *size;
	p->data[p->size] = '\0';
	*size = 0;
	return MHD_YES;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *path,
				 const char *method, const char *version, const char *data,
				 size_t *size, void **state)
{
	struct pending *p = *state;

	(void)arg, (void)connection, (void)version;
	if (!p)
		return MHD_NO; /* no memory, or an endless URI */
	if (!p->started)
		return begin(p, method, path);
	if (*size)
		return take_data(p, data, size);
	if (!p->dispatched)
		return dispatch(p);
	return p->answered ? send_answer(p) : MHD_YES;
}

static void on_mhd_log(void *arg, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void on_mhd_log(void *arg, const char *fmt, va_list ap)
{
	char line[512];

	(void)arg;
	vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	fm_debug("http: %s", line);
}

static int listen_unix(struct server *server, struct fm_error *err)
{
	const char *path = server->agent->conf.socket;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	FM_AUTO_CLOSE int fd = -1;

	if (strlen(path) >= sizeof(sun.sun_path))
		return fm_fail(err, FM_USAGE, "Socket=%s is too long for a unix socket", path);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fm_fail(err, FM_FAILED, "socket: %s", strerror(errno));
	/* A left-over is removed, a living agent's is not. */
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fm_fail(err, FM_BUSY, "another agent listens on %s", path);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) || chmod(path, 0666) || listen(fd, 128))
		return fm_fail(err, FM_FAILED, "cannot listen on %s: %s", path, strerror(errno));
	server->socket_path = strdup(path);
	return fm_steal_fd(&fd);
}

static int listen_tcp(struct server *server, struct fm_error *err)
{
	const struct fm_conf *conf = &server->agent->conf;
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
	struct addrinfo *info = NULL;
	FM_AUTO_CLOSE int fd = -1;
	char port[8];
	int r, one = 1;

	snprintf(port, sizeof(port), "%u", conf->port);
	r = getaddrinfo(conf->bind_address, port, &hints, &info);
	if (r)
		return fm_fail(err, FM_USAGE, "BindAddress=%s: %s", conf->bind_address, gai_strerror(r));
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, info->ai_addr, info->ai_addrlen) || listen(fd, 4096))
		r = fm_fail(err, FM_FAILED, "cannot listen on %s port %s: %s", conf->bind_address, port,
			    strerror(errno));
	freeaddrinfo(info);
	return r ? -1 : fm_steal_fd(&fd);
}

static int start_daemon(struct server *server, int fd, struct fm_error *err)
{
	const union MHD_DaemonInfo *info;

	server->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_access, server,
		MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HEADER_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, 120u, MHD_OPTION_END);
	if (!server->daemon) {
		close(fd);
		return fm_fail(err, FM_FAILED, "cannot start the HTTP server");
	}
	info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return fm_fail(err, FM_FAILED, "libmicrohttpd was built without epoll");
	server->readable = event_new(server->agent->base, info->epoll_fd, EV_READ | EV_PERSIST, on_readable, server);
	server->timer = evtimer_new(server->agent->base, on_readable, server);
	if (!server->readable || !server->timer || event_add(server->readable, NULL))
		return fm_fail(err, FM_FAILED, "cannot watch the HTTP server");
	event_active(server->timer, EV_TIMEOUT, 1);
	return 0;
}

struct server *server_create(struct agent *agent, bool local, server_handler handler, struct fm_error *err)
{
	struct server *server = calloc(1, sizeof(*server));
	int fd;

	if (!server) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	server->agent = agent;
	server->local = local;
	server->handler = handler;
	fd = local ? listen_unix(server, err) : listen_tcp(server, err);
	if (fd < 0 || start_daemon(server, fd, err)) {
		server_destroy(server);
		return NULL;
	}
	return server;
}

void server_destroy(struct server *server)
{
	if (!server)
		return;
	while (server->pending)
		request_error(&server->pending->req, FM_FAILED, "the agent of %s is stopping",
			      server->agent->conf.node_name);
	if (server->daemon) {
		MHD_run(server->daemon);
		MHD_run(server->daemon);
		MHD_stop_daemon(server->daemon);
	}
	if (server->readable)
		event_free(server->readable);
	if (server->timer)
		event_free(server->timer);
	if (server->socket_path)
		unlink(server->socket_path);
	free(server->socket_path);
	free(server);
}
