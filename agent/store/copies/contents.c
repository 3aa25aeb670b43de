/* SPDX-License-Identifier: GPL-2.0-or-later */
/* contents.c - see contents.h. */
#include "config.h"

#include "agent/store/copies/contents.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/auth.h"
#include "common/cleanup.h"

#define HEAD "fermata packs 1\n"
#define HEAD_ANY "fermata packs "
#define SEAL "sha256 "
#define SEAL_SIZE (strlen(SEAL) + 64 + 1)
#define HEX "0123456789abcdef"

int contents_add(struct contents *c, const struct contents_pack *pack, struct fm_error *err)
{
	if (c->count == c->room) {
		size_t room = 2 * c->room + 16;
		struct contents_pack *bigger = reallocarray(c->pack, room, sizeof(*bigger));

		if (!bigger)
			return fm_fail(err, FM_FAILED, "out of memory");
		c->pack = bigger;
		c->room = room;
	}
	c->pack[c->count++] = *pack;
	return 0;
}

int contents_add_all(struct contents *c, const struct contents *more, struct fm_error *err)
{
	for (size_t i = 0; i < more->count; i++)
		if (contents_add(c, &more->pack[i], err) < 0)
			return -1;
	return 0;
}

int contents_copy(struct contents *c, const struct contents *from, struct fm_error *err)
{
	memset(c, 0, sizeof(*c));
	return contents_add_all(c, from, err);
}

/* By id; of one id the one with the most pages first. */
static int compare(const void *a, const void *b)
{
	const struct contents_pack *x = a, *y = b;
	int order = strcmp(x->id, y->id);

	return order ? order : x->present > y->present ? -1 : x->present < y->present;
}

void contents_sort(struct contents *c)
{
	size_t kept = 0;

	if (c->count)
		qsort(c->pack, c->count, sizeof(*c->pack), compare);
	for (size_t i = 0; i < c->count; i++)
		if (!kept || strcmp(c->pack[i].id, c->pack[kept - 1].id))
			c->pack[kept++] = c->pack[i];
	c->count = kept;
}

static int compare_id(const void *id, const void *pack)
{
	return strcmp(id, ((const struct contents_pack *)pack)->id);
}

struct contents_pack *contents_find(const struct contents *c, const char *id)
{
	return c->count ? bsearch(id, c->pack, c->count, sizeof(*c->pack), compare_id) : NULL;
}

bool contents_same(const struct contents *a, const struct contents *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->pack[i].id, b->pack[i].id) || a->pack[i].bytes != b->pack[i].bytes ||
		    a->pack[i].present != b->pack[i].present)
			return false;
	return true;
}

void contents_dispose(struct contents *c)
{
	free(c->pack);
	memset(c, 0, sizeof(*c));
}

char *contents_text(const struct contents *c, struct fm_error *err)
{
	char hex[65], *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (f) {
		fputs(HEAD, f);
		for (size_t i = 0; i < c->count; i++)
			fprintf(f, "%s %" PRIu64 " %" PRIu32 "\n", c->pack[i].id, c->pack[i].bytes, c->pack[i].present);
		fflush(f);
		if (text)
			fm_sha256_hex(text, size, hex);
		fprintf(f, SEAL "%s\n", text ? hex : "");
	}
	if (f && fclose(f) == 0)
		return text;
	free(text);
	fm_fail(err, FM_FAILED, "out of memory");
	return NULL;
}

static int parse_line(struct contents *c, const char *line, struct fm_error *err)
{
	struct contents_pack pack = { 0 };
	int end = 0;

	if (sscanf(line, "%64[" HEX "] %" SCNu64 " %" SCNu32 "%n", pack.id, &pack.bytes, &pack.present, &end) != 3 ||
	    strlen(pack.id) != 64 || line[end] != '\n')
		return fm_fail(err, FM_CORRUPT, "a line in it is no pack's");
	return contents_add(c, &pack, err);
}

int contents_parse(struct contents *c, const char *text, size_t size, struct fm_error *err)
{
	const char *end = text + size;
	char hex[65];

	if (strlen(text) != size || strncmp(text, HEAD_ANY, strlen(HEAD_ANY)))
		return fm_fail(err, FM_CORRUPT, "it is no list of packs");
	if (strncmp(text, HEAD, strlen(HEAD)))
		return fm_fail(err, FM_INCOMPATIBLE, "it is a list of packs of another version");
	if (size < strlen(HEAD) + SEAL_SIZE)
		return fm_fail(err, FM_CORRUPT, "it is cut short");
	end -= SEAL_SIZE;
	fm_sha256_hex(text, (size_t)(end - text), hex);
	if (strncmp(end, SEAL, strlen(SEAL)) || strncmp(end + strlen(SEAL), hex, 64) || end[-1] != '\n' ||
	    end[SEAL_SIZE - 1] != '\n')
		return fm_fail(err, FM_CORRUPT, "it is damaged: its SHA-256 is wrong");
	for (const char *line = text + strlen(HEAD); line < end; line = strchr(line, '\n') + 1)
		if (parse_line(c, line, err) < 0)
			return -1;
	return 0;
}
