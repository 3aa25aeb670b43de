/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * s3_private.h - between the files of the S3 level: s3.c opens it, s3_call.c
 * makes one request, tried again where that is of use, s3_reply.c judges the
 * answer, s3_object.c and s3_multipart.c are put, get and head, s3_list.c lists.
 */
#ifndef FM_STORE_LEVEL_S3_PRIVATE_H
#define FM_STORE_LEVEL_S3_PRIVATE_H

#include <curl/curl.h>
#include <time.h>

#include "agent/store/levels/credentials.h"
#include "agent/store/levels/driver.h"
#include "agent/store/levels/s3.h"

#define S3_META "x-amz-meta-fermata-sha256"
#define S3_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define S3_ETAG_MAX 130

struct s3 {
	struct level level; /* first */
	CURL *curl;         /* one connection, kept */
	char *bucket_url;   /* "https://host:port/bucket" */
	char *prefix;       /* "" or "a/b/" */
	char *sigv4;        /* "aws:amz:REGION:s3" */
	char *region;
	char *credentials_path;
	char *ca_file; /* may be NULL */
	bool tls_any;
	struct s3_tuning tuning;
	struct credentials credentials;
};

struct s3_request {
	const char *method; /* GET, HEAD, PUT, POST, DELETE */
	const char *key;    /* a valid name with the prefix before it; NULL: the bucket itself */
	const char *query;  /* sorted, escaped, each with its '=' (as it is signed); NULL: none */
	const char *meta;   /* SHA-256 that the object is to carry; NULL: none */
	long stall_s;       /* other than the usual; 0: as usual */
	/* What is sent: `text` or a part of `file`, with its SHA-256; nothing of these: an empty body. */
	const char *sha256;
	const char *text;
	struct outgoing *file;
	uint64_t offset, bytes;
	/* Where a good answer's body goes; NULL: reply.text. */
	struct incoming *incoming;
};

struct s3_reply {
	long status;
	char *text; /* with a NUL after it; NULL: none */
	size_t size;
	struct level_object object; /* Content-Length, x-amz-meta-fermata-sha256 */
	char etag[S3_ETAG_MAX];     /* with its quotes */
	time_t date;                /* the server's clock; 0: not said */
};

/* One request and its answer, which is a good one (2xx, no error in its body) when this is 0. Dispose the reply in any case. */
int s3_call(struct s3 *s3, const struct s3_request *request, struct s3_reply *reply_r, struct fm_error *err);
void s3_reply_dispose(struct s3_reply *reply);

enum s3_verdict {
	S3_GOOD,
	S3_AGAIN, /* may pass */
	S3_FINAL,
};

/* Of an answer that came whole; err is filled unless it is good. */
enum s3_verdict s3_judge(const struct s3 *s3, const struct s3_request *request, const struct s3_reply *reply,
			 struct fm_error *err);
/* Of a transfer that did not come to its end. */
enum s3_verdict s3_judge_transfer(CURLcode code, const char *detail, struct fm_error *err);

/* "<prefix><name>"; caller frees. */
char *s3_key(const struct s3 *s3, const char *name, struct fm_error *err);
/* As a query's value: all but A-Z a-z 0-9 - . _ ~ as %XX. curl_free() it. */
char *s3_escape(struct s3 *s3, const char *text, struct fm_error *err);

int s3_put(struct level *level, const char *name, struct outgoing *out, enum level_put_result *result_r,
	   struct fm_error *err);
int s3_get(struct level *level, const char *name, struct incoming *in, struct fm_error *err);
int s3_head(struct level *level, const char *name, struct level_object *object_r, struct fm_error *err);
int s3_remove(struct level *level, const char *name, struct fm_error *err);
int s3_list(struct level *level, const char *prefix, level_each each, void *arg, struct fm_error *err);
int s3_sweep(struct level *level, int64_t age_s, unsigned *removed_r, struct fm_error *err);
int s3_put_parts(struct s3 *s3, const char *key, struct outgoing *out, struct fm_error *err);
/* Forget a multipart upload and its parts. */
int s3_abort_upload(struct s3 *s3, const char *key, const char *upload, struct fm_error *err);

#endif
