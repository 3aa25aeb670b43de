/* SPDX-License-Identifier: GPL-2.0-or-later */
/* s3_object.c - one object: put, get, head, remove. */
#include "config.h"

#include <string.h>

#include "agent/store/levels/s3_private.h"
#include "common/cleanup.h"
#include "common/io.h"

char *s3_key(const struct s3 *s3, const char *name, struct fm_error *err)
{
	char *key = fm_format("%s%s", s3->prefix, name);

	if (!key)
		fm_fail(err, FM_FAILED, "out of memory");
	return key;
}

static int head_key(struct s3 *s3, const char *key, struct level_object *object_r, struct fm_error *err)
{
	struct s3_request request = { .method = "HEAD", .key = key };
	struct s3_reply reply;
	int r = s3_call(s3, &request, &reply, err);

	*object_r = reply.object;
	s3_reply_dispose(&reply);
	return r;
}

int s3_head(struct level *level, const char *name, struct level_object *object_r, struct fm_error *err)
{
	struct s3 *s3 = (struct s3 *)level;
	FM_AUTO_FREE char *key = s3_key(s3, name, err);

	return key ? head_key(s3, key, object_r, err) : -1;
}

/* 1: an object of this size and hash is there; 0: not; -1: cannot tell. */
static int is_there(struct s3 *s3, const char *key, const struct level_object *object, struct fm_error *err)
{
	struct level_object there;

	if (head_key(s3, key, &there, err) < 0)
		return err->code == FM_NOT_FOUND ? 0 : -1;
	return there.bytes == object->bytes && !strcmp(there.sha256, object->sha256);
}

/* In one piece: hashed first, so that the hash can be signed and a damaged file is not sent. */
static int put_whole(struct s3 *s3, const char *key, struct outgoing *out, struct fm_error *err)
{
	struct s3_request request = { .method = "PUT", .key = key, .meta = out->object.sha256, .file = out,
				      .bytes = out->object.bytes };
	struct s3_reply reply;
	char hex[65];
	int r;

	if (outgoing_hash(out, 0, out->object.bytes, NULL, hex, err) < 0 || outgoing_compare(out, hex, err) < 0)
		return -1;
	request.sha256 = hex;
	r = s3_call(s3, &request, &reply, err);
	s3_reply_dispose(&reply);
	return r;
}

int s3_put(struct level *level, const char *name, struct outgoing *out, enum level_put_result *result_r,
	   struct fm_error *err)
{
	struct s3 *s3 = (struct s3 *)level;
	FM_AUTO_FREE char *key = s3_key(s3, name, err);
	struct fm_error ignored;
	int there = key ? is_there(s3, key, &out->object, err) : -1;

	if (there < 0)
		return -1;
	*result_r = there ? LEVEL_THERE : LEVEL_STORED;
	if (there)
		return 0;
	if (out->object.bytes <= s3->tuning.multipart_bytes)
		return put_whole(s3, key, out, err);
	if (!s3_put_parts(s3, key, out, err))
		return 0;
	/* The answer to the last step may have been lost, and a second try been told that there is no such upload. */
	return err->code != FM_DENIED && is_there(s3, key, &out->object, &ignored) == 1 ? 0 : -1;
}

int s3_get(struct level *level, const char *name, struct incoming *in, struct fm_error *err)
{
	struct s3 *s3 = (struct s3 *)level;
	FM_AUTO_FREE char *key = s3_key(s3, name, err);
	struct s3_request request = { .method = "GET", .key = key, .incoming = in };
	struct s3_reply reply;
	int r;

	if (!key)
		return -1;
	r = s3_call(s3, &request, &reply, err);
	s3_reply_dispose(&reply);
	return r;
}

int s3_remove(struct level *level, const char *name, struct fm_error *err)
{
	struct s3 *s3 = (struct s3 *)level;
	FM_AUTO_FREE char *key = s3_key(s3, name, err);
	struct s3_request request = { .method = "DELETE", .key = key };
	struct s3_reply reply;
	int r;

	if (!key)
		return -1;
	r = s3_call(s3, &request, &reply, err);
	s3_reply_dispose(&reply);
	return r < 0 && err->code == FM_NOT_FOUND ? 0 : r;
}
