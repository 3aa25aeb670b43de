/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inventory.c - see inventory.h. */
#include "config.h"

#include "agent/store/copies/inventory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/store/copies/fetch.h"
#include "agent/store/copies/listing.h"
#include "agent/store/copies/record.h"
#include "agent/store/manifest.h"
#include "common/cleanup.h"
#include "common/io.h"

static void mark(const struct site *site, size_t level, struct json_object *o)
{
	struct json_object *levels = json_object_new_array();

	json_object_array_add(levels, record_new(site, level, "whole"));
	json_object_object_del(json_object_array_get_idx(levels, 0), "since");
	fm_json_set_string(o, "only_on", site_name(site, level));
	json_object_object_add(o, "levels", levels);
	json_object_object_del(o, "dir"); /* there is none */
}

void inventory_mark(const struct fm_conf *conf, size_t level, struct json_object *o)
{
	struct fm_error ignored;
	struct site site;

	if (site_init_conf(&site, conf, SITE_IMPATIENT, &ignored) == 0 && level < site.count)
		mark(&site, level, o);
	site_dispose(&site);
}

static bool is_listed(struct json_object *list, const struct fm_snapshot_id *id)
{
	char name[24];

	fm_snapshot_id_format(id, name);
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (!strcmp(fm_json_string_or(json_object_array_get_idx(list, i), "snapshot", ""), name))
			return true;
	return false;
}

/* "<job>/<n>/manifest.json" */
static bool id_of(const char *object, struct fm_snapshot_id *id_r)
{
	char again[64];

	if (sscanf(object, "%" SCNu32 "/%" SCNu32 "/", &id_r->job, &id_r->n) != 2 || !id_r->job || !id_r->n)
		return false;
	snprintf(again, sizeof(again), "%" PRIu32 "/%" PRIu32 "/" MANIFEST_NAME, id_r->job, id_r->n);
	return !strcmp(again, object);
}

static void add_error(struct json_object *errors, const char *name, const struct fm_error *why)
{
	struct json_object *o = json_object_new_object();

	fm_json_set_string(o, "name", name);
	fm_json_set_string(o, "error", why->text);
	json_object_array_add(errors, o);
}

static void add_one(struct site *site, size_t level, const struct fm_snapshot_id *id, struct json_object *list,
		    struct json_object *errors)
{
	struct json_object *manifest, *o;
	struct fm_error err;

	if (is_listed(list, id) || record_is_removed(site->store, id, &err) != 0)
		return;
	manifest = fetch_manifest(site, id, &level, &err);
	o = manifest ? store_describe(site->store, id, manifest) : NULL;
	if (o) {
		mark(site, level, o);
		json_object_array_add(list, o);
	} else if (!manifest) {
		add_error(errors, site_name(site, level), &err);
	}
	json_object_put(manifest);
}

void inventory_add(struct site *site, uint32_t job, struct json_object *list, struct json_object *errors)
{
	for (size_t i = 0; i < site->count; i++) {
		FM_AUTO_FREE char *prefix = job ? fm_format("%" PRIu32 "/", job) : strdup("");
		struct fm_snapshot_id id;
		struct listing listing = { 0 };
		struct fm_error err;
		struct level *level = site_open(site, i, &err);

		if (!level || !prefix || listing_read(&listing, level, prefix, &err) < 0)
			add_error(errors, site_name(site, i), &err);
		for (size_t o = 0; o < listing.count; o++)
			if (id_of(listing.object[o].name, &id))
				add_one(site, i, &id, list, errors);
		listing_dispose(&listing);
	}
}
