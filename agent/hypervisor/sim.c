/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim.c - the driver of simulated domains (sim.h says what they are not).  It
 * keeps to the same order of things as a real one, with a place for a fault
 * before each.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/hypervisor/deaths.h"
#include "agent/hypervisor/sim.h"
#include "agent/hypervisor/sim_guest.h"
#include "common/cleanup.h"
#include "common/io.h"

#define HOLD_MS 500
#define RESUME_WAIT_MS 30000
#define WATCH_MS 2000
#define WATCH_NICE 19

static void sim_close(struct hypervisor *hv)
{
	if (!hv)
		return;
	free(hv->dir);
	free(hv->rundir);
	free(hv);
}

static struct hypervisor *sim_open(const char *rundir, struct fm_error *err)
{
	struct hypervisor *hv = calloc(1, sizeof(*hv));

	if (hv) {
		hv->rundir = strdup(rundir);
		hv->dir = fm_format("%s/sim", rundir);
	}
	if (!hv || !hv->rundir || !hv->dir)
		fm_fail(err, FM_FAILED, "out of memory");
	else if (fm_mkdir_all(hv->dir, 0700, err) == 0)
		return hv;
	sim_close(hv);
	return NULL;
}

static bool exists(struct hypervisor *hv, const char *name)
{
	struct sim_domain d;
	struct fm_error err;
	bool found = sim_load(hv, name, &d, &err) == 0;

	sim_dispose(&d);
	return found;
}

/* The last steps of create and restore: a number, the devices, paused. */
static int settle(struct hypervisor *hv, struct sim_domain *d, const struct domain_spec *spec,
		  struct fm_error *err)
{
	snprintf(d->info.name, sizeof(d->info.name), "%s", spec->name);
	d->info.state = DOMAIN_PAUSED;
	d->since_ns = hypervisor_now_ns();
	if (sim_new_domid(hv, &d->info.domid, err) < 0 || sim_set_devices(d, spec, err) < 0)
		return -1;
	d->guest = sim_guest_wanted();
	return d->guest ? sim_guest_start(hv, d, err) : sim_store(hv, d, err);
}

static int sim_create(struct hypervisor *hv, const struct domain_spec *spec, struct domain_info *info_r,
		      struct fm_error *err)
{
	const char *memory_kib = getenv("FERMATA_SIM_MEMORY_KIB"), *alike = getenv("FERMATA_SIM_ALIKE");
	struct sim_domain d = { .memory_kib = (uint64_t)spec->memory_mib * 1024 };
	int r;

	if (memory_kib) /* so that a test's hundred members need no hundred gigabytes */
		d.memory_kib = strtoull(memory_kib, NULL, 10);
	if (alike)
		d.alike = d.memory_kib / 4 * strtoull(alike, NULL, 10) / 100;
	if (sim_inject(hv, spec->name, "create", err) < 0)
		return -1;
	if (exists(hv, spec->name))
		return fm_fail(err, FM_BUSY, "it exists already");
	d.seed = (uint64_t)hypervisor_now_ns() ^ (uint64_t)getpid() << 40;
	sim_set_disks(&d, spec);
	r = settle(hv, &d, spec, err);
	*info_r = d.info;
	sim_dispose(&d);
	return r;
}

static int sim_restore(struct hypervisor *hv, const struct domain_spec *spec, int fd,
		       struct domain_info *info_r, struct fm_error *err)
{
	struct sim_pages pages;
	struct sim_domain d;
	int r;

	if (sim_inject(hv, spec->name, "restore", err) < 0)
		return -1;
	if (exists(hv, spec->name))
		return fm_fail(err, FM_BUSY, "it exists already");
	r = sim_stream_read(&d, &pages, fd, err);
	d.frozen = true;
	if (r == 0)
		r = sim_check_disks(&d, spec, err);
	if (r == 0)
		r = sim_pages_store(hv, spec->name, &pages, err);
	sim_pages_dispose(&pages);
	if (r == 0)
		r = settle(hv, &d, spec, err);
	*info_r = d.info;
	sim_dispose(&d);
	return r;
}

static int sim_release(struct hypervisor *hv, const char *name, struct fm_error *err)
{
	struct sim_domain d;
	int r;

	if (sim_inject(hv, name, "release", err) < 0)
		return -1;
	r = sim_load(hv, name, &d, err);
	if (r == 0 && d.info.state != DOMAIN_PAUSED)
		r = fm_fail(err, FM_FAILED, "it is %s, not paused", domain_state_name(d.info.state));
	if (r == 0)
		r = sim_turn(hv, &d, DOMAIN_RUNNING, err);
	sim_dispose(&d);
	return r;
}

static int sim_thaw(struct hypervisor *hv, const char *name, struct fm_error *err)
{
	struct sim_domain d;
	int r;

	if (sim_inject(hv, name, "thaw", err) < 0)
		return -1;
	r = sim_load(hv, name, &d, err);
	d.frozen = false;
	if (r == 0)
		r = sim_store(hv, &d, err);
	sim_dispose(&d);
	return r;
}

static int sim_destroy(struct hypervisor *hv, const char *name, bool *existed_r, struct fm_error *err)
{
	int r;

	if (sim_inject(hv, name, "destroy", err) < 0)
		return -1;
	r = sim_remove(hv, name, err);
	*existed_r = r > 0;
	return r < 0 ? -1 : 0;
}

static int sim_resume(struct hypervisor *hv, const char *name, bool *was_suspended_r, struct fm_error *err)
{
	FM_AUTO_CLOSE int lock = domain_lock(hv->rundir, name, RESUME_WAIT_MS, err);
	struct sim_domain d;
	int r;

	if (lock < 0 || sim_inject(hv, name, "resume", err) < 0)
		return -1;
	r = sim_load(hv, name, &d, err);
	*was_suspended_r = r == 0 && d.info.state == DOMAIN_SUSPENDED;
	if (*was_suspended_r)
		r = sim_turn(hv, &d, DOMAIN_RUNNING, err);
	sim_dispose(&d);
	return r;
}

/* What the pages are now goes out, if it has not before. */
static int send_pages(struct hypervisor *hv, const struct sim_domain *d, struct sim_pages *sent, int fd, struct fm_error *err)
{
	struct sim_pages now;
	int r = sim_pages_load(hv, d->info.name, sim_page_count(d), &now, err);

	if (r == 0)
		r = sim_stream_pages(d, sent->version ? sent : NULL, &now, fd, err);
	sim_pages_dispose(sent);
	*sent = now;
	return r;
}

static int send_rest(struct hypervisor *hv, const struct sim_domain *d, struct sim_pages *sent, const struct save_calls *calls,
		     bool tracked, int fd, struct fm_error *err)
{
	if ((tracked && sim_inject(hv, d->info.name, "save.tracked", err) < 0) || send_pages(hv, d, sent, fd, err) < 0 ||
	    sim_stream_end(d, sent, calls->next != NULL, fd, err) < 0)
		return -1;
	return sim_inject(hv, d->info.name, "save.suspended", err);
}

/* Suspend, hand out the rest, wait, resume. The clock stands still in between. */
static int cut(struct hypervisor *hv, struct sim_domain *d, struct sim_pages *sent, int fd, const struct save_calls *calls,
	       struct save_cut about, struct fm_error *err)
{
	enum save_verdict verdict = SAVE_ABORT;
	struct fm_error resume_err;
	double stopped_ms;
	int r;

	about.quiet = true;
	about.suspend_ns = hypervisor_now_ns();
	if (sim_inject(hv, d->info.name, "save.suspend", err) < 0 || sim_turn(hv, d, DOMAIN_SUSPENDED, err) < 0)
		return -1;
	about.suspended_ns = hypervisor_now_ns();
	r = send_rest(hv, d, sent, calls, about.tracked, fd, err);
	if (r == 0)
		verdict = calls->cut(&about, calls->data);
	if (sim_inject(hv, d->info.name, "save.resume", &resume_err) < 0 ||
	    sim_turn(hv, d, DOMAIN_RUNNING, &resume_err) < 0) {
		calls->stuck(resume_err.text, calls->data);
		return fm_fail(err, FM_FAILED, "it is left suspended");
	}
	if (r < 0)
		return -1;
	if (verdict != SAVE_RELEASE)
		return 1;
	stopped_ms = (double)(hypervisor_now_ns() - about.suspend_ns) / 1e6;
	calls->released(stopped_ms, about.freeze_ms + stopped_ms, calls->data);
	return sim_inject(hv, d->info.name, "save.end", err);
}

static int check_running(const struct sim_domain *d, struct fm_error *err)
{
	return d->info.state == DOMAIN_RUNNING ?
		       0 : fm_fail(err, FM_FAILED, "it is %s, not running", domain_state_name(d->info.state));
}

static int check_disks(const struct sim_domain *d, const struct save_calls *calls, struct fm_error *err)
{
	const char *vdev;

	for (size_t i = 0; (vdev = sim_disk(d, i)); i++)
		if (!calls->has_disk(vdev, calls->data))
			return fm_fail(err, FM_INCOMPATIBLE, "it can write to its disk %s, which is none that Fermata copies", vdev);
	return 0;
}

static void freeze(struct hypervisor *hv, const struct sim_domain *d, struct save_cut *about)
{
	int64_t begun = hypervisor_now_ns();
	struct fm_error err;

	about->frozen = sim_inject(hv, d->info.name, "save.freeze", &err) == 0;
	about->freeze_ms = (double)(hypervisor_now_ns() - begun) / 1e6;
}

/* Memory goes out while the domain runs. 0: go and cut, 1: aborted, SAVE_AGAIN, -1. */
static int precopy(struct hypervisor *hv, struct sim_domain *d, struct sim_pages *sent, int fd, const struct save_calls *calls,
		   struct save_cut *about, struct fm_error *err)
{
	bool told = false;

	enum save_verdict verdict;

	if (about->tracked && sim_inject(hv, d->info.name, "save.track", err) < 0)
		return SAVE_AGAIN;
	if (check_running(d, err) < 0 || check_disks(d, calls, err) < 0 ||
	    sim_inject(hv, d->info.name, "save.begin", err) < 0 || send_pages(hv, d, sent, fd, err) < 0)
		return -1;
	if (calls->hold(0, calls->data) == SAVE_ABORT)
		return 1;
	if (sim_inject(hv, d->info.name, "save.armed", err) < 0)
		return -1;
	calls->armed(true, d->memory_kib * 1024, calls->data);
	while ((verdict = calls->hold(HOLD_MS, calls->data)) == SAVE_HOLD || verdict == SAVE_FREEZE) {
		if (verdict == SAVE_HOLD)
			continue;
		freeze(hv, d, about);
		calls->frozen(about, calls->data);
		told = true;
	}
	if (verdict == SAVE_CUT && !told)
		freeze(hv, d, about);
	return verdict == SAVE_CUT ? 0 : 1;
}

static int save_once(struct hypervisor *hv, const char *name, struct sim_pages *sent, int fd, const struct save_calls *calls,
		     struct fm_error *err)
{
	struct save_cut about = { .tracked = sent->version != NULL };
	struct sim_domain d;
	int r;

	r = sim_load(hv, name, &d, err);
	if (r == 0)
		r = precopy(hv, &d, sent, fd, calls, &about, err);
	sim_dispose(&d);
	if (r != 0)
		return r;
	r = sim_load(hv, name, &d, err); /* it may have died meanwhile */
	if (r == 0)
		r = check_running(&d, err);
	if (r == 0)
		r = cut(hv, &d, sent, fd, calls, about, err);
	sim_dispose(&d);
	return r;
}

static int sim_save(struct hypervisor *hv, const char *name, int fd, const struct save_calls *calls,
		    struct fm_error *err)
{
	FM_AUTO_CLOSE int lock = domain_lock(hv->rundir, name, 0, err);
	struct sim_pages sent = { 0 };
	int r = lock < 0 ? -1 : 0;

	while (r == 0) {
		r = save_once(hv, name, &sent, fd, calls, err);
		if (r != 0 || !calls->next)
			break;
		if (sim_inject(hv, name, "save.untracked", err) < 0) {
			r = sim_stream_over(fd, err);
			break;
		}
		if (!calls->next(&fd, calls->data))
			break;
	}
	sim_pages_dispose(&sent);
	return r;
}

/* "fm-1-0.json" → "fm-1-0" */
static bool name_of(const char *file, char name_r[DOMAIN_NAME_SIZE])
{
	size_t length = strlen(file), suffix = strlen(".json");

	if (length <= suffix || length - suffix >= DOMAIN_NAME_SIZE || strcmp(file + length - suffix, ".json"))
		return false;
	memcpy(name_r, file, length - suffix);
	name_r[length - suffix] = '\0';
	return domain_name_valid(name_r);
}

static int sim_list(struct hypervisor *hv, domain_each_fn each, void *data, struct fm_error *err)
{
	DIR *dir;
	struct dirent *entry;
	char name[DOMAIN_NAME_SIZE];
	int r = sim_inject(hv, "", "list", err);

	dir = r == 0 ? opendir(hv->dir) : NULL;
	if (!dir)
		return r < 0 ? -1 : fm_fail(err, FM_FAILED, "%s: %s", hv->dir, strerror(errno));
	while (r == 0 && (entry = readdir(dir))) {
		struct sim_domain d;

		if (!name_of(entry->d_name, name))
			continue;
		r = sim_load(hv, name, &d, err);
		if (r == 0)
			each(&d.info, data);
		else if (err->code == FM_NOT_FOUND) /* destroyed since */
			r = 0;
		sim_dispose(&d);
	}
	closedir(dir);
	return r;
}

/* Wait for a change in the folder: 1 when stop_fd ends it. */
static int wait_change(int notify, int stop_fd)
{
	struct pollfd fds[2] = { { .fd = stop_fd, .events = POLLIN }, { .fd = notify, .events = POLLIN } };
	char events[4096];

	if (poll(fds, 2, WATCH_MS) > 0 && fds[1].revents && read(notify, events, sizeof(events)) < 0)
		return 0; /* the next look is a whole one anyhow */
	return fds[0].revents != 0;
}

static int sim_watch(struct hypervisor *hv, int stop_fd, domain_died_fn died, void *data, struct fm_error *err)
{
	FM_AUTO_CLOSE int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct deaths *deaths = deaths_create(died, data);
	int r = 0;

	setpriority(PRIO_PROCESS, 0, WATCH_NICE); /* every change of state wakes it, at each cut too */
	if (!deaths || notify < 0 || inotify_add_watch(notify, hv->dir, IN_MOVED_TO | IN_DELETE) < 0)
		r = fm_fail(err, FM_FAILED, "%s: %s", hv->dir, strerror(errno));
	while (r == 0) {
		deaths_begin(deaths);
		r = sim_list(hv, deaths_see, deaths, err);
		if (r == 0)
			deaths_end(deaths);
		if (r == 0 && wait_change(notify, stop_fd))
			break;
	}
	deaths_destroy(deaths);
	return r;
}

const struct hypervisor_ops sim_ops = {
	.name = "sim",
	.open = sim_open,
	.close = sim_close,
	.create = sim_create,
	.save = sim_save,
	.restore = sim_restore,
	.release = sim_release,
	.thaw = sim_thaw,
	.destroy = sim_destroy,
	.resume = sim_resume,
	.list = sim_list,
	.watch = sim_watch,
};
