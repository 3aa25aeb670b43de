/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image.c - a guest image's image.conf, and a member's network identity (conf.h). */
#include "config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/conf.h"
#include "common/conf_parse.h"
#include "common/io.h"

struct image_file {
	char *kernel, *initramfs, *type, *cmdline, **disks;
	unsigned min_memory_mib;
};

#define TEXT(name, field_, default_)                                                               \
	{ .key = name, .offset = offsetof(struct image_file, field_), .kind = CONF_STRING,         \
	  .fallback = default_ }

static const struct conf_key image_keys[] = {
	TEXT("Kernel", kernel, NULL),
	TEXT("Initramfs", initramfs, ""),
	TEXT("Type", type, "pvh"),
	TEXT("Cmdline", cmdline, ""),
	{ .key = "Disk", .offset = offsetof(struct image_file, disks), .kind = CONF_LIST },
	{ .key = "MinMemory", .offset = offsetof(struct image_file, min_memory_mib),
	  .kind = CONF_UNSIGNED, .min = 0, .max = 1 << 24, .fallback = "0" },
	{ .key = NULL },
};

/* One path component made of harmless characters: it becomes part of a path. */
static int name_ok(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > 64 || *name == '.')
		return 0;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("-_.", *name))
			return 0;
	return 1;
}

static char *below(const char *dir, const char *path)
{
	return *path == '/' ? strdup(path) : fm_format("%s/%s", dir, path);
}

/* "path,vdev,r|w" */
static int parse_disk(const char *dir, const char *text, struct fm_image_disk *disk, struct fm_error *err)
{
	const char *first = strchr(text, ','), *second = first ? strchr(first + 1, ',') : NULL;
	FM_AUTO_FREE char *path = NULL;

	if (!second || first == text || second == first + 1 || second - first > 16 ||
	    (strcmp(second, ",r") && strcmp(second, ",w")))
		return fm_fail(err, FM_USAGE, "Disk=%s: write path,vdev,r or path,vdev,w", text);
	path = strndup(text, (size_t)(first - text));
	disk->path = path ? below(dir, path) : NULL;
	disk->vdev = strndup(first + 1, (size_t)(second - first - 1));
	disk->readonly = second[1] == 'r';
	return disk->path && disk->vdev ? 0 : fm_fail(err, FM_FAILED, "out of memory");
}

static int fill_disks(struct fm_image *image, const char *dir, char **texts, struct fm_error *err)
{
	size_t n = 0;

	while (texts && texts[n])
		n++;
	if (n && !(image->disks = calloc(n, sizeof *image->disks)))
		return fm_fail(err, FM_FAILED, "out of memory");
	for (; image->disk_count < n; image->disk_count++)
		if (parse_disk(dir, texts[image->disk_count], &image->disks[image->disk_count], err)) {
			image->disk_count++; /* half-filled: dispose frees it */
			return -1;
		}
	return 0;
}

static int fill_image(struct fm_image *image, const char *dir, struct image_file *file, struct fm_error *err)
{
	if (strcmp(file->type, "pvh") && strcmp(file->type, "pv"))
		return fm_fail(err, FM_USAGE, "Type=%s: say pvh or pv", file->type);
	image->kernel = below(dir, file->kernel);
	image->initramfs = *file->initramfs ? below(dir, file->initramfs) : NULL;
	image->type = fm_steal_ptr(&file->type);
	image->cmdline = fm_steal_ptr(&file->cmdline);
	image->min_memory_mib = file->min_memory_mib;
	if (!image->kernel || (*file->initramfs && !image->initramfs))
		return fm_fail(err, FM_FAILED, "out of memory");
	return fill_disks(image, dir, file->disks, err);
}

int fm_image_load(struct fm_image *image, const struct fm_conf *conf, const char *name, struct fm_error *err)
{
	struct image_file file = { 0 };
	FM_AUTO_FREE char *dir = NULL, *path = NULL;
	int r;

	memset(image, 0, sizeof *image);
	if (!name_ok(name))
		return fm_fail(err, FM_USAGE, "\"%.64s\" is no image name", name);
	dir = fm_format("%s/%s", conf->image_dir, name);
	path = dir ? fm_format("%s/image.conf", dir) : NULL;
	image->name = strdup(name);
	if (!path || !image->name)
		return fm_fail(err, FM_FAILED, "out of memory");
	r = conf_parse_file(path, 1, image_keys, &file, err);
	if (r && err->code == FM_NOT_FOUND)
		fm_fail(err, FM_NOT_FOUND, "image \"%s\": there is no %s", name, path);
	if (!r && (r = fill_image(image, dir, &file, err)))
		fm_context(err, "%s", path);
	conf_dispose(image_keys, &file);
	if (r)
		fm_image_dispose(image);
	return r;
}

void fm_image_dispose(struct fm_image *image)
{
	for (size_t i = 0; i < image->disk_count; i++) {
		free(image->disks[i].path);
		free(image->disks[i].vdev);
	}
	free(image->disks);
	free(image->name);
	free(image->kernel);
	free(image->initramfs);
	free(image->type);
	free(image->cmdline);
	memset(image, 0, sizeof *image);
}

/* "10.78.0.0/16" */
static int parse_network(const char *text, uint32_t *base_r, unsigned *prefix_r, struct fm_error *err)
{
	struct in_addr addr;
	char ip[16], tail;

	if (sscanf(text, "%15[0-9.]/%u%c", ip, prefix_r, &tail) != 2 || inet_pton(AF_INET, ip, &addr) != 1 ||
	    *prefix_r < 8 || *prefix_r > 28)
		return fm_fail(err, FM_USAGE, "GuestNetwork=%s: write an IPv4 network from /8 to /28", text);
	*base_r = ntohl(addr.s_addr);
	if (*base_r & (UINT32_MAX >> *prefix_r))
		return fm_fail(err, FM_USAGE, "GuestNetwork=%s: has host bits set", text);
	return 0;
}

int fm_guest_address(const struct fm_conf *conf, uint32_t job, unsigned rank, char ip_r[16],
		     unsigned *prefix_r, char mac_r[18], struct fm_error *err)
{
	uint32_t base, slots, offset;
	struct in_addr addr;

	if (parse_network(conf->guest_network, &base, prefix_r, err))
		return -1;
	slots = (UINT32_C(1) << (32 - *prefix_r)) / conf->guest_ranks;
	if (slots < 2)
		return fm_fail(err, FM_USAGE, "GuestNetwork=%s has no room for jobs of GuestRanks=%u and the Dom0s",
			       conf->guest_network, conf->guest_ranks);
	/* +1: rank 0 of slot 0 must not be the network's own address; the last of a job is left free. */
	if (rank + 2 > conf->guest_ranks)
		return fm_fail(err, FM_USAGE, "rank %u: a job has at most %u members (GuestRanks=%u)", rank,
			       conf->guest_ranks - 1, conf->guest_ranks);
	offset = (job % (slots - 1)) * conf->guest_ranks + rank + 1;
	addr.s_addr = htonl(base + offset);
	inet_ntop(AF_INET, &addr, ip_r, 16);
	snprintf(mac_r, 18, "00:16:3e:%02x:%02x:%02x", offset >> 16 & 0xff, offset >> 8 & 0xff, offset & 0xff);
	return 0;
}
