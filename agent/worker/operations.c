/* SPDX-License-Identifier: GPL-2.0-or-later */
/* operations.c - the short operations; save.c and restore.c have the long ones. */
#include "config.h"

#include "agent/worker/operations.h"

#include "common/log.h"

static struct json_object *vif_names(const struct domain_info *info)
{
	struct json_object *vifs = json_object_new_array();

	for (unsigned i = 0; vifs && i < info->vif_count; i++)
		json_object_array_add(vifs, json_object_new_string(info->vifs[i]));
	return vifs;
}

static void undo_new(struct worker *w, const char *why)
{
	struct fm_error err;
	bool existed;

	if (w->ops->destroy(w->hv, w->request->domain.name, &existed, &err) < 0)
		fm_err("domain=%s left behind (%s): %s", w->request->domain.name, why, err.text);
	else
		worker_disks_remove(w->disks);
}

/* One order, the one that is awaited: 0; anything else undoes the domain: 1 as told, -1. */
static int await_order(struct worker *w, enum command wanted,
		       int (*obey)(struct hypervisor *hv, const char *name, struct fm_error *err), struct fm_error *err)
{
	const char *name = w->request->domain.name;
	enum command command = control_wait(w->control, -1, -1);

	if (command == wanted && obey(w->hv, name, err) == 0)
		return 0;
	undo_new(w, "told to undo");
	if (command == wanted)
		return fm_context(err, "cannot %s domain %s", wanted == COMMAND_THAW ? "thaw" : "start", name);
	if (command == COMMAND_ABORT) {
		control_event(w->control, "aborted", NULL);
		return 1;
	}
	return fm_fail(err, command == COMMAND_END ? FM_FAILED : FM_USAGE, "domain %s removed: %s", name,
		       command == COMMAND_END || command == COMMAND_BAD ? w->control->why : "a command out of turn");
}

int operation_hold_new(struct worker *w, const char *event, const struct domain_info *info, struct json_object *restored,
		       struct fm_error *err)
{
	struct json_object *fields = restored ? restored : json_object_new_object();
	int r;

	if (fields) {
		fm_json_set_int(fields, "domid", info->domid);
		json_object_object_add(fields, "vifs", vif_names(info));
	}
	control_event(w->control, event, fields);
	r = await_order(w, COMMAND_RELEASE, w->ops->release, err);
	if (r == 0)
		control_event(w->control, "running", NULL);
	if (r != 0 || !restored)
		return r < 0 ? -1 : 0;
	r = await_order(w, COMMAND_THAW, w->ops->thaw, err);
	if (r == 0)
		control_event(w->control, "thawed", NULL);
	return r < 0 ? -1 : 0;
}

static int create(struct worker *w, struct fm_error *err)
{
	struct domain_spec spec = w->request->domain;
	struct domain_info info;
	int rc = worker_disks_create(w->disks, &spec, err);

	if (rc == 0 && (rc = w->ops->create(w->hv, &spec, &info, err)) < 0 && worker_disks_count(w->disks) > 0)
		worker_disks_remove(w->disks);
	if (rc < 0)
		return fm_context(err, "cannot create domain %s", w->request->domain.name);
	return operation_hold_new(w, "created", &info, NULL, err);
}

static int destroy(struct worker *w, struct fm_error *err)
{
	struct json_object *fields;
	bool existed;

	if (w->ops->destroy(w->hv, w->request->domain.name, &existed, err) < 0)
		return fm_context(err, "cannot destroy domain %s", w->request->domain.name);
	worker_disks_remove(w->disks);
	fields = json_object_new_object();
	if (fields)
		fm_json_set_bool(fields, "existed", existed);
	control_event(w->control, "destroyed", fields);
	return 0;
}

static int resume(struct worker *w, struct fm_error *err)
{
	struct json_object *fields;
	bool was_suspended;

	if (w->ops->resume(w->hv, w->request->domain.name, &was_suspended, err) < 0)
		return fm_context(err, "cannot resume domain %s", w->request->domain.name);
	worker_disks_drop_cuts(w->disks);
	fields = json_object_new_object();
	if (fields)
		fm_json_set_bool(fields, "was_suspended", was_suspended);
	control_event(w->control, "resumed", fields);
	return 0;
}

static int sweep_disks(struct worker *w, struct fm_error *err)
{
	struct json_object *fields;
	unsigned removed;

	if (worker_disks_sweep(w->disks, &removed, err) < 0)
		return fm_context(err, "cannot clear up the members' disks");
	fields = json_object_new_object();
	if (fields)
		fm_json_set_int(fields, "removed", removed);
	control_event(w->control, "swept", fields);
	return 0;
}

static void list_each(const struct domain_info *info, void *data)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return;
	fm_json_set_string(o, "name", info->name);
	fm_json_set_int(o, "domid", info->domid);
	fm_json_set_string(o, "state", domain_state_name(info->state));
	if (info->state == DOMAIN_DEAD)
		fm_json_set_string(o, "reason", domain_death_name(info->death));
	json_object_object_add(o, "vifs", vif_names(info));
	json_object_array_add(data, o);
}

static int list(struct worker *w, struct fm_error *err)
{
	struct json_object *fields = json_object_new_object(), *domains = json_object_new_array();

	if (!fields || !domains || w->ops->list(w->hv, list_each, domains, err) < 0) {
		if (!fields || !domains)
			fm_fail(err, FM_FAILED, "out of memory");
		json_object_put(fields);
		json_object_put(domains);
		return fm_context(err, "cannot list the domains");
	}
	json_object_object_add(fields, "domains", domains);
	control_event(w->control, "domains", fields);
	return 0;
}

static void died(const char *name, uint32_t domid, enum domain_death death, void *data)
{
	struct worker *w = data;
	struct json_object *fields = json_object_new_object();

	if (fields) {
		fm_json_set_string(fields, "name", name);
		fm_json_set_int(fields, "domid", domid);
		fm_json_set_string(fields, "reason", domain_death_name(death));
	}
	control_event(w->control, "died", fields);
}

static int watch(struct worker *w, struct fm_error *err)
{
	if (w->ops->watch(w->hv, control_fd(w->control), died, w, err) < 0)
		return fm_context(err, "cannot watch the domains");
	return 0;
}

static int run(struct worker *w, struct fm_error *err)
{
	switch (w->request->op) {
	case OP_CREATE:
		return create(w, err);
	case OP_SAVE:
		return operation_save(w, err);
	case OP_RESTORE:
		return operation_restore(w, err);
	case OP_DESTROY:
		return destroy(w, err);
	case OP_RESUME:
		return resume(w, err);
	case OP_LIST:
		return list(w, err);
	case OP_WATCH:
		return watch(w, err);
	case OP_COPY:
		return operation_copy(w->control, w->request, err);
	case OP_SWEEP_DISKS:
		return sweep_disks(w, err);
	}
	return fm_fail(err, FM_USAGE, "unknown operation");
}

int worker_run(struct worker *w, struct fm_error *err)
{
	int rc;

	w->disks = worker_disks_new(w);
	if (!w->disks)
		return fm_fail(err, FM_FAILED, "out of memory");
	rc = run(w, err);
	worker_disks_free(w->disks);
	return rc;
}
