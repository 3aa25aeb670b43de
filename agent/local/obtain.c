/* SPDX-License-Identifier: GPL-2.0-or-later */
/* obtain.c - see obtain.h: what is missing. obtain_get.c gets it, check.c mends with the same. */
#include "config.h"

#include "agent/local/obtain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/local/obtain_private.h"
#include "agent/local/place.h"
#include "common/cleanup.h"
#include "common/io.h"

void obtain_note(struct obtain *o, const char *place, const char *why)
{
	FM_AUTO_FREE char *text = fm_format("%s: %.160s; ", place, why);
	size_t used = strlen(o->asked);

	if (text && !strstr(o->asked, text))
		snprintf(o->asked + used, sizeof(o->asked) - used, "%s", text);
}

void obtain_note_level(struct obtain *o, const char *level)
{
	static const char *const levels[] = { "", "local", "shared", "node", "partner", "xor", "rs" };
	size_t was = 0, is = 0;

	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
		was = strcmp(o->result->level, levels[i]) == 0 ? i : was;
		is = strcmp(level, levels[i]) == 0 ? i : is;
	}
	if (is > was)
		snprintf(o->result->level, sizeof(o->result->level), "%s", level);
}

/* ---- what is there ------------------------------------------------------------------------------------ */

bool obtain_there(const char *dir, const char *id)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s" LOCAL_PACK_SUFFIX, dir, id);

	return path && access(path, F_OK) == 0;
}

int obtain_add(struct obtain *o, const char *id, struct fm_error *err)
{
	struct missing *bigger = reallocarray(o->missing, o->missings + 1, sizeof(*bigger));

	if (!bigger)
		return fm_fail(err, FM_FAILED, "out of memory");
	o->missing = bigger;
	bigger[o->missings] = (struct missing){ .got = false };
	memcpy(bigger[o->missings++].id, id, sizeof(bigger->id));
	return 0;
}

static int look_shared(struct obtain *o, const char *id, struct fm_error *err)
{
	struct fm_error why;

	if (pages_pack_check(o->here, id, &why) == 0) {
		o->result->shared++;
		return 0;
	}
	if (why.code != FM_CORRUPT) {
		*err = why;
		return -1;
	}
	if (obtain_there(o->access.also, id))
		obtain_note(o, "StoreDir", why.text);
	return obtain_add(o, id, err);
}

/* What is on this node's disk is read in full: there may be a better copy. What is in StoreDir by its index. */
static int look(struct obtain *o, const struct pages_map *map, struct fm_error *err)
{
	FM_AUTO_FREE struct missing *here = NULL;
	FM_AUTO_FREE bool *good = NULL;
	size_t count = 0, heres = 0;
	char id[65];

	while (pages_map_pack(map, count, id))
		count++;
	here = calloc(count + 1, sizeof(*here));
	good = calloc(count + 1, sizeof(*good));
	if (!here || !good)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; pages_map_pack(map, i, id); i++)
		if (obtain_there(o->access.pages, id))
			memcpy(here[heres++].id, id, sizeof(id));
		else if (look_shared(o, id, err))
			return -1;
	if (obtain_verify(o, here, heres, good, err))
		return -1;
	for (size_t i = 0; i < heres; i++)
		if (good[i])
			o->result->local++;
		else if (obtain_add(o, here[i].id, err))
			return -1;
	obtain_note_level(o, o->result->shared ? "shared" : "local");
	return 0;
}

/* ---- all of it ------------------------------------------------------------------------------------------- */

static int get_missing(struct obtain *o, struct fm_error *err)
{
	if (obtain_missing(o, false, err))
		return -1;
	for (size_t i = 0; i < o->missings; i++)
		if (!o->missing[i].got)
			return fm_fail(err, FM_CORRUPT, "pack %.16s… is on no level that can be reached: not in %s, nor in %s; %s",
				       o->missing[i].id, o->access.pages, o->access.also,
				       *o->asked ? o->asked : "no node is known to have had it");
	return 0;
}

int obtain_open(struct obtain *o, struct fm_error *err)
{
	FM_AUTO_FREE char *folder = fm_format("%s/%" PRIu32, o->conf->store_dir, o->job);
	FM_AUTO_FREE char *local = local_job(o->conf, o->job);

	o->lock_fd = -1;
	if (!folder || !local)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (store_access_local(&o->access, folder, o->job, local, o->conf->key_file, false, err))
		return -1;
	o->here = pages_store_open(o->access.pages, o->job, o->access.key, err);
	return o->here && pages_store_also(o->here, o->access.also, err) == 0 ? 0 : -1;
}

void obtain_dispose(struct obtain *o)
{
	for (size_t i = 0; i < o->records; i++)
		placement_dispose(&o->record[i]);
	free(o->record);
	free(o->missing);
	remotes_destroy(o->remotes);
	pages_store_close(o->arrived);
	pages_store_close(o->here);
	if (o->lock_fd >= 0)
		close(o->lock_fd);
	free(o->incoming);
	store_access_close(&o->access);
}

int local_obtain(const struct fm_conf *conf, const struct fm_snapshot_id *id, const char *map_path, const char *sha256,
		 struct obtained *obtained, struct fm_error *err)
{
	struct obtain o = { .conf = conf, .job = id->job, .result = obtained };
	struct pages_map *map;
	int rc = obtain_open(&o, err);

	map = rc == 0 ? pages_map_open(map_path, id->job, o.access.key, sha256, err) : NULL;
	rc = map ? look(&o, map, err) : -1;
	pages_map_close(map);
	if (rc == 0 && o.missings)
		rc = get_missing(&o, err);
	obtain_dispose(&o);
	return rc;
}
