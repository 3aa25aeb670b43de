/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disks.c - see disks.h: a member's disks come, are copied and stored, and go. What is done to one is agent/disk's.
 *
 * The place is opened when it is needed: a node whose place is out of order still runs jobs that have no disks.
 */
#include "config.h"

#include "agent/worker/disks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/disk/disk.h"
#include "agent/store/disk_map.h"
#include "agent/worker/operations.h"
#include "agent/worker/pump.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"

#define MAKE_WAIT_MS 20000
#define SWEEP_WAIT_MS 10000

struct one {
	char name[DISK_NAME_SIZE], vdev[16];
	struct disk_device device;
	char *map; /* this save's */
};

struct worker_disks {
	const struct worker *worker;
	struct disk_place *place;
	struct fm_error broken; /* why the place cannot be had */
	struct one disk[DOMAIN_DISKS_MAX];
	unsigned count;
	bool cut, kept;
};

struct worker_disks *worker_disks_new(const struct worker *w)
{
	struct worker_disks *d = calloc(1, sizeof(*d));

	if (d)
		d->worker = w;
	return d;
}

static void forget(struct worker_disks *d)
{
	for (unsigned i = 0; i < d->count; i++) {
		free(d->disk[i].map);
		fm_cleanup_close(&d->disk[i].device.fd);
	}
	d->count = 0;
}

void worker_disks_free(struct worker_disks *d)
{
	if (!d)
		return;
	forget(d);
	disk_place_close(d->place);
	free(d);
}

/* 0; -1: there is none, or none that works. */
static int open_place(struct worker_disks *d, struct fm_error *err)
{
	const struct request *q = d->worker->request;

	if (!d->place && d->broken.code == FM_OK) {
		if (!q->disk_place)
			fm_fail(&d->broken, FM_INCOMPATIBLE, "this node has no place for members' disks: set Disks= in fermata.conf");
		else
			d->place = disk_place_open(q->disk_place, q->rundir, &d->broken);
	}
	if (d->place)
		return 0;
	*err = d->broken;
	return -1;
}

static struct one *add(struct worker_disks *d, const char *vdev, struct fm_error *err)
{
	struct one *o = &d->disk[d->count];

	if (d->count == DOMAIN_DISKS_MAX) {
		fm_fail(err, FM_FAILED, "more than %d disks", DOMAIN_DISKS_MAX);
		return NULL;
	}
	*o = (struct one){ .device.fd = -1 };
	if (disk_name(d->worker->request->domain.name, vdev, o->name, err) < 0)
		return NULL;
	snprintf(o->vdev, sizeof(o->vdev), "%s", vdev);
	d->count++;
	return o;
}

/* ---- a domain comes ---------------------------------------------------------------------- */

struct search {
	const char *name;
	bool found;
};

static void search_each(const struct domain_info *info, void *data)
{
	struct search *s = data;

	s->found = s->found || strcmp(info->name, s->name) == 0;
}

/* Nobody's disks are taken away under it. */
static int check_no_domain(struct worker_disks *d, struct fm_error *err)
{
	const struct worker *w = d->worker;
	struct search s = { .name = w->request->domain.name };

	if (w->ops->list(w->hv, search_each, &s, err) < 0)
		return -1;
	return s.found ? fm_fail(err, FM_BUSY, "it exists already") : 0;
}

static int remove_each(const char *name, bool cut, void *data, struct fm_error *err)
{
	struct worker_disks *d = data;
	char domain[DISK_NAME_SIZE];
	const char *vdev;

	if (!disk_name_parse(name, domain, sizeof(domain), &vdev) || strcmp(domain, d->worker->request->domain.name) != 0)
		return 0;
	return d->place->ops->remove(d->place, name, err);
}

static int begin_making(struct worker_disks *d, const char *what, struct fm_error *err)
{
	if (open_place(d, err) < 0)
		return fm_context(err, "%s", what);
	if (disk_place_lock(d->place, false, MAKE_WAIT_MS, err) < 0 || check_no_domain(d, err) < 0)
		return -1;
	return d->place->ops->list(d->place, remove_each, d, err);
}

/* The worker's control is the main thread's, and so is all of this. */
static bool agent_is_gone(void *data)
{
	const struct worker_disks *d = data;

	return control_ended(d->worker->control);
}

/* From a template's file, or a snapshot's blocks. */
struct source {
	const char *path;
	const struct request_disk *saved;
	const struct store_access *access;
};

static int fill_saved(struct worker_disks *d, const struct source *from, int fd, struct fm_error *err)
{
	const struct disk_map_options o = { .stop = agent_is_gone, .data = d };
	const struct stream_place at = { from->saved->map, from->access->pages, d->worker->request->job, from->access->key,
					 from->access->also };
	struct store_file expected = { .raw_bytes = from->saved->raw_bytes };
	int rc;

	snprintf(expected.sha256, sizeof(expected.sha256), "%s", from->saved->sha256);
	rc = disk_map_read(&at, &expected, from->saved->size, fd, &o, err);
	if (rc > 0)
		return fm_fail(err, FM_FAILED, "%s", d->worker->control->why);
	/* what could not be written for want of room is told here */
	if (rc == 0 && fsync(fd) < 0)
		rc = fm_fail(err, FM_FAILED, "cannot write the disk: %s", strerror(errno));
	return rc;
}

static int make_one(struct worker_disks *d, const char *vdev, const struct source *from, struct fm_error *err)
{
	const struct disk_ops *ops = d->place->ops;
	FM_AUTO_CLOSE int fd = -1;
	uint64_t size = from->saved ? from->saved->size : 0;
	struct one *o;

	if (!from->saved && disk_size_of(from->path, &size, err) < 0)
		return -1;
	o = add(d, vdev, err);
	if (!o || ops->create(d->place, o->name, size, &fd, err) < 0)
		return -1;
	if ((from->saved ? fill_saved(d, from, fd, err) : disk_fill(fd, from->path, err)) < 0)
		return -1;
	return ops->attach(d->place, o->name, &o->device, err);
}

static int made(struct worker_disks *d, int rc, const char *vdev, struct fm_error *err)
{
	if (rc == 0)
		return 0;
	worker_disks_remove(d);
	return fm_context(err, "disk %s", vdev);
}

int worker_disks_create(struct worker_disks *d, struct domain_spec *spec, struct fm_error *err)
{
	int rc = 0;

	for (unsigned i = 0; i < spec->disk_count; i++) {
		struct domain_disk *disk = &spec->disks[i];
		const struct source from = { .path = disk->path };

		if (disk->readonly)
			continue;
		if (d->count == 0 && begin_making(d, "it has a writable disk", err) < 0)
			return -1;
		rc = made(d, make_one(d, disk->vdev, &from, err), disk->vdev, err);
		if (rc < 0)
			return -1;
		disk->path = d->disk[d->count - 1].device.path;
	}
	return 0;
}

int worker_disks_restore(struct worker_disks *d, const struct store_access *access, struct domain_spec *spec,
			 struct fm_error *err)
{
	const struct request *q = d->worker->request;

	spec->disk_count = 0;
	if (q->disk_count > 0 && begin_making(d, "the snapshot has disks", err) < 0)
		return -1;
	for (unsigned i = 0; i < q->disk_count; i++) {
		const struct source from = { .saved = &q->disks[i], .access = access };

		if (made(d, make_one(d, q->disks[i].vdev, &from, err), q->disks[i].vdev, err) < 0)
			return -1;
		spec->disks[spec->disk_count++] = (struct domain_disk){ .path = d->disk[d->count - 1].device.path,
									.vdev = q->disks[i].vdev };
	}
	return 0;
}

void worker_disks_remove(struct worker_disks *d)
{
	const char *name = d->worker->request->domain.name;
	struct fm_error err;

	forget(d);
	if (!d->worker->request->disk_place)
		return;
	if (open_place(d, &err) < 0 || d->place->ops->list(d->place, remove_each, d, &err) < 0)
		fm_err("domain=%s its disks are left behind: %s", name, err.text);
}

/* ---- a snapshot ----------------------------------------------------------------------------- */

static int find_each(const char *name, bool cut, void *data, struct fm_error *err)
{
	struct worker_disks *d = data;
	char domain[DISK_NAME_SIZE];
	const char *vdev;

	if (!disk_name_parse(name, domain, sizeof(domain), &vdev) || strcmp(domain, d->worker->request->domain.name) != 0)
		return 0;
	return add(d, vdev, err) ? 0 : -1;
}

int worker_disks_ready(struct worker_disks *d, struct fm_error *err)
{
	if (!d->worker->request->disk_place)
		return 0;
	if (open_place(d, err) < 0) { /* only whoever has a disk is hit: has_disk() */
		fm_warning("domain=%s %s", d->worker->request->domain.name, err->text);
		return 0;
	}
	if (d->place->ops->list(d->place, find_each, d, err) < 0)
		return -1;
	for (unsigned i = 0; i < d->count; i++) {
		struct one *o = &d->disk[i];

		o->map = disk_map_name(d->worker->request->map, o->vdev, err);
		if (!o->map || d->place->ops->ready(d->place, o->name, err) < 0)
			return -1;
	}
	return 0;
}

bool worker_disks_has(const struct worker_disks *d, const char *vdev)
{
	for (unsigned i = 0; i < d->count; i++)
		if (strcmp(d->disk[i].vdev, vdev) == 0)
			return true;
	return false;
}

unsigned worker_disks_count(const struct worker_disks *d)
{
	return d->count;
}

int worker_disks_freeze(struct worker_disks *d, struct fm_error *err)
{
	d->cut = true;
	for (unsigned i = 0; i < d->count; i++)
		if (d->place->ops->freeze(d->place, d->disk[i].name, err) < 0)
			return fm_context(err, "disk %s", d->disk[i].vdev);
	return 0;
}

static struct json_object *describe(const struct one *o, const struct disk_map_saved *saved)
{
	struct json_object *of = json_object_new_object();
	const char *slash = strrchr(o->map, '/');

	fm_json_set_string(of, "vdev", o->vdev);
	fm_json_set_int(of, "size", (int64_t)saved->size);
	fm_json_set_string(of, "name", slash ? slash + 1 : o->map);
	fm_json_set_int(of, "bytes", (int64_t)saved->map.bytes);
	fm_json_set_int(of, "raw_bytes", (int64_t)saved->map.raw_bytes);
	fm_json_set_string(of, "sha256", saved->map.sha256);
	fm_json_set_int(of, "stored_bytes", (int64_t)saved->stored);
	fm_json_set_int(of, "pages", (int64_t)saved->count);
	fm_json_set_int(of, "known_pages", (int64_t)saved->pages.known);
	fm_json_set_int(of, "stored_pages", (int64_t)saved->pages.stored);
	return of;
}

static int store_one(struct worker_disks *d, struct one *o, const struct store_access *access,
		     struct disk_map_options *options, struct disk_map_saved *saved_r, struct fm_error *err)
{
	const struct request *q = d->worker->request;
	const struct stream_place at = { o->map, access->pages, q->job, access->key, access->also };
	FM_AUTO_FREE char *parent = q->parent ? disk_map_name(q->parent, o->vdev, err) : NULL;
	FM_AUTO_CLOSE int fd = -1;
	uint64_t size;
	int rc;

	if (d->place->ops->open_cut(d->place, o->name, &size, &fd, err) < 0)
		return -1;
	options->parent = parent;
	rc = disk_map_write(&at, fd, size, options, saved_r, err);
	close(fm_steal_fd(&fd));
	return rc == 0 ? d->place->ops->drop_cut(d->place, o->name, err) : rc;
}

int worker_disks_store(struct worker_disks *d, const struct store_access *access, bool (*stop)(void *data), void *data,
		       struct json_object **disks_r, struct fm_error *err)
{
	struct disk_map_options options = { .nice = PUMP_NICE, .stop = stop, .data = data };
	FM_AUTO_JSON struct json_object *disks = json_object_new_array();
	struct disk_map_saved saved;

	for (unsigned i = 0; i < d->count; i++) {
		int rc = store_one(d, &d->disk[i], access, &options, &saved, err);

		if (rc != 0)
			return rc < 0 ? fm_context(err, "disk %s", d->disk[i].vdev) : rc;
		json_object_array_add(disks, describe(&d->disk[i], &saved));
	}
	*disks_r = fm_steal_ptr(&disks);
	return 0;
}

void worker_disks_keep(struct worker_disks *d)
{
	d->kept = true;
}

void worker_disks_undo(struct worker_disks *d)
{
	struct fm_error err;

	for (unsigned i = 0; !d->kept && i < d->count; i++) {
		struct one *o = &d->disk[i];

		if (o->map && unlink(o->map) < 0 && errno != ENOENT)
			fm_err("%s: %s", o->map, strerror(errno));
		if (d->cut && d->place->ops->drop_cut(d->place, o->name, &err) < 0)
			fm_err("disk=%s a copy of it is left behind: %s", o->name, err.text);
	}
}

/* ---- what others left ------------------------------------------------------------------------- */

static int drop_each(const char *name, bool cut, void *data, struct fm_error *err)
{
	struct worker_disks *d = data;
	char domain[DISK_NAME_SIZE];
	const char *vdev;

	if (!cut || !disk_name_parse(name, domain, sizeof(domain), &vdev) ||
	    strcmp(domain, d->worker->request->domain.name) != 0)
		return 0;
	return d->place->ops->drop_cut(d->place, name, err);
}

void worker_disks_drop_cuts(struct worker_disks *d)
{
	const struct request *q = d->worker->request;
	FM_AUTO_CLOSE int lock = -1;
	struct fm_error err;

	if (!q->disk_place)
		return;
	lock = domain_lock(q->rundir, q->domain.name, 0, &err);
	if (lock < 0 || open_place(d, &err) < 0 || d->place->ops->list(d->place, drop_each, d, &err) < 0)
		fm_warning("domain=%s copies of its disks may be left behind: %s", q->domain.name, err.text);
}

struct sweep {
	struct worker_disks *d;
	char (*domain)[DOMAIN_NAME_SIZE];
	size_t count, room;
	bool short_of_memory;
	unsigned removed;
};

static void note_domain(const struct domain_info *info, void *data)
{
	struct sweep *s = data;

	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 16;
		void *more = realloc(s->domain, room * sizeof(*s->domain));

		s->short_of_memory = s->short_of_memory || !more;
		if (!more)
			return;
		s->domain = more;
		s->room = room;
	}
	memcpy(s->domain[s->count++], info->name, DOMAIN_NAME_SIZE);
}

static int sweep_each(const char *name, bool cut, void *data, struct fm_error *err)
{
	struct sweep *s = data;
	struct disk_place *place = s->d->place;
	char domain[DISK_NAME_SIZE];
	FM_AUTO_CLOSE int lock = -1;
	struct fm_error busy;
	const char *vdev;

	if (!disk_name_parse(name, domain, sizeof(domain), &vdev))
		return 0;
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->domain[i], domain) != 0)
			continue;
		lock = cut ? domain_lock(place->rundir, domain, 0, &busy) : -1;
		return lock < 0 ? 0 : place->ops->drop_cut(place, name, err); /* who has the lock works at it */
	}
	fm_warning("disk=%s its domain is gone: removed", name);
	s->removed++;
	return place->ops->remove(place, name, err);
}

int worker_disks_sweep(struct worker_disks *d, unsigned *removed_r, struct fm_error *err)
{
	const struct worker *w = d->worker;
	struct sweep s = { .d = d };
	int rc = -1;

	*removed_r = 0;
	if (!w->request->disk_place)
		return 0;
	if (open_place(d, err) < 0 || disk_place_lock(d->place, true, SWEEP_WAIT_MS, err) < 0)
		return -1;
	if (w->ops->list(w->hv, note_domain, &s, err) == 0)
		rc = s.short_of_memory ? fm_fail(err, FM_FAILED, "out of memory") :
					 d->place->ops->list(d->place, sweep_each, &s, err);
	if (rc == 0 && d->place->ops->sweep)
		rc = d->place->ops->sweep(d->place, err);
	*removed_r = s.removed;
	free(s.domain);
	return rc;
}
