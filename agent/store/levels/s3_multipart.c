/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * s3_multipart.c - a large object, in parts that are an object when the last
 * step says so, and nothing until then.
 *
 * The file is hashed part by part, just before each is sent: the part's hash is
 * signed, the whole's is looked at before the last step.  An error undoes the
 * upload; one that cannot be undone (the host died) is found by the sweep.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/levels/s3_private.h"
#include "agent/store/levels/s3_xml.h"
#include "common/auth.h"
#include "common/cleanup.h"
#include "common/io.h"

#define PARTS_MAX 1000 /* Swift's; Amazon's is 10000 */
#define COMPLETE_STALL_S 300L
#define UPLOAD_ID_MAX 1100

struct upload {
	struct s3 *s3;
	const char *key;
	struct outgoing *out;
	char *id; /* escaped; curl's */
	uint64_t part_bytes;
	FILE *parts; /* the last step's body as it grows */
};

static int take_upload_id(void *arg, const char *parent, const char *name, const char *text, struct fm_error *err)
{
	if (strcmp(parent, "InitiateMultipartUploadResult") != 0 || strcmp(name, "UploadId") != 0)
		return 0;
	if (strlen(text) >= UPLOAD_ID_MAX)
		return fm_fail(err, FM_FAILED, "the server's upload id is too long");
	strcpy(arg, text);
	return 0;
}

static int begin(struct upload *u, struct fm_error *err)
{
	struct s3_request request = { .method = "POST", .key = u->key, .query = "uploads=",
				      .meta = u->out->object.sha256 };
	char id[UPLOAD_ID_MAX] = "";
	struct s3_reply reply;
	int r = s3_call(u->s3, &request, &reply, err);

	if (!r)
		r = s3_xml_read(reply.text, reply.size, take_upload_id, id, err);
	s3_reply_dispose(&reply);
	if (!r && !*id)
		r = fm_fail(err, FM_FAILED, "the server gave no upload id");
	if (r < 0)
		return fm_context(err, "beginning an upload in parts");
	u->id = s3_escape(u->s3, id, err);
	return u->id ? 0 : -1;
}

/* As it goes back to the server inside XML: nothing that would have to be escaped there. */
static bool etag_is_plain(const char *etag)
{
	if (!*etag)
		return false;
	for (const char *p = etag; *p; p++)
		if (*p <= ' ' || *p > '~' || strchr("<>&", *p))
			return false;
	return true;
}

static int send_part(struct upload *u, unsigned number, uint64_t offset, struct digest *whole, struct fm_error *err)
{
	uint64_t left = u->out->object.bytes - offset;
	FM_AUTO_FREE char *query = fm_format("partNumber=%u&uploadId=%s", number, u->id);
	char hex[65];
	struct s3_request request = { .method = "PUT", .key = u->key, .query = query, .sha256 = hex, .file = u->out,
				      .offset = offset, .bytes = left < u->part_bytes ? left : u->part_bytes };
	struct s3_reply reply;
	int r;

	if (!query)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (outgoing_hash(u->out, offset, request.bytes, whole, hex, err) < 0)
		return -1;
	r = s3_call(u->s3, &request, &reply, err);
	if (!r && !etag_is_plain(reply.etag))
		r = fm_fail(err, FM_FAILED, "the server's ETag is missing, or of characters that none has");
	if (!r)
		fprintf(u->parts, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", number, reply.etag);
	s3_reply_dispose(&reply);
	return r < 0 ? fm_context(err, "part %u", number) : 0;
}

static int send_parts(struct upload *u, struct digest *whole, struct fm_error *err)
{
	unsigned number = 1;
	char hex[65];

	for (uint64_t offset = 0; offset < u->out->object.bytes; offset += u->part_bytes)
		if (send_part(u, number++, offset, whole, err) < 0)
			return -1;
	if (digest_hex(whole, hex, err) < 0)
		return -1;
	return outgoing_compare(u->out, hex, err);
}

static int complete(struct upload *u, const char *body, struct fm_error *err)
{
	FM_AUTO_FREE char *query = fm_format("uploadId=%s", u->id);
	char hex[65];
	struct s3_request request = { .method = "POST", .key = u->key, .query = query, .sha256 = hex, .text = body,
				      .stall_s = COMPLETE_STALL_S };
	struct s3_reply reply;
	int r;

	if (!query)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (u->s3->tuning.stall_s > request.stall_s)
		request.stall_s = (long)u->s3->tuning.stall_s;
	fm_sha256_hex(body, strlen(body), hex);
	r = s3_call(u->s3, &request, &reply, err);
	s3_reply_dispose(&reply);
	return r < 0 ? fm_context(err, "putting the parts together") : 0;
}

static int abort_escaped(struct s3 *s3, const char *key, const char *id, struct fm_error *err)
{
	FM_AUTO_FREE char *query = fm_format("uploadId=%s", id);
	struct s3_request request = { .method = "DELETE", .key = key, .query = query };
	struct s3_reply reply;
	int r;

	if (!query)
		return fm_fail(err, FM_FAILED, "out of memory");
	r = s3_call(s3, &request, &reply, err);
	s3_reply_dispose(&reply);
	return r < 0 && err->code == FM_NOT_FOUND ? 0 : r;
}

int s3_abort_upload(struct s3 *s3, const char *key, const char *upload, struct fm_error *err)
{
	char *id = s3_escape(s3, upload, err);
	int r = id ? abort_escaped(s3, key, id, err) : -1;

	curl_free(id);
	return r;
}

/* All between an upload's beginning and its end; the body is whole when the stream is closed. */
static int transfer(struct upload *u, struct fm_error *err)
{
	struct digest *whole = digest_create(err);
	char *body = NULL;
	size_t size = 0;
	int r = -1;

	u->parts = open_memstream(&body, &size);
	if (whole && !u->parts)
		fm_fail(err, FM_FAILED, "out of memory");
	if (whole && u->parts) {
		fputs("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", u->parts);
		r = send_parts(u, whole, err);
		fputs("</CompleteMultipartUpload>", u->parts);
	}
	if (u->parts && fclose(u->parts) != 0 && !r)
		r = fm_fail(err, FM_FAILED, "out of memory");
	if (!r)
		r = complete(u, body, err);
	digest_destroy(whole);
	free(body);
	return r;
}

int s3_put_parts(struct s3 *s3, const char *key, struct outgoing *out, struct fm_error *err)
{
	struct upload u = { .s3 = s3, .key = key, .out = out, .part_bytes = s3->tuning.part_bytes };
	uint64_t least = (out->object.bytes + PARTS_MAX - 1) / PARTS_MAX;
	struct fm_error ignored;
	int r;

	if (u.part_bytes < least)
		u.part_bytes = least;
	if (begin(&u, err) < 0)
		return -1;
	r = transfer(&u, err);
	if (r < 0)
		abort_escaped(s3, key, u.id, &ignored);
	curl_free(u.id);
	return r;
}
