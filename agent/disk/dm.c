/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dm.c - see dm.h. One thread: the error that libdevmapper has found last is kept in a static buffer. */
#include "config.h"

#include "agent/disk/dm.h"

#include <errno.h>
#include <inttypes.h>
#include <libdevmapper.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define UDEV_FLAGS                                                                                                         \
	(DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG | DM_UDEV_DISABLE_DISK_RULES_FLAG | DM_UDEV_DISABLE_OTHER_RULES_FLAG)

static char said[256];
static uint32_t cookie; /* 0: udev has nothing to do for us */

static void on_log(int level, const char *file, int line, int code, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
static void on_log(int level, const char *file, int line, int code, const char *fmt, ...)
{
	va_list ap;

	if ((level & 7) > 3) /* as syslog's: more than an error */
		return;
	va_start(ap, fmt);
	vsnprintf(said, sizeof(said), fmt, ap);
	va_end(ap);
}

int dm_begin(struct fm_error *err)
{
	char version[32];

	dm_log_with_errno_init(on_log);
	said[0] = '\0';
	if (dm_driver_version(version, sizeof(version)))
		return 0;
	return fm_fail(err, FM_INCOMPATIBLE, "this kernel has no device-mapper: %s", said);
}

static void task_free(struct dm_task **task)
{
	if (*task)
		dm_task_destroy(*task);
}
#define AUTO_TASK __attribute__((cleanup(task_free)))

static struct dm_task *task_new(int type, const char *name)
{
	struct dm_task *task = dm_task_create(type);

	said[0] = '\0';
	if (task && name && !dm_task_set_name(task, name)) {
		dm_task_destroy(task);
		return NULL;
	}
	return task;
}

static int fail(struct dm_task *task, const char *what, const char *name, struct fm_error *err)
{
	int why = task ? dm_task_get_errno(task) : ENOMEM;
	enum fm_code code = why == EEXIST || why == EBUSY     ? FM_BUSY :
			    why == ENODATA || why == ENXIO ? FM_NOT_FOUND :
								     FM_FAILED;

	return fm_fail(err, code, "device-mapper cannot %s %s: %s", what, name, *said ? said : strerror(why));
}

static int run(struct dm_task *task, const char *what, const char *name, struct fm_error *err)
{
	return task && dm_task_run(task) ? 0 : fail(task, what, name, err);
}

int dm_look(const char *name, bool status, struct dm_target *target_r, struct fm_error *err)
{
	AUTO_TASK struct dm_task *task = task_new(status ? DM_DEVICE_STATUS : DM_DEVICE_TABLE, name);
	char *type = NULL, *params = NULL;
	uint64_t start, length = 0;
	struct dm_info info;

	if (task)
		dm_task_no_open_count(task);
	if (run(task, "look at", name, err) < 0)
		return -1;
	if (!dm_task_get_info(task, &info) || !info.exists)
		return fm_fail(err, FM_NOT_FOUND, "there is no device %s", name);
	if (dm_get_next_target(task, NULL, &start, &length, &type, &params) || !type || !params)
		return fm_fail(err, FM_INCOMPATIBLE, "device %s is not of one target", name);
	*target_r = (struct dm_target){ .sectors = length, .major = info.major, .minor = info.minor,
					 .suspended = info.suspended };
	snprintf(target_r->type, sizeof(target_r->type), "%s", type);
	snprintf(target_r->params, sizeof(target_r->params), "%s", params);
	snprintf(target_r->uuid, sizeof(target_r->uuid), "%s", dm_task_get_uuid(task) ? dm_task_get_uuid(task) : "");
	return 0;
}

int dm_message(const char *name, struct fm_error *err, const char *fmt, ...)
{
	AUTO_TASK struct dm_task *task = task_new(DM_DEVICE_TARGET_MSG, name);
	char text[80];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!task || !dm_task_set_sector(task, 0) || !dm_task_set_message(task, text))
		return fail(NULL, text, name, err);
	return run(task, text, name, err);
}

static int run_with_udev(struct dm_task *task, const char *what, const char *name, struct fm_error *err)
{
	if (task && !dm_task_set_cookie(task, &cookie, UDEV_FLAGS))
		return fail(task, what, name, err);
	return run(task, what, name, err);
}

int dm_make(const char *name, uint64_t sectors, const char *type, const char *params, bool readonly, struct fm_error *err)
{
	AUTO_TASK struct dm_task *task = task_new(DM_DEVICE_CREATE, name);
	int rc;

	if (!task || !dm_task_add_target(task, 0, sectors, type, params) || (readonly && !dm_task_set_ro(task)))
		return fail(NULL, "make", name, err);
	rc = run_with_udev(task, "make", name, err);
	dm_settle();
	return rc;
}

int dm_suspend(const char *name, struct fm_error *err)
{
	AUTO_TASK struct dm_task *task = task_new(DM_DEVICE_SUSPEND, name);

	if (task)
		dm_task_skip_lockfs(task); /* no file system of this host is on it */
	return run(task, "suspend", name, err);
}

int dm_resume(const char *name, struct fm_error *err)
{
	AUTO_TASK struct dm_task *task = task_new(DM_DEVICE_RESUME, name);

	return run_with_udev(task, "resume", name, err);
}

int dm_unmake(const char *name, struct fm_error *err)
{
	AUTO_TASK struct dm_task *task = task_new(DM_DEVICE_REMOVE, name);
	int rc = run_with_udev(task, "remove", name, err);

	dm_settle();
	return rc;
}

void dm_settle(void)
{
	if (cookie)
		dm_udev_wait(cookie);
	cookie = 0;
	dm_task_update_nodes(); /* where there is no udev */
}

int dm_each(dm_each_fn each, void *data, struct fm_error *err)
{
	AUTO_TASK struct dm_task *task = task_new(DM_DEVICE_LIST, NULL);
	struct dm_names *names;
	int rc = run(task, "list", "devices", err);

	names = rc == 0 ? dm_task_get_names(task) : NULL;
	if (!names || !names->dev)
		return rc;
	for (uint32_t next = 1; rc == 0 && next; names = (struct dm_names *)((char *)names + next)) {
		next = names->next;
		rc = each(names->name, data, err);
	}
	return rc;
}
