/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hypervisor.h - what a hypervisor driver does for one domain.
 *
 * Every call blocks and is made by fermata-worker only, from its main thread,
 * one operation a process: a crash in a hypervisor's library costs one
 * operation, never the agent.  Drivers write nothing to stdout, never exit, and
 * report through struct fm_error.  Domains are named by Fermata ("fm-…"); a
 * driver touches no other domain.
 *
 * Promise every driver keeps in save(): when it returns, for whatever reason,
 * the domain runs as it did before the call, or stuck() was called.
 *
 * Tracking (save_calls.next): between two snapshots the driver has the hypervisor note which pages are written to, and the
 * next one's stream has only those. Promise: each snapshot is what one from the start would be, or there is an error.
 * For that a driver must know that nothing was noted for somebody else instead, and nothing that is never noted has
 * happened; it does not trust, it looks. Any doubt is an end of the tracking: see save().
 */
#ifndef FM_HYPERVISOR_H
#define FM_HYPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define DOMAIN_NAME_PREFIX "fm-"
#define DOMAIN_NAME_SIZE 64
#define DOMAIN_DISKS_MAX 16
#define DOMAIN_VIFS_MAX 8
#define DOMAIN_PARAMS_MAX 16
#define DOMAIN_PORT_SIZE 16 /* IFNAMSIZ */

enum domain_type { DOMAIN_PVH, DOMAIN_PV };

enum domain_state {
	DOMAIN_RUNNING,
	DOMAIN_PAUSED,
	DOMAIN_SUSPENDED, /* stopped in a save: resume() brings it back */
	DOMAIN_DEAD,      /* shut down or crashed, not yet destroyed */
	DOMAIN_DYING,     /* being torn down */
};

enum domain_death {
	DEATH_NONE,
	DEATH_POWEROFF,
	DEATH_REBOOT,
	DEATH_CRASH,
	DEATH_WATCHDOG,
	DEATH_GONE, /* no longer there at all */
};

struct domain_disk {
	const char *path; /* block device or raw image file in the host */
	const char *vdev; /* "xvda" */
	bool readonly;
};

struct domain_vif {
	const char *mac;    /* "00:16:3e:…"; NULL in a restore: as saved */
	const char *bridge; /* NULL: as saved, or no bridge */
};

/* Small texts the guest can read, and nobody else but the host. */
struct domain_param {
	const char *key;
	const char *value;
};

/* A domain to be made.  restore() looks at name, vifs, params and disks only: the rest
 * is in the stream.  There the disks are the writable ones, made anew: as many, by their vdevs, as the saved domain
 * has, or it is refused (FM_INCOMPATIBLE). A disk that a domain had in another life is never given to it. Pointers
 * belong to the caller. */
struct domain_spec {
	const char *name;
	enum domain_type type;
	const char *kernel;
	const char *initramfs; /* or NULL */
	const char *cmdline;   /* or NULL */
	unsigned memory_mib;
	unsigned vcpus;
	struct domain_disk disks[DOMAIN_DISKS_MAX];
	unsigned disk_count;
	struct domain_vif vifs[DOMAIN_VIFS_MAX];
	unsigned vif_count;
	struct domain_param params[DOMAIN_PARAMS_MAX];
	unsigned param_count;
};

struct domain_info {
	char name[DOMAIN_NAME_SIZE];
	uint32_t domid;
	enum domain_state state;
	enum domain_death death; /* meaningful when dead */
	char vifs[DOMAIN_VIFS_MAX][DOMAIN_PORT_SIZE]; /* network devices in the host */
	unsigned vif_count;
};

enum save_verdict {
	SAVE_HOLD,    /* nothing new */
	SAVE_FREEZE,  /* stop the job's processes inside, tell by frozen(), and go on holding */
	SAVE_CUT,     /* suspend now */
	SAVE_RELEASE, /* resume now */
	SAVE_ABORT,   /* undo, return an error */
};

/* What a cut was like. Times in ms; without the first they are the stop up to where the state is out of the domain. */
struct save_cut {
	int64_t suspend_ns, suspended_ns; /* CLOCK_REALTIME: when the domain was to stop, and when it stood still */
	bool frozen; /* the job's processes inside stood still before it did: a restore loses nothing they send */
	bool quiet;  /* nothing was under way between the domain and its network devices */
	double freeze_ms, quiet_ms, suspend_ms, copy_ms;
	bool tracked; /* the stream has what has changed since the last snapshot */
};

/* How a save talks with whoever leads it.  All run in the caller's thread. */
struct save_calls {
	/* Everything that can go on beforehand is done and repeated until the cut.
	 * live: the domain runs until then and only the rest is copied in the stop;
	 * else all of it is.  raw_bytes: expected size of the stream. */
	void (*armed)(bool live, uint64_t raw_bytes, void *data);
	/* Asked often before the cut: waits up to timeout_ms for a word. Before
	 * armed() and after SAVE_CUT only SAVE_HOLD and SAVE_ABORT are given. A cut
	 * without a SAVE_FREEZE before it freezes by itself. */
	enum save_verdict (*hold)(int timeout_ms, void *data);
	/* After SAVE_FREEZE: `frozen` and `freeze_ms` are known. What comes next is sent while nothing gets dirty. */
	void (*frozen)(const struct save_cut *cut, void *data);
	/* The domain is suspended and all of its state is in the stream or in this
	 * process's memory.  Blocks until SAVE_RELEASE or SAVE_ABORT; both resume. */
	enum save_verdict (*cut)(const struct save_cut *cut, void *data);
	/* The domain runs again: milliseconds since it was to stop, and since its job was to.
	 * save() returns when the job has been seen to go on, too, or soon after. */
	void (*released)(double stopped_ms, double blackout_ms, void *data);
	/* NULL: one snapshot. Else, when released() is over and the stream has come to a checkpoint with nothing of it left in
	 * this process: waits until another one is wanted, true, and its stream goes to *fd_r; the domain is under watch
	 * meanwhile. false: no more, save() returns 0. A driver that cannot track calls it never, and ends the stream. */
	bool (*next)(int *fd_r, void *data);
	/* The one broken promise: it could not be resumed. save() then returns -1. */
	void (*stuck)(const char *why, void *data);
	/* Is this writable disk of the domain's copied at its cut? Asked of each before armed(): where it is not, save() fails. */
	bool (*has_disk)(const char *vdev, void *data);
	void *data;
};

/* watch() calls it once a death. */
typedef void (*domain_died_fn)(const char *name, uint32_t domid, enum domain_death death, void *data);
typedef void (*domain_each_fn)(const struct domain_info *info, void *data);

#define SAVE_AGAIN 2 /* of save() */

struct hypervisor;

struct hypervisor_ops {
	const char *name;

	/* Connect to the hypervisor. rundir: a folder for the driver's own state
	 * (made if missing). FM_INCOMPATIBLE when this host has none. */
	struct hypervisor *(*open)(const char *rundir, struct fm_error *err);

	/* NULL is fine. */
	void (*close)(struct hypervisor *hv);

	/* Build a domain and leave it paused, its params readable by it. FM_BUSY:
	 * the name is taken. FM_INCOMPATIBLE: not enough free memory. Nothing is
	 * left behind by a failure. */
	int (*create)(struct hypervisor *hv, const struct domain_spec *spec, struct domain_info *info_r,
		      struct fm_error *err);

	/* Write the domain's stream to fd (a pipe: EPIPE means that the store
	 * failed), in the order armed, hold…, cut, released, next.  0: the stream is
	 * complete and released() was called. 1: all undone after SAVE_ABORT.
	 * SAVE_AGAIN: it cannot be told for certain what has changed since the last snapshot, err says why; of
	 * this one nothing was told yet. To be called again for a whole one, its stream from the start. */
	int (*save)(struct hypervisor *hv, const char *name, int fd, const struct save_calls *calls,
		    struct fm_error *err);

	/* Build a domain from the stream read from fd and leave it paused under
	 * spec->name, the job's processes inside frozen until thaw(). FM_CORRUPT: the stream makes no sense. Nothing is left
	 * behind by a failure. */
	int (*restore)(struct hypervisor *hv, const struct domain_spec *spec, int fd,
		       struct domain_info *info_r, struct fm_error *err);

	/* Let a paused domain run. FM_NOT_FOUND. */
	int (*release)(struct hypervisor *hv, const char *name, struct fm_error *err);

	/* Let the job's processes inside a restored domain go on. FM_NOT_FOUND. */
	int (*thaw)(struct hypervisor *hv, const char *name, struct fm_error *err);

	/* Remove the domain in whatever state it is and wait until it is gone.
	 * None there is no error (*existed_r false). */
	int (*destroy)(struct hypervisor *hv, const char *name, bool *existed_r, struct fm_error *err);

	/* Bring back a domain that a dead saver left suspended; waits for a saver
	 * that is still there. One that runs is left alone. FM_NOT_FOUND, FM_BUSY. */
	int (*resume)(struct hypervisor *hv, const char *name, bool *was_suspended_r, struct fm_error *err);

	/* Every domain of Fermata's on this host. */
	int (*list)(struct hypervisor *hv, domain_each_fn each, void *data, struct fm_error *err);

	/* Report each death once (those already dead at the start too) until
	 * stop_fd is readable or hung up. A suspension is no death. */
	int (*watch)(struct hypervisor *hv, int stop_fd, domain_died_fn died, void *data,
		     struct fm_error *err);
};

extern const struct hypervisor_ops xen_ops;
extern const struct hypervisor_ops sim_ops;

/* FM_USAGE when there is no such driver. */
const struct hypervisor_ops *hypervisor_find(const char *name, struct fm_error *err);

/* Is it one of ours, and safe in a path? "fm-" and then letters, digits, "-_." */
bool domain_name_valid(const char *name);
const char *domain_state_name(enum domain_state state);
const char *domain_death_name(enum domain_death death);

/* CLOCK_REALTIME in nanoseconds; what a cut is dated with. */
int64_t hypervisor_now_ns(void);

/*
 * One saver (or resumer) of a domain at a time: an flock on rundir/<name>.lock.
 * Returns the fd to close, or -1: FM_BUSY after wait_ms.
 */
int domain_lock(const char *rundir, const char *name, int wait_ms, struct fm_error *err);

#endif
