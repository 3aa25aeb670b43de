/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf.h - /etc/fermata/fermata.conf and an image's image.conf.
 *
 * Grammar: `Key=Value`, keys case-insensitive, `#` starts a comment, blank
 * lines are skipped, no line length limit.  An unknown key, a value out of
 * range or a second value for a key is an error that names file:line.
 * A missing fermata.conf is an error only when `path` was given.
 */
#ifndef FM_CONF_H
#define FM_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "log.h"

struct fm_conf {
	char *agents;           /* hostlist, "" when none */
	char *node_name;
	char *node_addr;        /* "n1=10.0.0.1,n2=…" or "" */
	char *bind_address;
	char *socket;
	char *run_dir;
	char *store_dir, *key_file;
	char **levels;          /* lines that level_spec.h understands; NULL: none, else NULL-terminated */
	uint64_t bandwidth;     /* bytes a second that are copied in the background, for each level; 0: any */
	int64_t level_retry_ms; /* after the first failure; then twice as long, and so on */
	char *disks;            /* "reflink:/dir", "thin:POOL", "sim:/dir", "" */
	char *local_dir;        /* "": packs are written to store_dir */
	char *protect, *racks;  /* protect.h */
	bool flush;             /* what is in local_dir is copied to store_dir */
	char *admin_users;
	char *hypervisor;
	char *gate;
	char *drain;
	char *guest_network;    /* "10.78.0.0/16" */
	char *guest_bridge;
	char *image_dir;
	char *default_image;
	char *munge_socket;     /* "" = munged's default */
	char *worker_path;
	unsigned port;
	unsigned cut_port;      /* never 0 after loading */
	unsigned local_port;    /* nor is this */
	unsigned tree_arity;
	unsigned runner_port;
	unsigned keep;          /* snapshots of a job; 0: any number */
	bool tracking;          /* pages written to are noted between two snapshots */
	unsigned tracking_full; /* every so many snapshots is a whole one; 0: none has to be */
	int64_t max_age_ms;     /* of a snapshot; 0: any */
	bool across;            /* what is new at several members is stored by one */
	int64_t across_wait_ms; /* for an answer to who stores what */
	bool compact;           /* each page once, by zstd, in the background */
	unsigned guest_ranks;   /* power of two */
	unsigned guest_memory_mib;
	int64_t gate_max_ms;
	int64_t flush_bound_ms;
	unsigned marker_members;
	int64_t round_timeout_ms;
	int64_t create_timeout_ms;
	enum fm_log_level log_level;
};

#define FM_CONF_PATH_ENV "FERMATA_CONF" /* honoured only when not setuid and by clients */

/* path NULL: $FERMATA_CONF, then the compiled-in default. Dispose in any case. */
int fm_conf_load(struct fm_conf *conf, const char *path, struct fm_error *err);
void fm_conf_dispose(struct fm_conf *conf);

struct fm_image_disk {
	char *path; /* absolute */
	char *vdev; /* "xvda" */
	int readonly;
};

struct fm_image {
	char *name;
	char *kernel;
	char *initramfs; /* may be NULL */
	char *type;      /* "pvh" or "pv" */
	char *cmdline;   /* "" when none */
	struct fm_image_disk *disks;
	size_t disk_count;
	unsigned min_memory_mib;
};

/* name: one path component; FM_NOT_FOUND when there is no such image. */
int fm_image_load(struct fm_image *image, const struct fm_conf *conf, const char *name,
		  struct fm_error *err);
void fm_image_dispose(struct fm_image *image);

/* Address of member `rank` of job `job`, of the guests' prefix length and the
 * MAC that goes with it. */
int fm_guest_address(const struct fm_conf *conf, uint32_t job, unsigned rank, char ip_r[16],
		     unsigned *prefix_r, char mac_r[18], struct fm_error *err);

/* Where agent `node` listens: NodeAddr's entry or the name itself; pointer into
 * a caller's buffer. */
const char *fm_conf_node_address(const struct fm_conf *conf, const char *node, char *buf, size_t size);

#endif
