/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim_pages.c - see sim_pages.h. */
#include "config.h"

#include "agent/hypervisor/sim_pages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hypervisor/sim.h"
#include "agent/xenstream/format.h"
#include "common/cleanup.h"
#include "common/io.h"

#define FILE_MAX_ ((size_t)16 << 20)

static int parse(struct sim_pages *p, char *text, const char *path, struct fm_error *err)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		uint64_t page;
		uint32_t version;

		if (sscanf(line, "%" SCNu64 " %" SCNu32, &page, &version) != 2 || page >= p->count)
			return fm_fail(err, FM_USAGE, "%s: \"%.32s\" is no page and version", path, line);
		p->version[page] = version;
	}
	return 0;
}

int sim_pages_load(struct hypervisor *hv, const char *name, uint64_t count, struct sim_pages *p, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s.pages", hv->dir, name);
	FM_AUTO_FREE char *text = NULL;

	*p = (struct sim_pages){ calloc(count ? count : 1, sizeof(*p->version)), count };
	if (!path || !p->version)
		return fm_fail(err, FM_FAILED, "out of memory");
	text = fm_file_read(path, FILE_MAX_, NULL, err);
	if (!text)
		return err->code == FM_NOT_FOUND ? 0 : -1;
	return parse(p, text, path, err);
}

int sim_pages_store(struct hypervisor *hv, const char *name, const struct sim_pages *p, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s.pages", hv->dir, name);
	FM_AUTO_FREE char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	for (uint64_t i = 0; f && i < p->count; i++)
		if (p->version[i])
			fprintf(f, "%" PRIu64 " %" PRIu32 "\n", i, p->version[i]);
	if (!f || fclose(f) != 0 || !path)
		return fm_fail(err, FM_FAILED, "out of memory");
	return size ? fm_file_write(path, 0600, text, size, err) : 0;
}

void sim_pages_dispose(struct sim_pages *p)
{
	free(p->version);
	p->version = NULL;
}

void *sim_pages_encode(const struct sim_pages *p, size_t *size_r, struct fm_error *err)
{
	unsigned char *bytes = NULL;
	uint32_t any = 0;

	for (uint64_t i = 0; i < p->count; i++)
		any |= p->version[i];
	*size_r = any ? p->count * 4 : 0;
	if (!any)
		return NULL;
	bytes = malloc(*size_r);
	for (uint64_t i = 0; bytes && i < p->count; i++)
		xenstream_put_le32(bytes + i * 4, p->version[i]);
	if (!bytes)
		fm_fail(err, FM_FAILED, "out of memory");
	return bytes;
}

int sim_pages_compare(const struct sim_pages *p, const void *encoded, size_t size, struct fm_error *err)
{
	const unsigned char *bytes = encoded;

	if (size && size != p->count * 4)
		return fm_fail(err, FM_CORRUPT, "versions of other than %" PRIu64 " pages", p->count);
	for (uint64_t i = 0; i < p->count; i++) {
		uint32_t was = size ? xenstream_le32(bytes + i * 4) : 0;

		if (p->version[i] != was)
			return fm_fail(err, FM_CORRUPT, "page %" PRIu64 " is of version %" PRIu32 ", not %" PRIu32, i,
				       p->version[i], was);
	}
	return 0;
}
