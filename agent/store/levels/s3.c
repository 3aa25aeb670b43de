/* SPDX-License-Identifier: GPL-2.0-or-later */
/* s3.c - opening and closing an S3 level. */
#include "config.h"

#include "agent/store/levels/s3.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/levels/s3_private.h"
#include "common/io.h"

#define CURL_NEEDED 0x075800 /* 7.88.0: earlier ones do not sign the x-amz- headers */
#define PREFIX_MAX 100       /* with a name of LEVEL_NAME_MAX: under the 1024 bytes of a key */

static void s3_close(struct level *level)
{
	struct s3 *s3 = (struct s3 *)level;

	if (s3->curl)
		curl_easy_cleanup(s3->curl);
	credentials_wipe(&s3->credentials);
	free(s3->bucket_url);
	free(s3->prefix);
	free(s3->sigv4);
	free(s3->region);
	free(s3->credentials_path);
	free(s3->ca_file);
	free(s3);
}

static const struct level_ops s3_ops = {
	.put = s3_put,
	.get = s3_get,
	.head = s3_head,
	.list = s3_list,
	.remove = s3_remove,
	.sweep = s3_sweep,
	.close = s3_close,
};

/* "http://" or "https://", a host, perhaps a port; no path, no user. */
static bool endpoint_is_valid(const char *endpoint)
{
	size_t scheme = !strncmp(endpoint, "https://", 8) ? 8 : !strncmp(endpoint, "http://", 7) ? 7 : 0;

	if (!scheme || !endpoint[scheme])
		return false;
	for (const char *p = endpoint + scheme; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(".-:[]_", *p))
			return false;
	return true;
}

/* One component of a URL's path, or of a header. */
static bool word_is_valid(const char *word)
{
	return level_name_is_valid(word) && !strchr(word, '/') && strlen(word) <= 63;
}

static int check_config(const struct s3_config *c, struct fm_error *err)
{
	if (curl_version_info(CURLVERSION_NOW)->version_num < CURL_NEEDED)
		return fm_fail(err, FM_INCOMPATIBLE, "libcurl %s: an S3 level needs 7.88 or later",
			       curl_version_info(CURLVERSION_NOW)->version);
	if (!endpoint_is_valid(c->endpoint))
		return fm_fail(err, FM_USAGE, "\"%.100s\" is not an endpoint such as https://s3.example.org:443",
			       c->endpoint);
	if (!word_is_valid(c->bucket))
		return fm_fail(err, FM_USAGE, "\"%.100s\" is not the name of a bucket", c->bucket);
	if (!word_is_valid(c->region))
		return fm_fail(err, FM_USAGE, "\"%.100s\" is not a region such as us-east-1", c->region);
	if (*c->prefix && (!level_name_is_valid(c->prefix) || strlen(c->prefix) > PREFIX_MAX))
		return fm_fail(err, FM_USAGE, "\"%.100s\" is not a prefix such as site/fermata", c->prefix);
	return 0;
}

static void set_defaults(struct s3_tuning *t)
{
	if (!t->retry.tries)
		t->retry.tries = 6;
	if (!t->retry.base_ms)
		t->retry.base_ms = 500;
	if (!t->retry.cap_ms)
		t->retry.cap_ms = 20000;
	if (!t->retry.total_ms)
		t->retry.total_ms = 300000;
	if (!t->connect_ms)
		t->connect_ms = 10000;
	if (!t->stall_s)
		t->stall_s = 60;
	if (!t->multipart_bytes)
		t->multipart_bytes = UINT64_C(64) << 20;
	if (!t->part_bytes)
		t->part_bytes = UINT64_C(64) << 20;
	if (!t->clock)
		t->clock = &level_clock_real;
}

static struct s3 *allocate(const struct s3_config *c, struct fm_error *err)
{
	struct s3 *s3 = calloc(1, sizeof(*s3));

	if (s3) {
		s3->level.ops = &s3_ops;
		s3->level.where = fm_format("s3 %s/%s%s%s", c->endpoint, c->bucket, *c->prefix ? "/" : "", c->prefix);
		s3->curl = curl_easy_init();
		s3->bucket_url = fm_format("%s/%s", c->endpoint, c->bucket);
		s3->prefix = fm_format("%s%s", c->prefix, *c->prefix ? "/" : "");
		s3->sigv4 = fm_format("aws:amz:%s:s3", c->region);
		s3->region = strdup(c->region);
		s3->credentials_path = strdup(c->credentials);
		s3->ca_file = c->ca_file ? strdup(c->ca_file) : NULL;
		s3->tls_any = c->tls_any;
		s3->tuning = c->tuning;
		set_defaults(&s3->tuning);
	}
	if (s3 && s3->level.where && s3->curl && s3->bucket_url && s3->prefix && s3->sigv4 && s3->region &&
	    s3->credentials_path && (s3->ca_file || !c->ca_file))
		return s3;
	if (s3)
		level_close(&s3->level);
	fm_fail(err, FM_FAILED, "out of memory");
	return NULL;
}

struct level *level_open_s3(const struct s3_config *config, struct fm_error *err)
{
	struct s3 *s3;

	if (check_config(config, err) < 0)
		return NULL;
	s3 = allocate(config, err);
	if (!s3)
		return NULL;
	if (credentials_read(config->credentials, &s3->credentials, err) < 0) {
		fm_context(err, "%s", s3->level.where);
		level_close(&s3->level);
		return NULL;
	}
	return &s3->level;
}
