/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * s3_list.c - a bucket's objects (ListObjectsV2) and its uploads that were never
 * ended (ListMultipartUploads), page by page.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/store/levels/s3_private.h"
#include "agent/store/levels/s3_xml.h"
#include "common/cleanup.h"
#include "common/io.h"

#define KEY_MAX 1025
#define TOKEN_MAX 4096
#define SWEEP_MAX 1000 /* uploads in one sweep: the next has the rest */

char *s3_escape(struct s3 *s3, const char *text, struct fm_error *err)
{
	char *escaped = curl_easy_escape(s3->curl, text, 0);

	if (!escaped)
		fm_fail(err, FM_FAILED, "out of memory");
	return escaped;
}

static void copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

/* One page of a listing of objects as it is read. */
struct page {
	const char *prefix; /* the level's: cut off */
	level_each each;
	void *arg;
	bool ended; /* by each */
	bool truncated;
	char key[KEY_MAX], token[TOKEN_MAX];
	uint64_t bytes;
};

static void object_ended(struct page *p)
{
	size_t cut = strlen(p->prefix);

	if (!p->ended && !strncmp(p->key, p->prefix, cut) && level_name_is_valid(p->key + cut) &&
	    p->each(p->arg, p->key + cut, p->bytes))
		p->ended = true;
	*p->key = '\0';
	p->bytes = 0;
}

static int take_object(void *arg, const char *parent, const char *name, const char *text, struct fm_error *err)
{
	struct page *p = arg;

	(void)err;
	if (!strcmp(parent, "Contents")) {
		if (!strcmp(name, "Key"))
			copy(p->key, sizeof(p->key), text);
		else if (!strcmp(name, "Size"))
			p->bytes = strtoull(text, NULL, 10);
	} else if (!strcmp(parent, "ListBucketResult")) {
		if (!strcmp(name, "Contents"))
			object_ended(p);
		else if (!strcmp(name, "IsTruncated"))
			p->truncated = !strcmp(text, "true");
		else if (!strcmp(name, "NextContinuationToken"))
			copy(p->token, sizeof(p->token), text);
	}
	return 0;
}

/* A listing that is no listing must not pass for an empty one. */
static int read_listing(const struct s3_reply *reply, const char *root, s3_xml_element element, void *arg,
			struct fm_error *err)
{
	if (!reply->text || !strstr(reply->text, root))
		return fm_fail(err, FM_FAILED, "the server's answer is no %s", root);
	return s3_xml_read(reply->text, reply->size, element, arg, err);
}

static int list_page(struct s3 *s3, const char *prefix, const char *token, struct page *page, struct fm_error *err)
{
	FM_AUTO_FREE char *query = *token ? fm_format("continuation-token=%s&list-type=2&prefix=%s", token, prefix) :
					    fm_format("list-type=2&prefix=%s", prefix);
	struct s3_request request = { .method = "GET", .query = query };
	struct s3_reply reply;
	int r;

	if (!query)
		return fm_fail(err, FM_FAILED, "out of memory");
	page->truncated = false;
	*page->token = '\0';
	r = s3_call(s3, &request, &reply, err);
	if (!r)
		r = read_listing(&reply, "ListBucketResult", take_object, page, err);
	s3_reply_dispose(&reply);
	return r;
}

int s3_list(struct level *level, const char *prefix, level_each each, void *arg, struct fm_error *err)
{
	struct s3 *s3 = (struct s3 *)level;
	struct page page = { .prefix = s3->prefix, .each = each, .arg = arg };
	FM_AUTO_FREE char *key = s3_key(s3, prefix, err);
	char *escaped = key ? s3_escape(s3, key, err) : NULL, *token = NULL;
	int r = escaped ? 0 : -1;

	while (!r) {
		r = list_page(s3, escaped, token ? token : "", &page, err);
		if (r || !page.truncated || page.ended)
			break;
		curl_free(token);
		token = NULL;
		if (!*page.token)
			r = fm_fail(err, FM_FAILED, "the server's listing has more, but does not say how to get it");
		else if (!(token = s3_escape(s3, page.token, err)))
			r = -1;
	}
	curl_free(token);
	curl_free(escaped);
	return r;
}

/* Uploads that began before `before`; ids and keys are copied: nothing is asked while a page is read. */
struct uploads {
	const char *prefix;
	time_t before;
	bool truncated;
	char key[KEY_MAX], id[TOKEN_MAX];
	time_t begun;
	char next_key[KEY_MAX], next_id[TOKEN_MAX];
	struct {
		char *key, *id;
	} found[SWEEP_MAX];
	unsigned count;
};

/* "2026-11-23T05:40:57.000Z"; -1 when it is not. */
static time_t read_time(const char *text)
{
	struct tm tm = { 0 };

	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? timegm(&tm) : -1;
}

static int upload_ended(struct uploads *u, struct fm_error *err)
{
	size_t cut = strlen(u->prefix);

	if (!strncmp(u->key, u->prefix, cut) && level_name_is_valid(u->key + cut) && *u->id && u->begun >= 0 &&
	    u->begun <= u->before && u->count < SWEEP_MAX) {
		u->found[u->count].key = strdup(u->key);
		u->found[u->count].id = strdup(u->id);
		if (!u->found[u->count].key || !u->found[u->count++].id)
			return fm_fail(err, FM_FAILED, "out of memory");
	}
	*u->key = *u->id = '\0';
	u->begun = -1;
	return 0;
}

static int take_upload(void *arg, const char *parent, const char *name, const char *text, struct fm_error *err)
{
	struct uploads *u = arg;

	if (!strcmp(parent, "Upload")) {
		if (!strcmp(name, "Key"))
			copy(u->key, sizeof(u->key), text);
		else if (!strcmp(name, "UploadId"))
			copy(u->id, sizeof(u->id), text);
		else if (!strcmp(name, "Initiated"))
			u->begun = read_time(text);
	} else if (!strcmp(parent, "ListMultipartUploadsResult")) {
		if (!strcmp(name, "Upload"))
			return upload_ended(u, err);
		if (!strcmp(name, "IsTruncated"))
			u->truncated = !strcmp(text, "true");
		else if (!strcmp(name, "NextKeyMarker"))
			copy(u->next_key, sizeof(u->next_key), text);
		else if (!strcmp(name, "NextUploadIdMarker"))
			copy(u->next_id, sizeof(u->next_id), text);
	}
	return 0;
}

static char *uploads_query(struct s3 *s3, const struct uploads *u, struct fm_error *err)
{
	char *prefix = s3_escape(s3, s3->prefix, err), *key = s3_escape(s3, u->next_key, err);
	char *id = s3_escape(s3, u->next_id, err), *query = NULL;

	if (prefix && key && id)
		query = *key ? fm_format("key-marker=%s&prefix=%s&upload-id-marker=%s&uploads=", key, prefix, id) :
			       fm_format("prefix=%s&uploads=", prefix);
	if (!query)
		fm_fail(err, FM_FAILED, "out of memory");
	curl_free(prefix);
	curl_free(key);
	curl_free(id);
	return query;
}

static int uploads_page(struct s3 *s3, struct uploads *u, int64_t age_s, struct fm_error *err)
{
	FM_AUTO_FREE char *query = uploads_query(s3, u, err);
	struct s3_request request = { .method = "GET", .query = query };
	struct s3_reply reply;
	int r;

	if (!query)
		return -1;
	u->truncated = false;
	u->begun = -1;
	r = s3_call(s3, &request, &reply, err);
	u->before = (reply.date ? reply.date : time(NULL)) - (time_t)age_s;
	if (!r)
		r = read_listing(&reply, "ListMultipartUploadsResult", take_upload, u, err);
	s3_reply_dispose(&reply);
	return r;
}

int s3_sweep(struct level *level, int64_t age_s, unsigned *removed_r, struct fm_error *err)
{
	struct s3 *s3 = (struct s3 *)level;
	FM_AUTO_FREE struct uploads *u = calloc(1, sizeof(*u));
	int r = 0;

	if (!u)
		return fm_fail(err, FM_FAILED, "out of memory");
	u->prefix = s3->prefix;
	do
		r = uploads_page(s3, u, age_s, err);
	while (!r && u->truncated && *u->next_key && u->count < SWEEP_MAX);
	for (unsigned i = 0; i < u->count; i++) {
		if (!r)
			r = s3_abort_upload(s3, u->found[i].key, u->found[i].id, err);
		if (!r)
			++*removed_r;
		free(u->found[i].key);
		free(u->found[i].id);
	}
	return r;
}
