/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf.c - see conf.h.  One declarative table per file kind; the parser below
 * knows nothing of the keys.
 */
#include "config.h"

#include "common/conf.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/conf_parse.h"
#include "common/duration.h"
#include "common/hostlist.h"
#include "common/io.h"
#include "common/level_spec.h"
#include "common/protect.h"

#define KEY(name, field, kind_, min_, max_, default_)                                              \
	{ .key = name, .offset = offsetof(struct fm_conf, field), .kind = kind_, .min = min_,      \
	  .max = max_, .fallback = default_ }
#define TEXT(name, field, default_) KEY(name, field, CONF_STRING, 0, 0, default_)

/* May be given many times; check_<field>() looks at each. */
#define LIST(name, field, default_)                                                                \
	{ .key = name, .offset = offsetof(struct fm_conf, field), .kind = CONF_LIST, .fallback = default_, \
	  .check = check_##field }

static int check_levels(const void *object, const char *value, struct fm_error *err)
{
	const struct fm_conf *conf = object;
	struct level_spec spec;
	int rc = level_spec_parse(&spec, value, err);

	level_spec_dispose(&spec);
	for (char **other = conf->levels; rc == 0 && other && *other; other++)
		if (level_spec_same_name(value, *other))
			rc = fm_fail(err, FM_USAGE, "there is a level of this name already: %s", *other);
	return rc;
}

/* The manual's table (man/fermata.conf.5.scd) is compared with this one. */
static const struct conf_key conf_keys[] = {
	TEXT("Agents", agents, ""),
	TEXT("NodeName", node_name, ""),
	TEXT("NodeAddr", node_addr, ""),
	TEXT("BindAddress", bind_address, "0.0.0.0"),
	TEXT("Socket", socket, "/run/fermata/fermatad.sock"),
	TEXT("RunDir", run_dir, "/run/fermata"),
	TEXT("StoreDir", store_dir, FM_LOCALSTATEDIR "/lib/fermata/store"),
	TEXT("KeyFile", key_file, ""),
	KEY("Across", across, CONF_BOOL, 0, 0, "yes"),
	KEY("AcrossWait", across_wait_ms, CONF_DURATION, 1, 60000, "2s"),
	KEY("Compact", compact, CONF_BOOL, 0, 0, "yes"),
	LIST("Level", levels, ""),
	KEY("Bandwidth", bandwidth, CONF_BYTES, 0, (int64_t)1 << 33, "0"),
	KEY("LevelRetry", level_retry_ms, CONF_DURATION, 100, 86400000, "1m"),
	TEXT("Disks", disks, ""),
	TEXT("LocalDir", local_dir, ""),
	TEXT("Protect", protect, "none"),
	TEXT("Racks", racks, ""),
	KEY("Flush", flush, CONF_BOOL, 0, 0, "yes"),
	TEXT("AdminUsers", admin_users, "root,slurm"),
	TEXT("Hypervisor", hypervisor, "xen"),
	TEXT("Gate", gate, "bpf"),
	TEXT("Drain", drain, "markers"),
	KEY("Tracking", tracking, CONF_BOOL, 0, 0, "no"),
	TEXT("GuestNetwork", guest_network, "10.78.0.0/16"),
	TEXT("GuestBridge", guest_bridge, "xenbr0"),
	TEXT("ImageDir", image_dir, FM_DATADIR "/images"),
	TEXT("DefaultImage", default_image, "mpi"),
	TEXT("MungeSocket", munge_socket, ""),
	TEXT("WorkerPath", worker_path, FM_LIBEXECDIR "/fermata-worker"),
	KEY("Port", port, CONF_UNSIGNED, 1, 65535, "6830"),
	KEY("CutPort", cut_port, CONF_UNSIGNED, 0, 65535, "0"),
	KEY("LocalPort", local_port, CONF_UNSIGNED, 0, 65535, "0"),
	KEY("TreeArity", tree_arity, CONF_UNSIGNED, 1, 4096, "32"),
	KEY("RunnerPort", runner_port, CONF_UNSIGNED, 1, 65535, "7777"),
	KEY("GuestRanks", guest_ranks, CONF_UNSIGNED, 2, 1 << 20, "256"),
	KEY("GuestMemory", guest_memory_mib, CONF_UNSIGNED, 0, 1 << 24, "0"),
	KEY("GateMax", gate_max_ms, CONF_DURATION, 1, 600000, "2s"),
	KEY("MarkerMembers", marker_members, CONF_UNSIGNED, 0, 65536, "128"),
	KEY("FlushBound", flush_bound_ms, CONF_DURATION, 0, 60000, "20ms"),
	KEY("RoundTimeout", round_timeout_ms, CONF_DURATION, 100, 86400000, "30s"),
	KEY("CreateTimeout", create_timeout_ms, CONF_DURATION, 1000, 86400000, "120s"),
	KEY("Keep", keep, CONF_UNSIGNED, 0, 1000000, "0"),
	KEY("TrackingFull", tracking_full, CONF_UNSIGNED, 0, 1000000, "10"),
	KEY("MaxAge", max_age_ms, CONF_DURATION, 0, 3162240000000, "0"),
	KEY("LogLevel", log_level, CONF_LOG_LEVEL, 0, 0, "info"),
	{ .key = NULL },
};

/* The node's Slurm name is by default the short host name. */
static int default_node_name(struct fm_conf *conf, struct fm_error *err)
{
	char name[HOST_NAME_MAX + 1];

	if (*conf->node_name)
		return 0;
	if (gethostname(name, sizeof name))
		return fm_fail(err, FM_FAILED, "gethostname: %s", strerror(errno));
	name[strcspn(name, ".")] = '\0';
	free(conf->node_name);
	if (!(conf->node_name = strdup(name)))
		return fm_fail(err, FM_FAILED, "out of memory");
	return 0;
}

static int one_of(const char *key, const char *value, const char *const *choices, struct fm_error *err)
{
	for (const char *const *c = choices; *c; c++)
		if (!strcmp(value, *c))
			return 0;
	return fm_fail(err, FM_USAGE, "%s=%s: no such choice", key, value);
}

/* "reflink:/var/lib/fermata/disks": the kind is known; whether it works there is for the worker to see. */
static int check_disks(const struct fm_conf *conf, struct fm_error *err)
{
	static const char *const kinds[] = { "reflink:/", "thin:", "sim:/" };

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		size_t length = strlen(kinds[i]);

		if (strncmp(conf->disks, kinds[i], length) || (!conf->disks[length] && kinds[i][length - 1] == ':'))
			continue;
		if (i == 2 && strcmp(conf->hypervisor, "sim"))
			return fm_fail(err, FM_USAGE, "Disks=%s: sim is for Hypervisor=sim, it cannot copy a real guest's disk",
				       conf->disks);
		return 0;
	}
	return *conf->disks ? fm_fail(err, FM_USAGE, "Disks=%s: say reflink:/FOLDER or thin:POOL", conf->disks) : 0;
}

/* What one key's range cannot say. */
static int conf_check(struct fm_conf *conf, struct fm_error *err)
{
	static const char *const hypervisors[] = { "xen", "sim", NULL };
	static const char *const gates[] = { "bpf", "none", "sim", NULL };
	static const char *const drains[] = { "markers", "bound", NULL };
	struct fm_hostlist agents;
	char ip[16], mac[18];
	unsigned prefix;
	int r;

	r = fm_hostlist_parse(&agents, conf->agents, err);
	fm_hostlist_dispose(&agents);
	if (r)
		return fm_context(err, "Agents");
	if (one_of("Hypervisor", conf->hypervisor, hypervisors, err) ||
	    one_of("Gate", conf->gate, gates, err) || one_of("Drain", conf->drain, drains, err) ||
	    fm_protect_check(conf, err))
		return -1;
	if (check_disks(conf, err))
		return -1;
	if (!conf->cut_port)
		conf->cut_port = conf->port + 1;
	if (conf->cut_port > 65535 || conf->cut_port == conf->port)
		return fm_fail(err, FM_USAGE, "CutPort=%u: not a port of its own", conf->cut_port);
	if (!conf->local_port)
		conf->local_port = conf->port + 2;
	if (*conf->local_dir && (conf->local_port > 65535 || conf->local_port == conf->port || conf->local_port == conf->cut_port))
		return fm_fail(err, FM_USAGE, "LocalPort=%u: not a port of its own", conf->local_port);
	if (conf->guest_ranks & (conf->guest_ranks - 1))
		return fm_fail(err, FM_USAGE, "GuestRanks=%u: not a power of two", conf->guest_ranks);
	return fm_guest_address(conf, 1, 0, ip, &prefix, mac, err);
}

int fm_conf_load(struct fm_conf *conf, const char *path, struct fm_error *err)
{
	const char *env = getenv(FM_CONF_PATH_ENV);
	int required = 1;

	memset(conf, 0, sizeof *conf);
	/* A caller with more rights than its user (setuid) must not be led astray. */
	if (!path && env && *env && getuid() == geteuid())
		path = env;
	if (!path) {
		path = FM_SYSCONFDIR "/fermata/fermata.conf";
		required = 0;
	}
	if (conf_parse_file(path, required, conf_keys, conf, err))
		return -1;
	if (default_node_name(conf, err) || conf_check(conf, err))
		return fm_context(err, "%s", path);
	return 0;
}

void fm_conf_dispose(struct fm_conf *conf)
{
	conf_dispose(conf_keys, conf);
}

const char *fm_conf_node_address(const struct fm_conf *conf, const char *node, char *buf, size_t size)
{
	size_t length = strlen(node);

	for (const char *p = conf->node_addr; *p;) {
		size_t n = strcspn(p, ",");

		if (n > length + 1 && !strncmp(p, node, length) && p[length] == '=') {
			snprintf(buf, size, "%.*s", (int)(n - length - 1), p + length + 1);
			return buf;
		}
		p += n + (p[n] == ',');
	}
	snprintf(buf, size, "%s", node);
	return buf;
}
