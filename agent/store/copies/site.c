/* SPDX-License-Identifier: GPL-2.0-or-later */
/* site.c - see site.h. */
#include "config.h"

#include "agent/store/copies/site.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/levels/directory.h"
#include "agent/store/levels/s3.h"
#include "common/io.h"

#define BURST_SHARE 4 /* of a second's bytes that may move at once after a pause */

int site_init(struct site *site, char **lines, const char *store, const char *key_file, uint64_t bandwidth,
	      struct fm_error *err)
{
	size_t count = 0;

	memset(site, 0, sizeof(*site));
	site->store = store;
	site->key_file = key_file ? key_file : "";
	while (lines && lines[count])
		count++;
	site->level = calloc(count + 1, sizeof(*site->level));
	if (!site->level)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (; site->count < count; site->count++)
		if (level_spec_parse(&site->level[site->count].spec, lines[site->count], err) < 0) {
			site->count++; /* half made, to be disposed of */
			return fm_context(err, "Level");
		}
	if (bandwidth && !(site->throttle = throttle_create(bandwidth, bandwidth / BURST_SHARE + 1, NULL, err)))
		return -1;
	return 0;
}

int site_init_conf(struct site *site, const struct fm_conf *conf, enum site_patience patience, struct fm_error *err)
{
	int rc = site_init(site, conf->levels, conf->store_dir, conf->key_file, 0, err);

	site->patience = patience;
	return rc;
}

void site_dispose(struct site *site)
{
	for (size_t i = 0; i < site->count; i++) {
		level_close(site->level[i].open);
		level_spec_dispose(&site->level[i].spec);
	}
	free(site->level);
	throttle_destroy(site->throttle);
	memset(site, 0, sizeof(*site));
}

static struct level *open_s3(const struct site *site, const struct level_spec *spec, struct fm_error *err)
{
	struct s3_config config = {
		.endpoint = spec->endpoint, .bucket = spec->bucket, .region = spec->region, .prefix = spec->prefix,
		.credentials = spec->credentials, .ca_file = spec->ca,
	};

	if (site->patience == SITE_IMPATIENT) {
		config.tuning.retry = (struct retry_policy){ .tries = 3, .base_ms = 500, .cap_ms = 2000, .total_ms = 15000 };
		config.tuning.connect_ms = 5000;
		config.tuning.stall_s = 15;
	}
	return level_open_s3(&config, err);
}

struct level *site_open(struct site *site, size_t i, struct fm_error *err)
{
	struct site_level *l = &site->level[i];

	if (l->open)
		return l->open;
	if (l->spec.kind == LEVEL_S3) {
		l->open = open_s3(site, &l->spec, err);
	} else {
		const struct directory_config config = { .path = l->spec.path,
							 .apart_from = l->spec.same_filesystem ? NULL : site->store };

		l->open = level_open_directory(&config, err);
	}
	if (!l->open && err->code == FM_NOT_FOUND) /* what is in a place that is not there is not known */
		err->code = FM_FAILED;
	if (!l->open)
		fm_context(err, "level %s", l->spec.name);
	return l->open;
}

const char *site_name(const struct site *site, size_t i)
{
	return site->level[i].spec.name;
}

char *site_where(const struct site *site, size_t i)
{
	const struct level_spec *spec = &site->level[i].spec;

	if (spec->kind == LEVEL_DIRECTORY)
		return fm_format("directory %s", spec->path);
	return fm_format("s3 %s/%s%s%s", spec->endpoint, spec->bucket, *spec->prefix ? "/" : "", spec->prefix);
}

static int on_bytes(void *arg, uint64_t bytes)
{
	const struct site *site = arg;

	(void)bytes;
	if (site->moved)
		site->moved(site->arg);
	return site->stop && site->stop(site->arg);
}

struct level_transfer site_down(struct site *site)
{
	return (struct level_transfer){ .progress = on_bytes, .arg = site };
}

char *site_object(uint32_t job, uint32_t n, const char *name, struct fm_error *err)
{
	char *object = n ? fm_format("%" PRIu32 "/%" PRIu32 "/%s", job, n, name) : fm_format("%" PRIu32 "/%s", job, name);

	if (!object)
		fm_fail(err, FM_FAILED, "out of memory");
	return object;
}
