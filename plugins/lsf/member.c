/* SPDX-License-Identifier: GPL-2.0-or-later */
/* member.c - see member.h. */
#include "config.h"

#include "plugins/lsf/member.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/http.h"
#include "common/json.h"
#include "plugins/lsf/checkpoint.h"
#include "plugins/lsf/process.h"

#define AGENT_BACK_TRIES 25 /* an agent that is just being restarted: 5 s */
#define RETRY_NS 200000000L
#define DESTROY_MS 60000
#define SLACK_MS 30000 /* on top of the agent's own bound */
#define GROUPS_MAX 65536
#define NAME_MAX_ 255
#define STACK_SIZE (256u << 10)

/* ---- who and what -------------------------------------------------------------------------- */

static gid_t *groups_of(const char *user, gid_t gid, int *count_r)
{
	gid_t *gids = NULL;
	int count = 64;

	do {
		gid_t *more = realloc(gids, (size_t)count * sizeof *gids);

		if (!more) {
			free(gids);
			return NULL;
		}
		gids = more;
	} while (getgrouplist(user, gid, gids, &count) < 0 && count < GROUPS_MAX);
	*count_r = count < GROUPS_MAX ? count : 0;
	return gids;
}

static int find_user(struct lsf_member *m, struct fm_error *err)
{
	const char *name = getenv("LSFUSER");
	const struct passwd *pw;
	FM_AUTO_FREE gid_t *gids = NULL;
	int count;

	if (!name || !*name || strlen(name) >= sizeof m->user)
		return fm_fail(err, FM_USAGE, "LSFUSER does not say whose job this is: LSF runs this");
	pw = getpwnam(name);
	if (!pw)
		return fm_fail(err, FM_NOT_FOUND, "there is no user %.64s on this host", name);
	strcpy(m->user, name);
	m->uid = pw->pw_uid;
	m->gid = pw->pw_gid;
	if (getgid() == 0) /* nothing to compare with */
		return 0;
	gids = groups_of(name, pw->pw_gid, &count);
	for (int i = 0; gids && i < count; i++)
		if (gids[i] == getgid())
			return 0;
	return fm_fail(err, FM_DENIED, "LSFUSER says %s, who is not in the group %u of this process", name, (unsigned)getgid());
}

/* The directory is the user's, and may be on a file system where root is nobody. */
static void look_in_directory(struct lsf_member *m, const char *program)
{
	gid_t gid = getegid();

	if (setegid(m->gid) == 0 && seteuid(m->uid) == 0) {
		lsf_log_open(program, m->job.chkpnt_dir);
		m->starts = *m->job.chkpnt_dir ? lsf_starts_read(m->job.chkpnt_dir) : 0;
	}
	if (seteuid(0) || setegid(gid))
		abort(); /* as somebody else it must not go on */
}

int lsf_member_init(struct lsf_member *m, const char *program, const char *conf, struct fm_error *err)
{
	memset(m, 0, sizeof *m);
	lsf_log_open(program, ""); /* where it is, is not known yet */
	if (lsf_job_read(&m->job, err))
		return -1;
	if (geteuid() != 0)
		return fm_fail(err, FM_DENIED, "it must run as root: LSB_PRE_POST_EXEC_USER=root in /etc/lsf.sudoers");
	unsetenv(FM_CONF_PATH_ENV);
	if (fm_conf_load(&m->conf, conf, err) || find_user(m, err))
		return -1;
	look_in_directory(m, program);
	return lsf_hosts_read(&m->hosts, m->conf.node_name, err);
}

void lsf_member_dispose(struct lsf_member *m)
{
	fm_conf_dispose(&m->conf);
	lsf_hosts_dispose(&m->hosts);
}

/* ---- the spec (HACKING "Job spec") ----------------------------------------------------------- */

/* What comes from the user's environment; the agent checks it again. */
static void set_number(struct json_object *spec, const char *key, const char *variable, long otherwise)
{
	const char *text = getenv(variable);
	long value = otherwise;

	if (text && *text && lsf_number(text, 0, INT32_MAX, &value))
		value = otherwise;
	fm_json_set_int(spec, key, value);
}

/* A job's name is its command where it has none of its own: of that, the first line's beginning. */
static void set_name(struct json_object *spec)
{
	const char *from = getenv("LSB_JOBNAME");
	char name[NAME_MAX_ + 1];
	size_t n = 0;

	for (; from && from[n] && n < NAME_MAX_ && (unsigned char)from[n] >= ' ' && from[n] != 0x7f; n++)
		name[n] = from[n];
	name[n] = '\0';
	fm_json_set_string(spec, "name", name);
}

static struct json_object *spec_create(const struct lsf_member *m, size_t rank)
{
	struct json_object *spec = json_object_new_object(), *nodes = json_object_new_array(),
			   *groups = json_object_new_array();
	const char *image = getenv("FERMATA_IMAGE");
	FM_AUTO_FREE gid_t *gids = NULL;
	int count = 0;

	fm_json_set_string(spec, "scheduler", "lsf");
	fm_json_set_int(spec, "job", m->job.number);
	set_name(spec);
	fm_json_set_int(spec, "uid", m->uid);
	fm_json_set_int(spec, "gid", m->gid);
	fm_json_set_string(spec, "user", m->user);
	gids = groups_of(m->user, m->gid, &count);
	for (int i = 0; gids && i < count; i++)
		json_object_array_add(groups, json_object_new_int64(gids[i]));
	json_object_object_add(spec, "gids", groups);
	for (size_t i = 0; i < m->hosts.count; i++)
		json_object_array_add(nodes, json_object_new_string(m->hosts.names[i]));
	json_object_object_add(spec, "nodes", nodes);
	fm_json_set_string(spec, "image", image && *image ? image : m->conf.default_image);
	set_number(spec, "memory_mib", "FERMATA_MEMORY", m->conf.guest_memory_mib);
	fm_json_set_int(spec, "vcpus", m->hosts.slots[rank]);
	fm_json_set_int(spec, "restart_count", m->starts);
	fm_json_set_bool(spec, "deferred", m->job.restart);
	fm_json_set_int(spec, "interval_s", 0); /* LSF asks for them */
	set_number(spec, "keep", "FERMATA_KEEP", 0);
	return spec;
}

/* ---- one host ---------------------------------------------------------------------------------- */

struct host {
	const struct lsf_member *m;
	const char *node;         /* NULL: this one */
	struct json_object *spec; /* NULL: only destroy */
	pthread_t thread;
	bool started, no_agent;
	int result;
	struct fm_error err;
};

/* DELETE is never "not found" by an agent's own word: nobody is there. */
static int destroy(struct host *h, const char *path)
{
	const struct timespec pause = { 0, RETRY_NS };

	for (int i = 0;; i++) {
		if (!fm_http_call(&h->m->conf, h->node, "DELETE", path, NULL, DESTROY_MS, NULL, &h->err))
			return 0;
		if (h->err.code != FM_NOT_FOUND || i == AGENT_BACK_TRIES) {
			h->no_agent = h->err.code == FM_NOT_FOUND;
			return -1;
		}
		nanosleep(&pause, NULL);
	}
}

static void *host_run(void *arg)
{
	struct host *h = arg;
	char path[64];

	snprintf(path, sizeof path, "/v1/jobs/%" PRIu32 "/member", h->m->job.number);
	h->result = destroy(h, path);
	if (!h->result && h->spec)
		h->result = fm_http_call(&h->m->conf, h->node, "PUT", path, h->spec,
					 (long)h->m->conf.create_timeout_ms + SLACK_MS, NULL, &h->err);
	return NULL;
}

static int run_here(struct lsf_member *m, bool create, struct fm_error *err)
{
	long rank = lsf_hosts_rank(&m->hosts, m->conf.node_name);
	struct host h = { .m = m };

	if (rank < 0 && create)
		return fm_fail(err, FM_USAGE, "this host, %s, is none of the job's", m->conf.node_name);
	h.spec = create ? spec_create(m, (size_t)rank) : NULL;
	host_run(&h);
	if (h.spec)
		json_object_put(h.spec);
	m->no_agent = h.no_agent;
	if (h.result)
		*err = h.err;
	return h.result;
}

/* Who is the cause, where the others only say that the group was given up: an agent that is not there. */
static int collect(struct lsf_member *m, struct host *all, struct fm_error *err)
{
	int r = 0;

	for (size_t i = 0; i < m->hosts.count; i++) {
		struct host *h = &all[i];

		if (h->started)
			pthread_join(h->thread, NULL);
		if (h->spec)
			json_object_put(h->spec);
		if (!h->result || (r && !(h->no_agent && !m->no_agent)))
			continue;
		r = -1;
		*err = h->err;
		m->no_agent = h->no_agent;
	}
	free(all);
	return r;
}

static int run_everywhere(struct lsf_member *m, bool create, struct fm_error *err)
{
	struct host *all = calloc(m->hosts.count, sizeof *all);
	pthread_attr_t attr;

	if (!all)
		return fm_fail(err, FM_FAILED, "out of memory");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	for (size_t i = 0; i < m->hosts.count; i++) {
		const char *name = m->hosts.names[i];

		all[i] = (struct host){ .m = m, .node = strcmp(name, m->conf.node_name) ? name : NULL };
		all[i].spec = create ? spec_create(m, i) : NULL;
		all[i].started = !pthread_create(&all[i].thread, &attr, host_run, &all[i]);
		if (!all[i].started)
			all[i].result = fm_fail(&all[i].err, FM_FAILED, "%s: no thread to ask it", name);
	}
	pthread_attr_destroy(&attr);
	return collect(m, all, err);
}

int lsf_member_create(struct lsf_member *m, struct fm_error *err)
{
	return m->all_hosts ? run_everywhere(m, true, err) : run_here(m, true, err);
}

int lsf_member_destroy(struct lsf_member *m, struct fm_error *err)
{
	return m->all_hosts ? run_everywhere(m, false, err) : run_here(m, false, err);
}
