/* SPDX-License-Identifier: GPL-2.0-or-later */
/* serve.c - see serve.h. libmicrohttpd with a thread a connection: every call here may block. */
#include "config.h"

#include "agent/local/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/local/place.h"
#include "agent/local/remote.h"
#include "agent/store/parity/file.h"
#include "common/auth.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/json.h"

#define CONNECTIONS_MAX 512u
#define IDLE_S 120u
#define BIND_TRIES 50
#define BIND_TRY_US 100000
#define PATH_MAX_OURS 512

/* Of one connection: the file that it is putting. */
struct upload {
	struct parity_out *out; /* NULL: none */
	struct parity_sink sink;
	char *path;
	uint64_t offset;
};

/* Of one request. */
struct ask {
	char *uri; /* with the query */
	char *data;
	size_t size;
	bool started, too_large;
};

struct target {
	uint32_t job;
	char what[16], name[128];
	uint64_t offset, length;
	bool commit;
};

static enum MHD_Result send_reply(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
	enum MHD_Result r;

	if (!response)
		return MHD_NO;
	r = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return r;
}

static enum MHD_Result send_error(struct MHD_Connection *connection, const struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *o = fm_json_from_error(err);
	const char *text = fm_json_text(o);
	unsigned status = err->code == FM_NOT_FOUND ? 404 : err->code == FM_DENIED ? 401 : err->code == FM_USAGE ? 400 : 500;

	return send_reply(connection, status, MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
									      MHD_RESPMEM_MUST_COPY));
}

/* ---- what is asked for --------------------------------------------------------------------------- */

static uint64_t number_of(struct MHD_Connection *connection, const char *key)
{
	const char *text = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, key);

	return text ? strtoull(text, NULL, 10) : 0;
}

static int target_parse(struct MHD_Connection *connection, const char *path, struct target *t_r, struct fm_error *err)
{
	int end = 0;

	*t_r = (struct target){ 0 };
	if (sscanf(path, "/v1/local/%" SCNu32 "/%15[a-z]/%127[0-9a-z.-]%n", &t_r->job, t_r->what, t_r->name, &end) != 3 ||
	    path[end] || !local_name_ok(t_r->what, t_r->name))
		return fm_fail(err, FM_USAGE, "there is nothing like %.200s", path);
	t_r->offset = number_of(connection, "offset");
	t_r->length = number_of(connection, "length");
	t_r->commit = number_of(connection, "commit") == 1;
	return t_r->length <= REMOTE_PIECE ? 0 : fm_fail(err, FM_USAGE, "more than %zu bytes at once", REMOTE_PIECE);
}

static char *target_path(const struct fm_conf *conf, const struct target *t)
{
	return fm_format("%s/%" PRIu32 "/%s/%s", conf->local_dir, t->job, t->what, t->name);
}

static int authorize(const struct fm_conf *conf, struct MHD_Connection *connection, const char *method,
		     const struct ask *ask, struct fm_error *err)
{
	const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
	uid_t uid;
	gid_t gid;

	if (!header || strncmp(header, "MUNGE ", 6) != 0)
		return fm_fail(err, FM_DENIED, "a MUNGE credential is needed (Authorization: MUNGE …)");
	if (fm_auth_decode(conf, header + 6, method, ask->uri, ask->data ? ask->data : "", ask->size, &uid, &gid, err))
		return -1;
	return uid == 0 ? 0 : fm_fail(err, FM_DENIED, "the nodes' own disks are for root");
}

/* ---- reading ---------------------------------------------------------------------------------------- */

static int read_file(const char *path, const struct target *t, char **data_r, size_t *read_r, uint64_t *size_r,
		     struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	FM_AUTO_FREE char *data = malloc(t->length + 1);
	struct stat st;
	size_t done = 0;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return fm_fail(err, fd < 0 && errno != ENOENT ? FM_FAILED : FM_NOT_FOUND, "%s: %s", path,
			       fd < 0 ? strerror(errno) : "not a file");
	if (!data)
		return fm_fail(err, FM_FAILED, "out of memory");
	while (done < t->length) {
		ssize_t n = pread(fd, data + done, t->length - done, (off_t)(t->offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fm_fail(err, FM_FAILED, "cannot read %s: %s", path, strerror(errno));
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*data_r = fm_steal_ptr(&data);
	*read_r = done;
	*size_r = (uint64_t)st.st_size;
	return 0;
}

static enum MHD_Result answer_get(const struct fm_conf *conf, struct MHD_Connection *connection, const struct target *t)
{
	FM_AUTO_FREE char *path = target_path(conf, t);
	struct MHD_Response *response;
	struct fm_error err;
	char sha256[65], size[24];
	uint64_t file_size = 0;
	char *data = NULL;
	size_t n = 0;

	if (!path)
		return MHD_NO;
	if (read_file(path, t, &data, &n, &file_size, &err))
		return send_error(connection, &err);
	fm_sha256_hex(data, n, sha256);
	snprintf(size, sizeof(size), "%" PRIu64, file_size);
	response = MHD_create_response_from_buffer(n, data, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(data);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Fermata-Size", size);
	MHD_add_response_header(response, "Fermata-SHA256", sha256);
	return send_reply(connection, 200, response);
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static void upload_end(struct upload *u)
{
	if (u->out)
		u->sink.abort(u->sink.arg);
	parity_out_close(u->out);
	free(u->path);
	*u = (struct upload){ 0 };
}

static int upload_begin(const struct fm_conf *conf, struct upload *u, const struct target *t, const char *path,
			struct fm_error *err)
{
	FM_AUTO_FREE char *dir = local_path(conf, t->job, t->what);

	upload_end(u);
	if (!dir || !(u->path = strdup(path)))
		return fm_fail(err, FM_FAILED, "out of memory");
	if (fm_mkdir_all(dir, 0700, err) || !(u->out = parity_out_create(path, err)))
		return -1;
	parity_out_whole(u->out, &u->sink);
	return 0;
}

static int put(const struct fm_conf *conf, struct upload *u, const struct target *t, const struct ask *ask,
	       struct fm_error *err)
{
	FM_AUTO_FREE char *path = target_path(conf, t);

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (strcmp(t->what, "parity") != 0)
		return fm_fail(err, FM_DENIED, "only parity can be put here");
	if (t->offset == 0 && upload_begin(conf, u, t, path, err))
		return -1;
	if (!u->out || strcmp(u->path, path) != 0 || u->offset != t->offset)
		return fm_fail(err, FM_USAGE, "%s: byte %" PRIu64 " is not the next one", path, t->offset);
	if (ask->size && u->sink.write(u->sink.arg, ask->data, ask->size, err))
		return -1;
	u->offset += ask->size;
	if (!t->commit)
		return 0;
	if (u->sink.commit(u->sink.arg, err))
		return -1;
	parity_out_close(fm_steal_ptr(&u->out));
	return 0;
}

static enum MHD_Result answer_put(const struct fm_conf *conf, struct MHD_Connection *connection, const struct target *t,
				  const struct ask *ask)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct upload *u = info ? info->socket_context : NULL;
	struct fm_error err;

	if (!u)
		fm_fail(&err, FM_FAILED, "out of memory");
	else if (put(conf, u, t, ask, &err) == 0)
		return send_reply(connection, 200, MHD_create_response_from_buffer(0, (void *)(uintptr_t)"", MHD_RESPMEM_PERSISTENT));
	if (u)
		upload_end(u);
	return send_error(connection, &err);
}

/* ---- libmicrohttpd's calls ----------------------------------------------------------------------------- */

static void *on_uri(void *arg, const char *uri, struct MHD_Connection *connection)
{
	struct ask *ask = strlen(uri) < PATH_MAX_OURS ? calloc(1, sizeof(*ask)) : NULL;

	(void)arg, (void)connection;
	if (ask && !(ask->uri = strdup(uri))) {
		free(ask);
		return NULL;
	}
	return ask;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	struct ask *ask = *state;

	(void)arg, (void)connection, (void)code;
	if (ask) {
		free(ask->uri);
		free(ask->data);
		free(ask);
	}
	*state = NULL;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	(void)arg, (void)connection;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*socket_context = calloc(1, sizeof(struct upload));
	} else if (*socket_context) {
		upload_end(*socket_context);
		free(*socket_context);
		*socket_context = NULL;
	}
}

static enum MHD_Result take_data(struct ask *ask, const char *data, size_t *size)
{
	if (!ask->data && !(ask->data = malloc(REMOTE_PUT)))
		return MHD_NO;
	if (*size > REMOTE_PUT - ask->size) {
		ask->too_large = true; /* read on without keeping, then say so */
	} else {
		memcpy(ask->data + ask->size, data, *size);
		ask->size += *size;
	}
	*size = 0;
	return MHD_YES;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *path, const char *method,
				 const char *version, const char *data, size_t *size, void **state)
{
	const struct fm_conf *conf = arg;
	struct ask *ask = *state;
	struct fm_error err;
	struct target t;

	(void)version;
	if (!ask)
		return MHD_NO; /* no memory, or an endless URI */
	if (!ask->started) {
		ask->started = true;
		return MHD_YES;
	}
	if (*size)
		return take_data(ask, data, size);
	if (ask->too_large)
		fm_fail(&err, FM_USAGE, "more than %zu bytes at once", REMOTE_PUT);
	else if (authorize(conf, connection, method, ask, &err) == 0 && target_parse(connection, path, &t, &err) == 0) {
		if (strcmp(method, "GET") == 0)
			return answer_get(conf, connection, &t);
		if (strcmp(method, "PUT") == 0)
			return answer_put(conf, connection, &t, ask);
		fm_fail(&err, FM_USAGE, "there is no call %.16s %.200s", method, path);
	}
	return send_error(connection, &err);
}

int local_serve(const struct fm_conf *conf, struct fm_error *err)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)conf->local_port) };
	struct MHD_Daemon *daemon = NULL;

	if (inet_pton(AF_INET, conf->bind_address, &address.sin_addr) != 1)
		return fm_fail(err, FM_USAGE, "BindAddress=%s is no IPv4 address", conf->bind_address);
	/* The process before may have the port a moment longer. */
	for (int i = 0; !daemon && i < BIND_TRIES; i++) {
		if (i)
			usleep(BIND_TRY_US);
		daemon = MHD_start_daemon(
			MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, on_access,
			(void *)(uintptr_t)conf, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
			MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL,
			MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL,
			MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S, MHD_OPTION_END);
	}
	if (!daemon)
		return fm_fail(err, FM_FAILED, "cannot listen on %s port %u: %s", conf->bind_address, conf->local_port,
			       strerror(errno));
	for (;;)
		pause();
}
