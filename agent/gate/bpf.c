/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bpf.c - the gate in the kernel: classifiers on the vif and on two capture TAPs.
 *
 * One set of programs and maps a node (gate_map.h).  The maps are pinned, so
 * that an agent after a crash finds the entries of the one before and empties
 * them; the classifiers themselves live as long as the device they sit on.
 */
#include "config.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "bpf_port.h"
#include "gate.skel.h"

#define BPF_DIR "/sys/fs/bpf"
#define PIN_DIR BPF_DIR "/fermata"
#define BPF_FS_MAGIC 0xcafe4a11

static const char *const map_names[] = { "gate_conf", "gate_live", "gate_back" };

/* What libbpf last complained about: it knows more than its return codes say. */
static char complaint[256];

__attribute__((format(printf, 2, 0)))
static int libbpf_note(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level == LIBBPF_WARN) {
		vsnprintf(complaint, sizeof(complaint), fmt, ap);
		complaint[strcspn(complaint, "\n")] = '\0';
	}
	return 0;
}

const char *bpf_complaint(void)
{
	return complaint;
}

static int bpffs_ready(struct fm_error *err)
{
	struct statfs fs;

	if (statfs(BPF_DIR, &fs) < 0)
		return fm_fail(err, FM_INCOMPATIBLE, BPF_DIR ": %s: this kernel has no BPF", strerror(errno));
	if ((unsigned long)fs.f_type != BPF_FS_MAGIC && mount("bpf", BPF_DIR, "bpf", 0, "mode=0700") < 0)
		return fm_fail(err, FM_INCOMPATIBLE, "cannot mount the BPF file system on " BPF_DIR ": %s",
			       strerror(errno));
	if (mkdir(PIN_DIR, 0700) < 0 && errno != EEXIST)
		return fm_fail(err, FM_FAILED, PIN_DIR ": %s", strerror(errno));
	return 0;
}

/* Without an entry a gate is open. */
static int map_empty(int fd)
{
	struct gate_key key; /* the largest key of our maps */

	while (bpf_map_get_next_key(fd, NULL, &key) == 0)
		if (bpf_map_delete_elem(fd, &key) < 0 && errno != ENOENT)
			return -1;
	return 0;
}

/* Maps of another version of Fermata, whose layout may differ: open its gates, then forget them. */
static void pins_discard(void)
{
	for (size_t i = 0; i < sizeof(map_names) / sizeof(map_names[0]); i++) {
		char path[80];
		struct bpf_map_info info = { 0 };
		__u32 size = sizeof(info);
		int fd;

		snprintf(path, sizeof(path), PIN_DIR "/%s", map_names[i]);
		fd = bpf_obj_get(path);
		if (fd < 0)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.key_size <= sizeof(struct gate_key))
			map_empty(fd);
		close(fd);
		unlink(path);
	}
}

static struct gate_bpf *programs_load(void)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .pin_root_path = PIN_DIR);
	struct gate_bpf *skel = gate_bpf__open_opts(&opts);
	int r;

	if (!skel)
		return NULL;
	r = gate_bpf__load(skel);
	if (r < 0) {
		gate_bpf__destroy(skel);
		errno = -r;
		return NULL;
	}
	return skel;
}

static int bpf_setup(struct gate_system *system, struct fm_error *err)
{
	struct bpf_system *bpf;

	libbpf_set_print(libbpf_note);
	complaint[0] = '\0';
	if (bpffs_ready(err) < 0)
		return -1;
	bpf = calloc(1, sizeof(*bpf));
	if (!bpf)
		return fm_fail(err, FM_FAILED, "no memory");
	bpf->skel = programs_load();
	if (!bpf->skel && errno == EINVAL) {
		pins_discard();
		bpf->skel = programs_load();
	}
	if (!bpf->skel) {
		fm_fail(err, errno == EPERM ? FM_DENIED : FM_INCOMPATIBLE,
			"the kernel refuses the gate's programs: %s (%s)", strerror(errno), complaint);
		free(bpf);
		return -1;
	}
	system->state = bpf;
	return 0;
}

static void bpf_teardown(struct gate_system *system)
{
	struct bpf_system *bpf = system->state;

	if (bpf->ours) {
		pins_discard();
		rmdir(PIN_DIR);
	}
	gate_bpf__destroy(bpf->skel);
	free(bpf);
}

static int taps_remove(struct fm_error *err)
{
	struct dirent *entry;
	DIR *dir = opendir("/sys/class/net");
	int r = 0;

	if (!dir)
		return fm_fail(err, FM_FAILED, "/sys/class/net: %s", strerror(errno));
	while (r == 0 && (entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, TAP_PREFIX "o", 4) == 0 || strncmp(entry->d_name, TAP_PREFIX "i", 4) == 0)
			r = tap_remove(entry->d_name, err);
	closedir(dir);
	return r;
}

static int bpf_recover(struct gate_system *system, struct fm_error *err)
{
	struct bpf_system *bpf = system->state;

	/* Devices first: those of an agent that runs are busy, and then its gates are not ours to open. */
	if (taps_remove(err) < 0)
		return -1;
	if (map_empty(bpf_map__fd(bpf->skel->maps.gate_conf)) < 0 ||
	    map_empty(bpf_map__fd(bpf->skel->maps.gate_back)) < 0 ||
	    map_empty(bpf_map__fd(bpf->skel->maps.gate_live)) < 0)
		return fm_fail(err, FM_FAILED, "cannot open the gates of an earlier agent: %s", strerror(errno));
	bpf->ours = true;
	return 0;
}

const struct gate_driver gate_driver_bpf = {
	.name = "bpf",
	.setup = bpf_setup,
	.teardown = bpf_teardown,
	.recover = bpf_recover,
	.attach = bpf_port_attach,
	.detach = bpf_port_detach,
	.shut = bpf_port_shut,
	.fetch = bpf_port_fetch,
	.wait = bpf_port_wait,
	.quiet = bpf_port_quiet,
	.give = bpf_port_give,
	.ease = bpf_port_ease,
	.open = bpf_port_open,
	.lost = bpf_port_lost,
	.leaked = bpf_port_leaked,
	.link_ready = bpf_port_link_ready,
	.mark = bpf_port_mark,
};
