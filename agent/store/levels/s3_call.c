/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * s3_call.c - one request by libcurl, tried again while that is of use.
 *
 * What libcurl 7.88's SigV4 leaves to us: it signs x-amz-content-sha256 only
 * if it is given, and takes the query as it is in the URL, so that must be
 * sorted, escaped, and have '=' after every key.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/store/levels/s3_private.h"
#include "common/cleanup.h"
#include "common/io.h"

#define TEXT_MAX ((size_t)8 << 20) /* a listing of 1000 long names is under 3 MiB */
#define ERROR_TEXT_MAX ((size_t)64 << 10)
#define STALL_BYTES_PER_S 1024L

/* One try. */
struct attempt {
	struct s3 *s3;
	const struct s3_request *request;
	struct s3_reply *reply;
	struct fm_error *err;
	bool failed;   /* on our side: err is filled, no other try */
	bool begun;    /* the incoming file has been told */
	bool length;   /* the answer says how long it is */
	uint64_t sent; /* of the part of the file */
};

static bool is_success(long status)
{
	return status >= 200 && status < 300;
}

/* "Name: value\r\n" with this name: its value, trimmed, in buffer; not: false. */
static bool header_is(const char *line, size_t length, const char *name, char *buffer, size_t size)
{
	size_t n = strlen(name);

	if (length <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
		return false;
	line += n + 1;
	length -= n + 1;
	while (length && (*line == ' ' || *line == '\t'))
		line++, length--;
	while (length && strchr(" \t\r\n", line[length - 1]))
		length--;
	if (length >= size)
		length = 0; /* longer than any we understand: as if it had not been sent */
	memcpy(buffer, line, length);
	buffer[length] = '\0';
	return true;
}

static size_t on_header(char *data, size_t one, size_t size, void *arg)
{
	struct attempt *a = arg;
	struct s3_reply *reply = a->reply;
	char value[S3_ETAG_MAX];

	(void)one;
	if (header_is(data, size, S3_META, value, sizeof(value))) {
		if (strspn(value, "0123456789abcdef") == 64 && !value[64])
			memcpy(reply->object.sha256, value, 65);
	} else if (header_is(data, size, "ETag", value, sizeof(value))) {
		memcpy(reply->etag, value, sizeof(value));
	} else if (header_is(data, size, "Date", value, sizeof(value))) {
		reply->date = curl_getdate(value, NULL);
		if (reply->date < 0)
			reply->date = 0;
	} else if (header_is(data, size, "Content-Length", value, sizeof(value))) {
		reply->object.bytes = strtoull(value, NULL, 10);
		a->length = true;
	}
	return size;
}

static size_t add_text(struct attempt *a, const char *data, size_t size, size_t max)
{
	struct s3_reply *reply = a->reply;
	char *grown;

	if (size > max - reply->size) {
		a->failed = true;
		fm_fail(a->err, FM_FAILED, "the server's answer is longer than %zu bytes", max);
		return 0;
	}
	grown = realloc(reply->text, reply->size + size + 1);
	if (!grown) {
		a->failed = true;
		fm_fail(a->err, FM_FAILED, "out of memory");
		return 0;
	}
	reply->text = grown;
	memcpy(grown + reply->size, data, size);
	reply->size += size;
	grown[reply->size] = '\0';
	return size;
}

static int begin_incoming(struct attempt *a)
{
	struct incoming *in = a->request->incoming;

	if (a->begun)
		return 0;
	a->begun = true;
	if (!a->length && !in->expected)
		return fm_fail(a->err, FM_FAILED, "the server does not say how long it is");
	if (!a->length)
		a->reply->object.bytes = in->expected->bytes;
	return incoming_begin(in, &a->reply->object, a->err);
}

static size_t on_body(char *data, size_t one, size_t size, void *arg)
{
	struct attempt *a = arg;
	long status = 0;

	(void)one;
	curl_easy_getinfo(a->s3->curl, CURLINFO_RESPONSE_CODE, &status);
	if (!is_success(status))
		return add_text(a, data, size, ERROR_TEXT_MAX);
	if (!a->request->incoming)
		return add_text(a, data, size, TEXT_MAX);
	if (begin_incoming(a) < 0 || incoming_add(a->request->incoming, data, size, a->err) < 0) {
		a->failed = true;
		return 0; /* libcurl ends the transfer */
	}
	return size;
}

static size_t on_send(char *buffer, size_t one, size_t room, void *arg)
{
	struct attempt *a = arg;
	const struct s3_request *q = a->request;
	uint64_t left = q->bytes - a->sent;
	size_t n = left < room ? (size_t)left : room;

	(void)one;
	if (outgoing_read(q->file, buffer, n, q->offset + a->sent, a->err) < 0 ||
	    transfer_move(q->file->transfer, n, q->offset + a->sent + n, a->err) < 0) {
		a->failed = true;
		return CURL_READFUNC_ABORT;
	}
	a->sent += n;
	return n;
}

/* libcurl begins anew by itself where a kept connection turns out to be closed. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct attempt *a = arg;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > a->request->bytes)
		return CURL_SEEKFUNC_FAIL;
	a->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static int add_header(struct curl_slist **headers, const char *name, const char *value, struct fm_error *err)
{
	FM_AUTO_FREE char *line = fm_format("%s: %s", name, value);
	struct curl_slist *more = line ? curl_slist_append(*headers, line) : NULL;

	if (line)
		explicit_bzero(line, strlen(line)); /* it may be the session token */
	if (!more)
		return fm_fail(err, FM_FAILED, "out of memory");
	*headers = more;
	return 0;
}

static int make_headers(const struct s3 *s3, const struct s3_request *q, struct curl_slist **headers,
			struct fm_error *err)
{
	const char *token = s3->credentials.session_token;

	if (add_header(headers, "x-amz-content-sha256", q->sha256 ? q->sha256 : S3_EMPTY_SHA256, err) < 0 ||
	    (q->meta && add_header(headers, S3_META, q->meta, err) < 0) ||
	    (q->text && add_header(headers, "Content-Type", "application/xml", err) < 0) ||
	    (*token && add_header(headers, "x-amz-security-token", token, err) < 0))
		return -1;
	return 0;
}

/* Where, who, how long, how safe: the same for every request. */
static void set_common(struct attempt *a, const struct curl_slist *headers, char *detail)
{
	struct s3 *s3 = a->s3;
	const struct s3_request *q = a->request;
	const struct level_transfer *transfer = q->file ? q->file->transfer : q->incoming ? q->incoming->transfer : NULL;
	CURL *curl = s3->curl;

	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, s3->sigv4);
	curl_easy_setopt(curl, CURLOPT_USERNAME, s3->credentials.access_key);
	curl_easy_setopt(curl, CURLOPT_PASSWORD, s3->credentials.secret_key);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, s3->tls_any ? 0L : 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, s3->tls_any ? 0L : 2L);
	if (s3->ca_file)
		curl_easy_setopt(curl, CURLOPT_CAINFO, s3->ca_file);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)s3->tuning.connect_ms);
	/* A throttle that many transfers share may leave one of them little. */
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, transfer && transfer->throttle ? 1L : STALL_BYTES_PER_S);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, q->stall_s ? q->stall_s : (long)s3->tuning.stall_s);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, a);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
}

static void set_method(struct attempt *a)
{
	const struct s3_request *q = a->request;
	CURL *curl = a->s3->curl;

	if (!strcmp(q->method, "HEAD")) {
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	} else if (!strcmp(q->method, "PUT")) {
		curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->bytes);
		curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_send);
		curl_easy_setopt(curl, CURLOPT_READDATA, a);
		curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(curl, CURLOPT_SEEKDATA, a);
	} else if (!strcmp(q->method, "POST")) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, q->text ? q->text : "");
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, q->text ? (long)strlen(q->text) : 0L);
	} else {
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, q->method);
	}
}

static enum s3_verdict judge_attempt(struct attempt *a, CURLcode code, const char *detail)
{
	curl_easy_getinfo(a->s3->curl, CURLINFO_RESPONSE_CODE, &a->reply->status);
	if (a->failed)
		return S3_FINAL;
	/* An error's body that does not come whole is an error all the same; a good answer's is not a good answer. */
	if (code != CURLE_OK && !(a->reply->status >= 400 && a->reply->size))
		return s3_judge_transfer(code, detail, a->err);
	if (is_success(a->reply->status) && a->request->incoming && begin_incoming(a) < 0)
		return S3_FINAL; /* of an empty object no byte has come */
	return s3_judge(a->s3, a->request, a->reply, a->err);
}

static enum s3_verdict attempt(struct s3 *s3, const struct s3_request *q, struct s3_reply *reply,
			       struct fm_error *err)
{
	struct attempt a = { .s3 = s3, .request = q, .reply = reply, .err = err };
	FM_AUTO_FREE char *url = fm_format("%s%s%s%s%s", s3->bucket_url, q->key ? "/" : "", q->key ? q->key : "",
					   q->query ? "?" : "", q->query ? q->query : "");
	struct curl_slist *headers = NULL;
	char detail[CURL_ERROR_SIZE] = "";
	enum s3_verdict verdict = S3_FINAL;

	s3_reply_dispose(reply);
	curl_easy_reset(s3->curl); /* keeps the connection */
	if (!url) {
		fm_fail(err, FM_FAILED, "out of memory");
	} else if (!make_headers(s3, q, &headers, err)) {
		set_common(&a, headers, detail);
		set_method(&a);
		curl_easy_setopt(s3->curl, CURLOPT_URL, url);
		verdict = judge_attempt(&a, curl_easy_perform(s3->curl), detail);
		curl_easy_setopt(s3->curl, CURLOPT_ERRORBUFFER, NULL); /* it is gone with this call */
	}
	curl_slist_free_all(headers);
	return verdict;
}

/* An answer to HEAD has no body that would say why: ask with GET. */
static void explain_head(struct s3 *s3, const struct s3_request *head, long status, struct fm_error *err)
{
	struct s3_request get = *head;
	struct fm_error why;
	struct s3_reply reply = { 0 };

	if (status != 400 && status != 401 && status != 403)
		return;
	get.method = "GET";
	if (attempt(s3, &get, &reply, &why) == S3_FINAL && reply.status == status)
		*err = why;
	s3_reply_dispose(&reply);
}

static int64_t retry_after_ms(struct s3 *s3)
{
	curl_off_t seconds = 0;

	curl_easy_getinfo(s3->curl, CURLINFO_RETRY_AFTER, &seconds);
	return seconds > 0 && seconds < 86400 ? (int64_t)seconds * 1000 : 0;
}

int s3_call(struct s3 *s3, const struct s3_request *q, struct s3_reply *reply, struct fm_error *err)
{
	struct retry retry;

	*reply = (struct s3_reply){ 0 };
	retry_begin(&retry, &s3->tuning.retry, s3->tuning.clock);
	for (;;) {
		enum s3_verdict verdict = attempt(s3, q, reply, err);
		char text[sizeof(err->text)];

		if (verdict == S3_GOOD)
			return 0;
		if (verdict == S3_FINAL) {
			if (!strcmp(q->method, "HEAD"))
				explain_head(s3, q, reply->status, err);
			return -1;
		}
		if (retry_again(&retry, retry_after_ms(s3)))
			continue;
		memcpy(text, err->text, sizeof(text));
		return fm_fail(err, err->code, "%.600s (tried %u times in %.1f s)", text, retry.tried,
			       retry_seconds(&retry));
	}
}
