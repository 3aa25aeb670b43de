/* SPDX-License-Identifier: GPL-2.0-or-later */
/* remote.c - see remote.h. One libcurl handle, and so one connection, a node; one more for each file being written. */
#include "config.h"

#include "agent/local/remote.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/auth.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/json.h"

#define CONNECT_MS 5000L
#define STALL_S 15L /* without a byte */
#define ERROR_MAX 4096u

struct remote {
	struct remote *next;
	const struct fm_conf *conf;
	char *node;
	CURL *curl;
	struct fm_error dead; /* code FM_OK: it lives */
};

struct remotes {
	const struct fm_conf *conf;
	struct remote *first;
};

/* ---- one request ------------------------------------------------------------------------------ */

struct exchange {
	char *data;        /* where the bytes go */
	size_t room, size;
	char error[ERROR_MAX]; /* what came instead, with an error's status */
	size_t error_size;
	uint64_t file_size;
	char sha256[65];
	CURL *curl;
};

static size_t on_body(char *data, size_t one, size_t size, void *arg)
{
	struct exchange *x = arg;
	long status = 0;

	(void)one; /* libcurl: always 1 */
	curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200) {
		size_t n = size < ERROR_MAX - x->error_size ? size : ERROR_MAX - x->error_size;

		memcpy(x->error + x->error_size, data, n);
		x->error_size += n;
		return size;
	}
	if (size > x->room - x->size)
		return 0; /* more than was asked for: CURLE_WRITE_ERROR */
	memcpy(x->data + x->size, data, size);
	x->size += size;
	return size;
}

static size_t on_header(char *data, size_t one, size_t size, void *arg)
{
	struct exchange *x = arg;
	char line[128];

	(void)one;
	if (size >= sizeof(line))
		return size;
	memcpy(line, data, size);
	line[size] = '\0';
	if (strncasecmp(line, "Fermata-Size:", 13) == 0)
		x->file_size = strtoull(line + 13, NULL, 10);
	else if (strncasecmp(line, "Fermata-SHA256:", 15) == 0)
		(void)sscanf(line + 15, " %64[0-9a-f]", x->sha256);
	return size;
}

/* path is what the credential is for; body NULL: GET. */
static int prepare(struct remote *r, const char *path, const void *body, size_t size, struct exchange *x,
		   struct curl_slist **headers_r, struct fm_error *err)
{
	const char *method = body ? "PUT" : "GET";
	FM_AUTO_FREE char *credential = fm_auth_encode(r->conf, method, path, body ? body : "", size, 1, err);
	FM_AUTO_FREE char *line = credential ? fm_format("Authorization: MUNGE %s", credential) : NULL;
	FM_AUTO_FREE char *url = NULL;
	char address[256];

	if (!credential)
		return -1;
	url = fm_format("http://%s:%u%s", fm_conf_node_address(r->conf, r->node, address, sizeof(address)),
			r->conf->local_port, path);
	*headers_r = line ? curl_slist_append(curl_slist_append(NULL, "Expect:"), line) : NULL;
	if (!url || !*headers_r)
		return fm_fail(err, FM_FAILED, "out of memory");
	curl_easy_reset(r->curl);
	x->curl = r->curl;
	curl_easy_setopt(r->curl, CURLOPT_URL, url);
	curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, *headers_r);
	curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(r->curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(r->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(r->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(r->curl, CURLOPT_LOW_SPEED_TIME, STALL_S);
	curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(r->curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(r->curl, CURLOPT_HEADERDATA, x);
	if (!body)
		return 0;
	curl_easy_setopt(r->curl, CURLOPT_CUSTOMREQUEST, "PUT");
	curl_easy_setopt(r->curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(r->curl, CURLOPT_POSTFIELDSIZE, (long)size);
	return 0;
}

static int no_answer(struct remote *r, CURLcode code, const char *detail, struct fm_error *err)
{
	const char *why = *detail ? detail : curl_easy_strerror(code);

	fm_fail(err, code == CURLE_OPERATION_TIMEDOUT ? FM_TIMEOUT : FM_NOT_FOUND, "node %s (port %u): %s", r->node,
		r->conf->local_port, why);
	r->dead = *err;
	return -1;
}

static int check(struct remote *r, struct exchange *x, long status, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *o = NULL;
	char sha256[65];

	if (status != 200) {
		o = fm_json_parse(x->error, x->error_size, err);
		if (o)
			fm_json_to_error(o, err);
		else
			fm_fail(err, FM_FAILED, "HTTP status %ld", status);
		return fm_context(err, "node %s", r->node);
	}
	if (!x->room)
		return 0;
	fm_sha256_hex(x->data, x->size, sha256);
	if (strcmp(sha256, x->sha256) != 0)
		return fm_fail(err, FM_CORRUPT, "node %s: bytes were changed on the way", r->node);
	return 0;
}

static int exchange(struct remote *r, const char *path, const void *body, size_t size, struct exchange *x,
		    struct fm_error *err)
{
	char detail[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = NULL;
	long status = 0;
	CURLcode code;
	int rc;

	if (r->dead.code) {
		*err = r->dead;
		return -1;
	}
	rc = prepare(r, path, body, size, x, &headers, err);
	if (rc == 0) {
		curl_easy_setopt(r->curl, CURLOPT_ERRORBUFFER, detail);
		code = curl_easy_perform(r->curl);
		curl_easy_setopt(r->curl, CURLOPT_ERRORBUFFER, NULL);
		curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
		rc = code == CURLE_OK ? check(r, x, status, err) : no_answer(r, code, detail, err);
	}
	curl_slist_free_all(headers);
	return rc;
}

/* ---- nodes -------------------------------------------------------------------------------------- */

static struct remote *remote_new(const struct fm_conf *conf, const char *node, struct fm_error *err)
{
	struct remote *r = calloc(1, sizeof(*r));

	if (r) {
		r->conf = conf;
		r->node = strdup(node);
		r->curl = curl_easy_init();
	}
	if (r && r->node && r->curl)
		return r;
	if (r) {
		free(r->node);
		curl_easy_cleanup(r->curl);
	}
	free(r);
	fm_fail(err, FM_FAILED, "out of memory");
	return NULL;
}

static void remote_free(struct remote *r)
{
	if (!r)
		return;
	curl_easy_cleanup(r->curl);
	free(r->node);
	free(r);
}

struct remotes *remotes_create(const struct fm_conf *conf, struct fm_error *err)
{
	struct remotes *r = calloc(1, sizeof(*r));

	if (!r)
		fm_fail(err, FM_FAILED, "out of memory");
	else
		r->conf = conf;
	return r;
}

void remotes_destroy(struct remotes *r)
{
	while (r && r->first) {
		struct remote *gone = r->first;

		r->first = gone->next;
		remote_free(gone);
	}
	free(r);
}

static struct remote *remote_find(const struct remotes *r, const char *node)
{
	struct remote *at = r->first;

	while (at && strcmp(at->node, node) != 0)
		at = at->next;
	return at;
}

static struct remote *remote_get(struct remotes *r, const char *node, struct fm_error *err)
{
	struct remote *at = remote_find(r, node);

	if (!at && (at = remote_new(r->conf, node, err))) {
		at->next = r->first;
		r->first = at;
	}
	return at;
}

const struct fm_error *remote_dead(const struct remotes *r, const char *node)
{
	const struct remote *at = remote_find(r, node);

	return at && at->dead.code ? &at->dead : NULL;
}

/* ---- reading -------------------------------------------------------------------------------------- */

int remote_size(struct remotes *r, const char *node, uint32_t job, const char *what, const char *name, uint64_t *size_r,
		struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("/v1/local/%u/%s/%s?offset=0&length=0", job, what, name);
	struct remote *at = remote_get(r, node, err);
	struct exchange x = { 0 };

	if (!path || !at)
		return path ? -1 : fm_fail(err, FM_FAILED, "out of memory");
	if (exchange(at, path, NULL, 0, &x, err))
		return -1;
	*size_r = x.file_size;
	return 0;
}

static int read_piece(struct remote *at, uint32_t job, const char *what, const char *name, uint64_t offset, void *data,
		      size_t size, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("/v1/local/%u/%s/%s?offset=%" PRIu64 "&length=%zu", job, what, name, offset, size);
	struct exchange x = { .data = data, .room = size };

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (exchange(at, path, NULL, 0, &x, err))
		return -1;
	if (x.size != size)
		return fm_fail(err, FM_CORRUPT, "node %s: %s/%s ends at %" PRIu64, at->node, what, name, offset + x.size);
	return 0;
}

int remote_read(struct remotes *r, const char *node, uint32_t job, const char *what, const char *name, uint64_t offset,
		void *data, size_t size, struct fm_error *err)
{
	struct remote *at = remote_get(r, node, err);

	if (!at)
		return -1;
	for (size_t done = 0; done < size;) {
		size_t n = size - done < REMOTE_PIECE ? size - done : REMOTE_PIECE;

		if (read_piece(at, job, what, name, offset + done, (char *)data + done, n, err))
			return -1;
		done += n;
	}
	return 0;
}

struct remote_file {
	struct remotes *remotes;
	char *node, *what, *name, *text;
	uint32_t job;
	uint64_t size;
};

static int file_size(void *arg, uint64_t *size_r, struct fm_error *err)
{
	const struct remote_file *f = arg;

	(void)err;
	*size_r = f->size;
	return 0;
}

static int file_read(void *arg, uint64_t offset, void *data, size_t size, struct fm_error *err)
{
	const struct remote_file *f = arg;

	return remote_read(f->remotes, f->node, f->job, f->what, f->name, offset, data, size, err);
}

void remote_file_close(struct remote_file *f)
{
	if (!f)
		return;
	free(f->node);
	free(f->what);
	free(f->name);
	free(f->text);
	free(f);
}

struct remote_file *remote_file_open(struct remotes *r, const char *node, uint32_t job, const char *what,
				     const char *name, struct parity_source *source_r, struct fm_error *err)
{
	struct remote_file *f = calloc(1, sizeof(*f));

	if (f) {
		*f = (struct remote_file){ .remotes = r, .node = strdup(node), .what = strdup(what), .name = strdup(name),
					   .text = fm_format("%s:%u/%s/%s", node, job, what, name), .job = job };
	}
	if (!f || !f->node || !f->what || !f->name || !f->text)
		fm_fail(err, FM_FAILED, "out of memory");
	else if (remote_size(r, node, job, what, name, &f->size, err) == 0) {
		*source_r = (struct parity_source){ f->text, file_size, file_read, NULL, f };
		return f;
	}
	remote_file_close(f);
	return NULL;
}

/* ---- writing --------------------------------------------------------------------------------------- */

struct remote_put {
	struct remote *remote; /* of its own: the other side knows the file by the connection */
	char *path, *text;
	unsigned char *data;
	size_t used;
	uint64_t offset;
};

static int put_send(struct remote_put *p, bool commit, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s?offset=%" PRIu64 "%s", p->path, p->offset, commit ? "&commit=1" : "");
	struct exchange x = { 0 };

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (exchange(p->remote, path, p->data, p->used, &x, err))
		return -1;
	p->offset += p->used;
	p->used = 0;
	return 0;
}

static int put_write(void *arg, const void *data, size_t size, struct fm_error *err)
{
	struct remote_put *p = arg;

	for (size_t done = 0; done < size;) {
		size_t n = size - done < REMOTE_PUT - p->used ? size - done : REMOTE_PUT - p->used;

		memcpy(p->data + p->used, (const char *)data + done, n);
		p->used += n;
		done += n;
		if (p->used == REMOTE_PUT && put_send(p, false, err))
			return -1;
	}
	return 0;
}

static int put_commit(void *arg, struct fm_error *err)
{
	return put_send(arg, true, err);
}

/* The other side removes what a connection leaves unfinished. */
static void put_abort(void *arg)
{
	struct remote_put *p = arg;

	remote_free(fm_steal_ptr(&p->remote));
}

void remote_put_close(struct remote_put *p)
{
	if (!p)
		return;
	remote_free(p->remote);
	free(p->path);
	free(p->text);
	free(p->data);
	free(p);
}

struct remote_put *remote_put_open(const struct fm_conf *conf, const char *node, uint32_t job, const char *name,
				   struct parity_sink *sink_r, struct fm_error *err)
{
	struct remote_put *p = calloc(1, sizeof(*p));

	if (p) {
		p->path = fm_format("/v1/local/%u/parity/%s", job, name);
		p->text = fm_format("%s:%u/parity/%s", node, job, name);
		p->data = malloc(REMOTE_PUT);
		p->remote = remote_new(conf, node, err);
	}
	if (p && p->path && p->text && p->data && p->remote) {
		*sink_r = (struct parity_sink){ p->text, put_write, put_commit, put_abort, p };
		return p;
	}
	fm_fail(err, FM_FAILED, "out of memory");
	remote_put_close(p);
	return NULL;
}
