/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim_state.c - the simulated domains' files, see sim.h. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/hypervisor/sim.h"
#include "agent/hypervisor/sim_guest.h"
#include "common/cleanup.h"
#include "common/io.h"

#define STATE_MAX ((size_t)1 << 20)

static char *state_path(struct hypervisor *hv, const char *name, const char *suffix)
{
	return fm_format("%s/%s.%s", hv->dir, name, suffix);
}

void sim_dispose(struct sim_domain *d)
{
	json_object_put(d->vifs);
	json_object_put(d->params);
	json_object_put(d->memory);
	json_object_put(d->disks);
	d->vifs = d->params = d->memory = d->disks = NULL;
}

struct json_object *sim_to_json(const struct sim_domain *d)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	fm_json_set_string(o, "name", d->info.name);
	fm_json_set_int(o, "domid", d->info.domid);
	fm_json_set_string(o, "state", domain_state_name(d->info.state));
	fm_json_set_int(o, "memory_kib", (int64_t)d->memory_kib);
	fm_json_set_int(o, "seed", (int64_t)d->seed);
	if (d->alike)
		fm_json_set_int(o, "alike", (int64_t)d->alike);
	fm_json_set_int(o, "ran_ns", d->ran_ns);
	fm_json_set_int(o, "since_ns", d->since_ns);
	fm_json_set_bool(o, "frozen", d->frozen);
	json_object_object_add(o, "vifs", json_object_get(d->vifs));
	json_object_object_add(o, "params", json_object_get(d->params));
	if (d->disks)
		json_object_object_add(o, "disks", json_object_get(d->disks));
	if (d->guest)
		fm_json_set_bool(o, "guest", true);
	return o;
}

static int parse_state(const char *text, enum domain_state *state_r)
{
	for (int s = DOMAIN_RUNNING; s <= DOMAIN_DYING; s++)
		if (strcmp(domain_state_name((enum domain_state)s), text) == 0) {
			*state_r = (enum domain_state)s;
			return 0;
		}
	return -1;
}

/* The ports are named after the number, as a hypervisor would; "sim", since there is no vif. */
static void name_ports(struct sim_domain *d)
{
	d->info.vif_count = d->vifs ? (unsigned)json_object_array_length(d->vifs) : 0;
	for (unsigned i = 0; i < d->info.vif_count && i < DOMAIN_VIFS_MAX; i++)
		snprintf(d->info.vifs[i], sizeof(d->info.vifs[i]), "sim%" PRIu32 ".%u", d->info.domid, i);
}

int sim_from_json(struct sim_domain *d, struct json_object *o, struct fm_error *err)
{
	const char *name, *state;
	int64_t domid, memory_kib, seed;
	struct json_object *vifs;

	*d = (struct sim_domain){ 0 };
	if (fm_json_string(o, "name", &name, err) < 0 || fm_json_string(o, "state", &state, err) < 0 ||
	    fm_json_int(o, "domid", 1, UINT32_MAX, &domid, err) < 0 ||
	    fm_json_int(o, "memory_kib", 0, INT64_MAX >> 10, &memory_kib, err) < 0 ||
	    fm_json_int(o, "seed", INT64_MIN, INT64_MAX, &seed, err) < 0 ||
	    fm_json_int(o, "ran_ns", 0, INT64_MAX, &d->ran_ns, err) < 0 ||
	    fm_json_int(o, "since_ns", 0, INT64_MAX, &d->since_ns, err) < 0 ||
	    fm_json_array(o, "vifs", DOMAIN_VIFS_MAX, &vifs, err) < 0)
		return -1;
	if (parse_state(state, &d->info.state) < 0 || !domain_name_valid(name))
		return fm_fail(err, FM_CORRUPT, "bad name or state");
	snprintf(d->info.name, sizeof(d->info.name), "%s", name);
	d->info.domid = (uint32_t)domid;
	d->memory_kib = (uint64_t)memory_kib;
	d->seed = (uint64_t)seed;
	d->alike = (uint64_t)fm_json_int_or(o, "alike", 0);
	d->frozen = fm_json_bool_or(o, "frozen", false);
	d->vifs = json_object_get(vifs);
	d->params = json_object_get(json_object_object_get(o, "params"));
	d->disks = json_object_get(json_object_object_get(o, "disks"));
	if (d->disks && !json_object_is_type(d->disks, json_type_array))
		return fm_fail(err, FM_CORRUPT, "bad disks");
	d->guest = fm_json_bool_or(o, "guest", false);
	name_ports(d);
	return 0;
}

/* A test has killed it? Dead is final, whatever the state file says. */
static int look_for_death(struct hypervisor *hv, struct sim_domain *d, struct fm_error *err)
{
	FM_AUTO_FREE char *path = state_path(hv, d->info.name, "death");
	FM_AUTO_FREE char *text = path ? fm_file_read(path, 64, NULL, err) : NULL;

	if (!text)
		return path && err->code == FM_NOT_FOUND ? 0 : -1;
	text[strcspn(text, "\n")] = '\0';
	for (int death = DEATH_POWEROFF; death < DEATH_GONE; death++)
		if (strcmp(domain_death_name((enum domain_death)death), text) == 0) {
			d->info.state = DOMAIN_DEAD;
			d->info.death = (enum domain_death)death;
			return 0;
		}
	return fm_fail(err, FM_USAGE, "%s: \"%.32s\" is no way to die", path, text);
}

int sim_load(struct hypervisor *hv, const char *name, struct sim_domain *d, struct fm_error *err)
{
	FM_AUTO_FREE char *path = state_path(hv, name, "json");
	FM_AUTO_FREE char *text = NULL;
	FM_AUTO_JSON struct json_object *o = NULL;
	size_t size;

	*d = (struct sim_domain){ 0 };
	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	text = fm_file_read(path, STATE_MAX, &size, err);
	if (!text)
		return err->code == FM_NOT_FOUND ? fm_fail(err, FM_NOT_FOUND, "there is no domain %s", name) : -1;
	o = fm_json_parse(text, size, err);
	if (!o || sim_from_json(d, o, err) < 0)
		return fm_context(err, "%s", path);
	return look_for_death(hv, d, err);
}

int sim_store(struct hypervisor *hv, const struct sim_domain *d, struct fm_error *err)
{
	FM_AUTO_FREE char *path = state_path(hv, d->info.name, "json");
	FM_AUTO_JSON struct json_object *o = sim_to_json(d);
	const char *text = o ? fm_json_text(o) : NULL;

	if (!path || !text)
		return fm_fail(err, FM_FAILED, "out of memory");
	return fm_file_write(path, 0600, text, strlen(text), err);
}

static void end_guest(struct hypervisor *hv, const char *name)
{
	struct sim_domain d;
	struct fm_error ignored;

	if (sim_load(hv, name, &d, &ignored) == 0 && d.guest)
		sim_guest_end(hv, &d);
	sim_dispose(&d);
}

int sim_remove(struct hypervisor *hv, const char *name, struct fm_error *err)
{
	FM_AUTO_FREE char *death = state_path(hv, name, "death");
	FM_AUTO_FREE char *pages = state_path(hv, name, "pages");
	FM_AUTO_FREE char *path = state_path(hv, name, "json");

	if (!path || !death || !pages)
		return fm_fail(err, FM_FAILED, "out of memory");
	end_guest(hv, name);
	if (unlink(path) < 0)
		return errno == ENOENT ? 0 : fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	unlink(death);
	unlink(pages);
	return 1;
}

int sim_new_domid(struct hypervisor *hv, uint32_t *domid_r, struct fm_error *err)
{
	FM_AUTO_CLOSE int lock = domain_lock(hv->dir, "next-domid", 10000, err);
	FM_AUTO_FREE char *path = fm_format("%s/next-domid", hv->dir);
	FM_AUTO_FREE char *text = NULL;
	char next[16];

	if (lock < 0)
		return -1;
	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	text = fm_file_read(path, sizeof(next), NULL, err);
	if (!text && err->code != FM_NOT_FOUND)
		return -1;
	*domid_r = text ? (uint32_t)strtoul(text, NULL, 10) : 1;
	snprintf(next, sizeof(next), "%" PRIu32, *domid_r + 1);
	return fm_file_write(path, 0600, next, strlen(next), err);
}

static int turn_guest(struct hypervisor *hv, struct sim_domain *d, enum domain_state state, struct fm_error *err)
{
	if (state == DOMAIN_RUNNING)
		return sim_guest_order(hv, d->info.name, "run", NULL, err);
	json_object_put(d->memory);
	d->memory = NULL;
	return sim_guest_order(hv, d->info.name, "stop", &d->memory, err);
}

int sim_turn(struct hypervisor *hv, struct sim_domain *d, enum domain_state state, struct fm_error *err)
{
	int64_t now;

	if (d->guest && turn_guest(hv, d, state, err) < 0)
		return -1;
	now = hypervisor_now_ns();
	if (d->info.state == DOMAIN_RUNNING && now > d->since_ns)
		d->ran_ns += now - d->since_ns;
	d->info.state = state;
	d->since_ns = now;
	return sim_store(hv, d, err);
}

static size_t disk_count(const struct sim_domain *d)
{
	return d->disks ? json_object_array_length(d->disks) : 0;
}

const char *sim_disk(const struct sim_domain *d, size_t i)
{
	const char *vdev = i < disk_count(d) ? json_object_get_string(json_object_array_get_idx(d->disks, i)) : NULL;

	return vdev;
}

void sim_set_disks(struct sim_domain *d, const struct domain_spec *spec)
{
	for (unsigned i = 0; i < spec->disk_count; i++) {
		if (spec->disks[i].readonly)
			continue;
		if (!d->disks)
			d->disks = json_object_new_array();
		json_object_array_add(d->disks, json_object_new_string(spec->disks[i].vdev));
	}
}

int sim_check_disks(const struct sim_domain *d, const struct domain_spec *spec, struct fm_error *err)
{
	const char *vdev;

	for (size_t i = 0; (vdev = sim_disk(d, i)); i++) {
		bool found = false;

		for (unsigned k = 0; k < spec->disk_count; k++)
			found = found || strcmp(spec->disks[k].vdev, vdev) == 0;
		if (!found)
			return fm_fail(err, FM_INCOMPATIBLE,
				       "the saved domain can write to its disk %s, and the snapshot has not its content", vdev);
	}
	if (spec->disk_count == disk_count(d))
		return 0;
	return fm_fail(err, FM_INCOMPATIBLE, "the saved domain has %zu writable disks, the snapshot %u", disk_count(d),
		       spec->disk_count);
}

int sim_set_devices(struct sim_domain *d, const struct domain_spec *spec, struct fm_error *err)
{
	struct json_object *vifs = json_object_new_array(), *params = json_object_new_object();

	for (unsigned i = 0; vifs && i < spec->vif_count; i++) {
		struct json_object *vif = json_object_new_object();

		fm_json_set_string(vif, "mac", spec->vifs[i].mac);
		fm_json_set_string(vif, "bridge", spec->vifs[i].bridge);
		json_object_array_add(vifs, vif);
	}
	for (unsigned i = 0; params && i < spec->param_count; i++)
		fm_json_set_string(params, spec->params[i].key, spec->params[i].value);
	json_object_put(d->params);
	d->params = params;
	if (spec->vif_count || !d->vifs) { /* a restore keeps what the stream says unless told */
		json_object_put(d->vifs);
		d->vifs = vifs;
	} else {
		json_object_put(vifs);
	}
	name_ports(d);
	return d->params && d->vifs ? 0 : fm_fail(err, FM_FAILED, "out of memory");
}
