/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan.c - see plan.h. */
#include "config.h"

#include "agent/plan.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "agent/copier.h"
#include "agent/store/copies/fetch.h"
#include "agent/disk/disk.h"
#include "agent/local/obtain.h"
#include "agent/local/place.h"
#include "agent/store/secret.h"
#include "common/cleanup.h"
#include "common/hostlist.h"
#include "common/io.h"

#define HELD_MAX (512u << 20)

/* ---- the lead ---------------------------------------------------------- */

/* The manifest to restart from; NULL with err->code FM_OK: start afresh. */
static struct json_object *find_snapshot(const struct job *job, struct site *site, struct fm_snapshot_id *id_r,
					 struct fetched *fetched, struct fm_error *err)
{
	const struct spec *spec = &job->spec;
	struct json_object *manifest;
	char text[24];

	if (spec->restart_count && !spec->deferred) { /* requeued: its own newest one is nearer than what it once began from */
		*id_r = (struct fm_snapshot_id){ .job = spec->job };
		manifest = fetch_find(site, id_r, fetched, err);
		if (manifest || err->code != FM_NOT_FOUND)
			return manifest;
	}
	err->code = FM_OK;
	if (!spec->restart)
		return NULL;
	*id_r = spec->restart_from;
	manifest = fetch_find(site, id_r, fetched, err);
	if (!manifest) {
		fm_snapshot_id_format(&spec->restart_from, text);
		fm_context(err, "restart from %s", text);
	}
	return manifest;
}

/* Schedulers count for themselves, and begin anew: this number's snapshots may be another job's, whom retention would rob. */
static int check_number(const struct job *job, struct fm_error *err)
{
	struct fm_snapshot_id id = { .job = job->spec.job };
	struct fm_error none;
	FM_AUTO_JSON struct json_object *manifest = store_manifest(job->agent->conf.store_dir, &id, &none);
	struct json_object *owner = manifest ? json_object_object_get(manifest, "job") : NULL;
	const char *scheduler = owner ? fm_json_string_or(owner, "scheduler", "") : job->spec.scheduler;

	if (strcmp(scheduler, job->spec.scheduler) == 0)
		return 0;
	return fm_fail(err, FM_DENIED, "the store has snapshots of a job %u of %s: give each scheduler a StoreDir, or remove them",
		       id.job, scheduler);
}

static int check_fits(const struct job *job, struct json_object *manifest, const char *id, struct fm_error *err)
{
	struct json_object *owner = json_object_object_get(manifest, "job");
	struct json_object *guest = json_object_object_get(manifest, "guest");
	size_t members = json_object_array_length(json_object_object_get(guest, "nodes"));

	if (fm_json_int_or(owner, "uid", -1) != (int64_t)job->spec.uid)
		return fm_fail(err, FM_DENIED, "snapshot %s is another user's", id);
	if (members != job->spec.node_count)
		return fm_fail(err, FM_INCOMPATIBLE, "snapshot %s has %zu members, the job has %u node%s: use --nodes=%zu",
			       id, members, job->spec.node_count, job->spec.node_count == 1 ? "" : "s", members);
	return 0;
}

/* Names, addresses and a secret for a group that begins. */
static struct json_object *new_identity(const struct job *job, struct fm_error *err)
{
	const struct fm_conf *conf = &job->agent->conf;
	FM_AUTO_JSON struct json_object *o = json_object_new_object();
	struct json_object *nodes = json_object_new_array();
	char token[65], ip[16], mac[18];
	unsigned prefix = 0;

	json_object_object_add(o, "nodes", nodes);
	if (agent_random_token(token, err))
		return NULL;
	for (unsigned i = 0; i < job->spec.node_count; i++) {
		struct json_object *node = json_object_new_object();

		json_object_array_add(nodes, node);
		if (fm_guest_address(conf, job->spec.job, i, ip, &prefix, mac, err))
			return NULL;
		fm_json_set_string(node, "name", job->spec.nodes[i]);
		fm_json_set_string(node, "ip", ip);
		fm_json_set_string(node, "mac", mac);
	}
	fm_json_set_string(o, "token", token);
	fm_json_set_int(o, "port", conf->runner_port);
	fm_json_set_int(o, "prefix", prefix);
	return fm_steal_ptr(&o);
}

static void add_node(struct json_object *list, const struct job *job, const char *name)
{
	if (spec_rank(&job->spec, name) >= 0)
		return; /* they see for themselves */
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (strcmp(json_object_get_string(json_object_array_get_idx(list, i)), name) == 0)
			return;
	json_object_array_add(list, json_object_new_string(name));
}

/* Where the group was, and wherever else there is an agent. */
static struct json_object *fence_nodes(const struct job *job, struct json_object *manifest)
{
	struct json_object *list = json_object_new_array();
	struct json_object *old = json_object_object_get(json_object_object_get(manifest, "job"), "nodes");
	struct fm_hostlist agents;
	struct fm_error err;

	for (size_t i = 0; old && i < json_object_array_length(old); i++)
		add_node(list, job, json_object_get_string(json_object_array_get_idx(old, i)));
	if (fm_hostlist_parse(&agents, job->agent->conf.agents, &err) == 0)
		for (size_t i = 0; i < agents.count; i++)
			add_node(list, job, agents.names[i]);
	fm_hostlist_dispose(&agents);
	return list;
}

static int keep_script(const struct job *job, struct fm_error *err)
{
	const struct fm_conf *conf = &job->agent->conf;
	struct store_access access;
	int r = store_access_job(&access, conf->store_dir, job->spec.job, conf->key_file, true, err);

	if (r == 0)
		r = store_script_write(&access, job->spec.script, err);
	store_access_close(&access);
	return r;
}

/* What the guests were called when the snapshot was taken. */
static struct json_object *old_identity(const struct job *job, const struct fm_snapshot_id *id,
					struct json_object *manifest, struct fm_error *err)
{
	const struct fm_conf *conf = &job->agent->conf;
	struct json_object *identity = NULL;
	struct store_access access;

	if (store_access_job(&access, conf->store_dir, id->job, conf->key_file, false, err) == 0)
		identity = store_guest_open(&access, id, manifest, err);
	store_access_close(&access);
	return identity;
}

/* find_snapshot(), in StoreDir or behind it. */
static struct json_object *find_anywhere(const struct job *job, struct fm_snapshot_id *id_r, struct json_object *result,
					 struct fm_error *err)
{
	struct json_object *manifest = NULL;
	struct fetched fetched = { 0 };
	struct site site;

	if (site_init_conf(&site, &job->agent->conf, SITE_IMPATIENT, err) == 0)
		manifest = find_snapshot(job, &site, id_r, &fetched, err);
	if (manifest && json_object_object_get(json_object_object_get(manifest, "guest"), "token_sealed") &&
	    fetch_key(&site, id_r->job, &fetched, err)) {
		json_object_put(manifest);
		manifest = NULL;
	}
	if (manifest && fetched.files) {
		fm_json_set_string(result, "level", fetched_from(&site, &fetched));
		fm_json_set_int(result, "fetched_files", fetched.files);
	}
	site_dispose(&site);
	return manifest;
}

int plan_decide(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct job *job = arg;
	FM_AUTO_JSON struct json_object *manifest = NULL;
	struct json_object *identity;
	struct fm_snapshot_id id;
	struct fm_error why;
	char text[24];

	(void)blob;
	/* Before the script, which makes the job's folder, and its key: that they are there tells that StoreDir has not lost it. */
	if (check_number(job, err))
		return -1;
	manifest = find_anywhere(job, &id, result, err);
	if (!manifest && err->code != FM_OK)
		return -1;
	if (job->spec.script && keep_script(job, &why))
		fm_json_set_string(result, "script_error", why.text);
	if (manifest) {
		fm_snapshot_id_format(&id, text);
		if (check_fits(job, manifest, text, err))
			return -1;
		fm_json_set_string(result, "restore", text);
		identity = old_identity(job, &id, manifest, err);
	} else {
		json_object_object_add(result, "restore", NULL);
		identity = new_identity(job, err);
	}
	if (!identity)
		return -1;
	json_object_object_add(result, "identity", identity);
	if (manifest || job->spec.restart_count)
		json_object_object_add(result, "fence", fence_nodes(job, manifest));
	fm_json_set_string(result, "token", fm_json_string_or(identity, "token", ""));
	fm_json_set_int(result, "incarnation", job->spec.restart_count);
	fm_json_set_int(result, "members", job->spec.node_count);
	return 0;
}

/* ---- every member ------------------------------------------------------- */

static struct json_object *vifs_of(const struct job *job)
{
	struct json_object *vifs = json_object_new_array(), *vif = json_object_new_object();

	fm_json_set_string(vif, "mac", fm_json_string_or(job_identity_node(job), "mac", NULL));
	if (*job->agent->conf.guest_bridge)
		fm_json_set_string(vif, "bridge", job->agent->conf.guest_bridge);
	json_object_array_add(vifs, vif);
	return vifs;
}

/* HACKING "Runner params". */
static struct json_object *runner_params(const struct job *job, const char *home)
{
	struct json_object *o = json_object_new_object(), *gids = json_object_new_array();
	struct json_object *nodes = json_object_new_array(), *all = json_object_object_get(job->identity, "nodes");

	fm_json_set_int(o, "job", job->spec.job);
	fm_json_set_int(o, "rank", job->rank);
	fm_json_set_int(o, "uid", job->spec.uid);
	fm_json_set_int(o, "gid", job->spec.gid);
	for (size_t i = 0; i < job->spec.gid_count; i++)
		json_object_array_add(gids, json_object_new_int64(job->spec.gids[i]));
	json_object_object_add(o, "gids", gids);
	fm_json_set_string(o, "user", job->spec.user);
	fm_json_set_string(o, "home", home);
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *from = json_object_array_get_idx(all, i), *node = json_object_new_object();

		fm_json_set_string(node, "name", fm_json_string_or(from, "name", ""));
		fm_json_set_string(node, "ip", fm_json_string_or(from, "ip", ""));
		json_object_array_add(nodes, node);
	}
	json_object_object_add(o, "nodes", nodes);
	fm_json_set_string(o, "ip", fm_json_string_or(job_identity_node(job), "ip", ""));
	fm_json_set_int(o, "prefix", fm_json_int_or(job->identity, "prefix", 16));
	fm_json_set_int(o, "port", fm_json_int_or(job->identity, "port", 0));
	fm_json_set_string(o, "token", fm_json_string_or(job->identity, "token", ""));
	fm_json_set_int(o, "incarnation", job->incarnation);
	return o;
}

static void add_params(struct json_object *request, const struct job *job, const char *home)
{
	struct json_object *params = json_object_new_object();

	json_object_object_add(params, "params", runner_params(job, home));
	json_object_object_add(request, "params", params);
	json_object_object_add(request, "vifs", vifs_of(job));
}

static int pick_memory(const struct job *job, const struct fm_image *image, unsigned *mib_r, struct fm_error *err)
{
	unsigned mib = job->agent->conf.guest_memory_mib;

	if (!mib)
		mib = job->spec.memory_mib;
	if (!mib)
		mib = image->min_memory_mib;
	if (!mib)
		return fm_fail(err, FM_USAGE, "how much memory shall the VM have? Ask with --mem, or set GuestMemory");
	if (mib < image->min_memory_mib)
		return fm_fail(err, FM_INCOMPATIBLE, "image %s needs %u MiB of memory, the VM would have %u: ask for more with --mem",
			       image->name, image->min_memory_mib, mib);
	*mib_r = mib;
	return 0;
}

#define MIB_OF(bytes) ((int64_t)(((bytes) + ((uint64_t)1 << 20) - 1) >> 20))

/* Worth an error before anything is begun: what cannot be copied at the cut, a job may not have. */
static int check_disk(const struct fm_conf *conf, const struct fm_image_disk *disk, uint64_t *size_r, struct fm_error *err)
{
	if (!*conf->disks)
		return fm_fail(err, FM_INCOMPATIBLE,
			       "disk %s is writable, and node %s has no place for members' disks that could copy it at the instant of a "
			       "snapshot: set Disks= in fermata.conf", disk->vdev, conf->node_name);
	if (!disk_vdev_valid(disk->vdev))
		return fm_fail(err, FM_USAGE, "disk \"%.32s\" is writable, and that is no name for one: say xvdb", disk->vdev);
	return disk_size_of(disk->path, size_r, err);
}

static int add_disks(struct json_object *request, struct json_object *result, const struct fm_conf *conf,
		     const struct fm_image *image, struct fm_error *err)
{
	struct json_object *disks = json_object_new_array();
	int64_t mib = 0;

	json_object_object_add(request, "disks", disks);
	for (size_t i = 0; i < image->disk_count; i++) {
		struct json_object *disk = json_object_new_object();
		uint64_t size = 0;

		if (!image->disks[i].readonly && check_disk(conf, &image->disks[i], &size, err) < 0) {
			json_object_put(disk);
			return fm_context(err, "image %s", image->name);
		}
		mib += MIB_OF(size);
		fm_json_set_string(disk, "path", image->disks[i].path);
		fm_json_set_string(disk, "vdev", image->disks[i].vdev);
		fm_json_set_bool(disk, "readonly", image->disks[i].readonly);
		json_object_array_add(disks, disk);
	}
	fm_json_set_int(result, "disk_mib", mib);
	return 0;
}

static int create_request(const struct job *job, struct json_object *request, struct json_object *result,
			  struct fm_error *err)
{
	const struct fm_conf *conf = &job->agent->conf;
	const char *name = *job->spec.image ? job->spec.image : conf->default_image;
	struct fm_image image = { 0 };
	unsigned mib = 0;
	int r = fm_image_load(&image, conf, name, err);

	if (r == 0)
		r = pick_memory(job, &image, &mib, err);
	if (r == 0) {
		fm_json_set_string(request, "op", "create");
		fm_json_set_string(request, "type", image.type);
		fm_json_set_string(request, "kernel", image.kernel);
		fm_json_set_string(request, "initramfs", image.initramfs);
		fm_json_set_string(request, "cmdline", image.cmdline);
		fm_json_set_int(request, "memory_mib", mib);
		fm_json_set_int(request, "vcpus", job->spec.vcpus);
		r = add_disks(request, result, conf, &image, err);
		fm_json_set_string(result, "image", name);
		fm_json_set_string(result, "type", image.type);
		fm_json_set_int(result, "memory_mib", mib);
		fm_json_set_int(result, "vcpus", job->spec.vcpus);
	}
	fm_image_dispose(&image);
	return r;
}

static int read_held_once(const struct job *job, const char *dir, const struct store_file *held, struct task_blob *blob,
			  struct fm_error *err)
{
	const struct fm_conf *conf = &job->agent->conf;
	struct store_access access;
	int r = store_access_job(&access, conf->store_dir, job->restored_from.job, conf->key_file, false, err);

	if (r == 0)
		r = store_sealed_read(&access, dir, held, HELD_MAX, &blob->data, &blob->size, err);
	store_access_close(&access);
	return r;
}

/* Where they are damaged, or the job's key is missing: from the nearest level that has them. */
static int read_held(const struct job *job, const char *dir, const struct store_file *held, struct task_blob *blob,
		     struct fm_error *err)
{
	struct fetched fetched = { 0 };
	struct fm_error why;
	struct site site;
	int r = read_held_once(job, dir, held, blob, err);

	if (r == 0 || (err->code != FM_CORRUPT && err->code != FM_DENIED) || !job->agent->conf.levels)
		return r;
	r = site_init_conf(&site, &job->agent->conf, SITE_IMPATIENT, &why);
	if (r == 0)
		r = fetch_held(&site, &job->restored_from, held, &fetched, &why);
	site_dispose(&site);
	if (r < 0)
		return fm_fail(err, err->code, "%.380s; %.380s", err->text, why.text);
	return fetched.files ? read_held_once(job, dir, held, blob, err) : -1;
}

/* Where the content of its disks is: they are made anew. */
static int add_saved_disks(struct json_object *request, struct json_object *result, const struct job *job,
			   struct json_object *manifest, const char *dir, struct fm_error *err)
{
	const struct fm_conf *conf = &job->agent->conf;
	struct json_object *disks = json_object_new_array();
	struct store_disk disk;
	int64_t mib = 0;

	json_object_object_add(request, "disks", disks);
	for (size_t i = 0; store_manifest_disk(manifest, job->rank, i, &disk); i++) {
		FM_AUTO_FREE char *path = fm_format("%s/%s", dir, disk.map.name);
		struct json_object *o = json_object_new_object();

		json_object_array_add(disks, o);
		fm_json_set_string(o, "vdev", disk.vdev);
		fm_json_set_string(o, "map", path);
		fm_json_set_string(o, "sha256", disk.map.sha256);
		fm_json_set_int(o, "raw_bytes", (int64_t)disk.map.raw_bytes);
		fm_json_set_int(o, "size", (int64_t)disk.size);
		mib += MIB_OF(disk.size);
		if (!path)
			return fm_fail(err, FM_FAILED, "out of memory");
	}
	if (mib && !*conf->disks)
		return fm_fail(err, FM_INCOMPATIBLE, "the snapshot has disks, and node %s has no place for them: set Disks= in "
			       "fermata.conf", conf->node_name);
	fm_json_set_int(result, "disk_mib", mib);
	return 0;
}

/* What neither a node nor StoreDir has, from a level behind it into StoreDir. */
static int fetch_to_store(const struct job *job, struct fm_error *err)
{
	struct fetched fetched = { 0 };
	struct fm_error why;
	struct site site;
	int r = -1;

	if (err->code != FM_CORRUPT || !job->agent->conf.levels)
		return -1;
	fm_warning("%s: looking for it on other levels", err->text);
	if (site_init_conf(&site, &job->agent->conf, SITE_IMPATIENT, &why) == 0)
		r = fetch_member(&site, &job->restored_from, job->rank, &fetched, &why);
	site_dispose(&site);
	return r < 0 ? fm_fail(err, err->code, "%.380s; %.380s", err->text, why.text) : 0;
}

static int obtain_maps(const struct job *job, struct json_object *manifest, const char *dir, struct obtained *got_r,
		       struct fm_error *err)
{
	struct store_file file;
	bool pages;

	*got_r = (struct obtained){ 0 };
	for (size_t i = 0; store_manifest_file(manifest, job->rank, i, &file, &pages); i++) {
		FM_AUTO_FREE char *path = pages ? fm_format("%s/%s", dir, file.name) : NULL;

		if (!pages)
			continue;
		if (!path)
			return fm_fail(err, FM_FAILED, "out of memory");
		if (local_obtain(&job->agent->conf, &job->restored_from, path, file.sha256, got_r, err))
			return -1;
	}
	return 0;
}

/* Its packs to this node, from wherever they are. */
static int obtain(const struct job *job, struct json_object *manifest, const char *dir, struct json_object *request,
		  struct json_object *result, struct fm_error *err)
{
	const struct fm_conf *conf = &job->agent->conf;
	FM_AUTO_FREE char *local = local_job(conf, job->restored_from.job);
	struct json_object *o;
	struct obtained got;

	if (!*conf->local_dir)
		return 0;
	if (obtain_maps(job, manifest, dir, &got, err) &&
	    (fetch_to_store(job, err) || obtain_maps(job, manifest, dir, &got, err)))
		return fm_context(err, "member %u cannot be restored", job->rank);
	o = json_object_new_object();
	fm_json_set_string(o, "level", got.level);
	fm_json_set_int(o, "local", (int64_t)got.local);
	fm_json_set_int(o, "shared", (int64_t)got.shared);
	fm_json_set_int(o, "fetched", (int64_t)got.fetched);
	fm_json_set_int(o, "rebuilt", (int64_t)got.rebuilt);
	fm_json_set_int(o, "bytes", (int64_t)got.bytes);
	fm_json_set_string(o, "from", *got.from ? got.from : NULL);
	json_object_object_add(result, "obtained", o);
	fm_json_set_string(request, "local", local);
	return 0;
}

static int restore_request(const struct job *job, struct json_object *request, struct json_object *result,
			   struct task_blob *blob, struct fm_error *err)
{
	const char *store = job->agent->conf.store_dir;
	struct fm_snapshot_id id = job->restored_from;
	FM_AUTO_JSON struct json_object *manifest = store_manifest(store, &id, err);
	FM_AUTO_FREE char *dir = store_snapshot_dir(store, &id);
	FM_AUTO_FREE char *folder = fm_format("%s/%u", store, id.job);
	FM_AUTO_FREE char *path = NULL;
	struct json_object *from, *member;
	struct store_file map, held;

	if (!manifest || store_manifest_member(manifest, job->rank, &map, &held, err))
		return -1;
	if (!dir || !folder || !(path = fm_format("%s/%s", dir, map.name)))
		return fm_fail(err, FM_FAILED, "out of memory");
	if (*held.name && read_held(job, dir, &held, blob, err))
		return -1;
	if (obtain(job, manifest, dir, request, result, err))
		return -1;
	from = json_object_object_get(manifest, "job");
	member = json_object_array_get_idx(json_object_object_get(manifest, "members"), job->rank);
	fm_json_set_string(request, "op", "restore");
	fm_json_set_string(request, "map", path);
	fm_json_set_string(request, "folder", folder);
	if (*job->agent->conf.key_file)
		fm_json_set_string(request, "key_file", job->agent->conf.key_file);
	fm_json_set_int(request, "job", id.job);
	fm_json_set_string(request, "sha256", map.sha256);
	fm_json_set_int(request, "raw_bytes", (int64_t)map.raw_bytes);
	if (job->agent->conf.levels)
		json_object_object_add(request, "levels", copier_levels(&job->agent->conf));
	if (add_saved_disks(request, result, job, manifest, dir, err) < 0)
		return -1;
	fm_json_set_string(result, "image", fm_json_string_or(from, "image", ""));
	fm_json_set_string(result, "type", fm_json_string_or(member, "type", "pvh"));
	fm_json_set_int(result, "memory_mib", fm_json_int_or(from, "memory_mib", 0));
	fm_json_set_int(result, "vcpus", fm_json_int_or(from, "vcpus", 1));
	return 0;
}

int plan_member(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct job *job = arg;
	struct json_object *request = json_object_new_object();
	struct passwd *pw = getpwuid(job->spec.uid);
	const char *home = pw && pw->pw_dir && *pw->pw_dir ? pw->pw_dir : "/";

	json_object_object_add(result, "request", request);
	fm_json_set_string(result, "home", home);
	fm_json_set_string(request, "name", job->domain);
	fm_json_set_string(request, "rundir", job->agent->conf.run_dir);
	add_params(request, job, home);
	return job->restored_from.job ? restore_request(job, request, result, blob, err) :
					create_request(job, request, result, err);
}
