/* SPDX-License-Identifier: GPL-2.0-or-later */
/* list.c - what of a snapshot is on this node's disk (work.h), and the record of all nodes'. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/local/place.h"
#include "agent/local/work.h"
#include "agent/store/access.h"
#include "agent/store/pages/pages.h"
#include "common/cleanup.h"
#include "common/hostlist.h"
#include "common/io.h"
#include "common/protect.h"

/* The size of "<dir>/<id>.pack"; false: it is not there. */
static bool pack_there(const char *dir, const char *id, uint64_t *bytes_r)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s" LOCAL_PACK_SUFFIX, dir, id);
	struct stat st;

	if (!path || lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	*bytes_r = (uint64_t)st.st_size;
	return true;
}

struct list {
	const struct fm_conf *conf;
	const struct fm_snapshot_id *id;
	struct store_access access; /* pages: here; also: in StoreDir */
	struct placement_packs needs, packs;
};

static int list_map(struct list *l, const struct store_file *file, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = store_snapshot_dir(l->conf->store_dir, l->id);
	FM_AUTO_FREE char *path = dir ? fm_format("%s/%s", dir, file->name) : NULL;
	struct pages_map *map;
	char pack[65];
	int rc = 0;

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	map = pages_map_open(path, l->id->job, l->access.key, file->sha256, err);
	if (!map)
		return -1;
	for (size_t i = 0; rc == 0 && pages_map_pack(map, i, pack); i++) {
		uint64_t bytes = 0, ignored;

		/* Neither here nor there: another node's, who has it in his packs. It is needed all the same. */
		if (pack_there(l->access.pages, pack, &bytes) || !pack_there(l->access.also, pack, &ignored))
			rc = placement_packs_add(&l->needs, pack, bytes, err);
	}
	pages_map_close(map);
	return rc;
}

/* Of its memory and its disks. */
static int list_needs(struct list *l, unsigned rank, struct fm_error *err)
{
	struct fm_snapshot_id id = *l->id;
	FM_AUTO_JSON struct json_object *manifest = store_manifest(l->conf->store_dir, &id, err);
	struct store_file file, held;
	bool pages;

	if (!manifest || store_manifest_member(manifest, rank, &file, &held, err))
		return -1;
	for (size_t i = 0; store_manifest_file(manifest, rank, i, &file, &pages); i++)
		if (pages && list_map(l, &file, err))
			return -1;
	return 0;
}

/* This node's packs that are in a bundle whose parity is whole. */
static int list_protected(const struct list *l, struct placement_packs *packs_r, struct fm_error *err)
{
	struct folder_numbers records;
	int rc = placement_numbers(l->conf->store_dir, l->id->job, &records, err);

	for (size_t i = 0; rc == 0 && i < records.count; i++) {
		const struct placement_member *mine = NULL;
		struct level_progress p;
		struct fm_error ignored;
		struct placement r;

		if (placement_read(l->conf->store_dir, l->id->job, records.values[i], &r, &ignored))
			continue;
		for (size_t j = 0; j < r.members; j++)
			if (strcmp(r.member[j].node, l->conf->node_name) == 0)
				mine = &r.member[j];
		if (mine && mine->packs.count && level_parity(l->conf->store_dir, &r, &p, &ignored) == 0 && p.state == LEVEL_WHOLE)
			for (size_t j = 0; rc == 0 && j < mine->packs.count; j++)
				rc = placement_packs_add(packs_r, mine->packs.pack[j].id, mine->packs.pack[j].bytes, err);
		placement_dispose(&r);
	}
	folder_numbers_dispose(&records);
	return rc;
}

/* Only what this snapshot needs: the rest may be removed at any moment, and then the parity would be of less than it says. */
static int list_packs(struct list *l, struct fm_error *err)
{
	struct placement_packs protected = { 0 };
	int rc = list_protected(l, &protected, err);

	for (size_t i = 0; rc == 0 && i < l->needs.count; i++) {
		const struct placement_pack *pack = &l->needs.pack[i];
		uint64_t bytes, ignored;

		if (pack_there(l->access.pages, pack->id, &bytes) && !pack_there(l->access.also, pack->id, &ignored) &&
		    !placement_packs_find(&protected, pack->id))
			rc = placement_packs_add(&l->packs, pack->id, bytes, err);
	}
	placement_packs_dispose(&protected);
	return rc;
}

struct json_object *local_list(const struct fm_conf *conf, const struct fm_snapshot_id *id, unsigned rank,
			       struct fm_error *err)
{
	struct list l = { .conf = conf, .id = id };
	FM_AUTO_FREE char *folder = fm_format("%s/%" PRIu32, conf->store_dir, id->job);
	FM_AUTO_FREE char *local = local_job(conf, id->job);
	struct json_object *o = NULL;
	unsigned k = 0, m = 0;
	char rack[64];
	int rc = folder && local ? store_access_local(&l.access, folder, id->job, local, conf->key_file, false, err) :
				   fm_fail(err, FM_FAILED, "out of memory");

	if (rc == 0)
		rc = fm_protect_parse(conf->protect, &k, &m, err);
	if (rc == 0)
		rc = list_needs(&l, rank, err);
	if (rc == 0 && k)
		rc = list_packs(&l, err);
	if (rc == 0) {
		o = json_object_new_object();
		fm_json_set_string(o, "node", conf->node_name);
		fm_json_set_string(o, "rack", fm_rack_of(conf, conf->node_name, rack, sizeof(rack)));
		json_object_object_add(o, "needs", placement_packs_json(&l.needs));
		json_object_object_add(o, "packs", placement_packs_json(&l.packs));
	}
	placement_packs_dispose(&l.needs);
	placement_packs_dispose(&l.packs);
	store_access_close(&l.access);
	return o;
}

/* ---- of all ------------------------------------------------------------------------------------------- */

static bool is_member(struct json_object *members, const char *node)
{
	for (size_t i = 0; i < json_object_array_length(members); i++)
		if (strcmp(fm_json_string_or(json_object_array_get_idx(members, i), "node", ""), node) == 0)
			return true;
	return false;
}

/* Only a job of one node needs nodes outside of it. */
static int add_spares(struct json_object *spares, const struct fm_conf *conf, struct json_object *members,
		      struct fm_error *err)
{
	struct fm_hostlist agents;
	char rack[64];

	if (json_object_array_length(members) != 1)
		return 0;
	if (fm_hostlist_parse(&agents, conf->agents, err))
		return -1;
	for (size_t i = 0; i < agents.count; i++) {
		struct json_object *o;

		if (is_member(members, agents.names[i]))
			continue;
		o = json_object_new_object();
		fm_json_set_string(o, "node", agents.names[i]);
		fm_json_set_string(o, "rack", fm_rack_of(conf, agents.names[i], rack, sizeof(rack)));
		json_object_array_add(spares, o);
	}
	fm_hostlist_dispose(&agents);
	return 0;
}

int local_record(const struct fm_conf *conf, const struct fm_snapshot_id *id, struct json_object *members,
		 struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *o = json_object_new_object();
	struct json_object *spares = json_object_new_array();
	unsigned k, m;
	char kind[16];

	if (fm_protect_parse(conf->protect, &k, &m, err))
		return -1;
	snprintf(kind, sizeof(kind), "%.*s", (int)strcspn(conf->protect, ":"), conf->protect);
	fm_json_set_int(o, "version", PLACEMENT_VERSION);
	fm_json_set_int(o, "job", id->job);
	fm_json_set_int(o, "n", id->n);
	fm_json_set_string(o, "kind", kind);
	fm_json_set_int(o, "k", k);
	fm_json_set_int(o, "m", m);
	fm_json_set_bool(o, "flush", conf->flush);
	fm_json_set_int(o, "created", (int64_t)time(NULL));
	json_object_object_add(o, "members", json_object_get(members));
	json_object_object_add(o, "spares", spares);
	return add_spares(spares, conf, members, err) || placement_write(conf->store_dir, id->job, id->n, o, err) ? -1 : 0;
}
