/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bundle.c - see bundle.h. */
#include "config.h"

#include "agent/local/bundle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/local/place.h"
#include "agent/store/parity/file.h"
#include "common/cleanup.h"
#include "common/io.h"

struct bundle {
	const struct fm_conf *conf;
	struct remotes *remotes;
	const struct placement_member *member;
	uint32_t job;
	bool here;
	uint64_t offset, length;
	char *text;
};

static int size(void *arg, uint64_t *size_r, struct fm_error *err)
{
	const struct bundle *b = arg;

	(void)err;
	*size_r = b->length;
	return 0;
}

static int read_here(const struct bundle *b, const struct placement_pack *pack, uint64_t offset, void *data, size_t n,
		     struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%" PRIu32 "/pages/%s" LOCAL_PACK_SUFFIX, b->conf->local_dir, b->job, pack->id);
	struct parity_source source;
	struct parity_in *in;
	int rc;

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	in = parity_in_open(path, 0, PARITY_TO_END, &source, err);
	if (!in)
		return -1;
	rc = source.read(source.arg, offset, data, n, err);
	parity_in_close(in);
	return rc;
}

static int read_pack(const struct bundle *b, const struct placement_pack *pack, uint64_t offset, void *data, size_t n,
		     struct fm_error *err)
{
	char name[64 + sizeof(LOCAL_PACK_SUFFIX)];

	if (b->here)
		return read_here(b, pack, offset, data, n, err);
	memcpy(name, pack->id, 64);
	memcpy(name + 64, LOCAL_PACK_SUFFIX, sizeof(LOCAL_PACK_SUFFIX));
	return remote_read(b->remotes, b->member->node, b->job, "pages", name, offset, data, n, err);
}

static int read_bytes(void *arg, uint64_t offset, void *data, size_t n, struct fm_error *err)
{
	const struct bundle *b = arg;
	const struct placement_packs *packs = &b->member->packs;
	uint64_t at = b->offset + offset, begin = 0;

	if (n > b->length || offset > b->length - n)
		return fm_fail(err, FM_CORRUPT, "%s ends at %" PRIu64, b->text, b->length);
	for (size_t i = 0; n > 0 && i < packs->count; begin += packs->pack[i++].bytes) {
		uint64_t end = begin + packs->pack[i].bytes;
		size_t some;

		if (at >= end)
			continue;
		some = n < end - at ? n : (size_t)(end - at);
		if (read_pack(b, &packs->pack[i], at - begin, data, some, err))
			return -1;
		data = (char *)data + some;
		at += some;
		n -= some;
	}
	return 0;
}

struct bundle *bundle_open(const struct fm_conf *conf, struct remotes *remotes, const struct placement *record, size_t member,
			   uint64_t offset, uint64_t length, struct parity_source *source_r, struct fm_error *err)
{
	struct bundle *b = calloc(1, sizeof(*b));

	if (b) {
		*b = (struct bundle){ .conf = conf, .remotes = remotes, .member = &record->member[member], .job = record->job,
				      .offset = offset, .length = length };
		b->here = strcmp(b->member->node, conf->node_name) == 0;
		b->text = fm_format("%s:packs of %" PRIu32 ".%" PRIu32, b->member->node, record->job, record->n);
	}
	if (!b || !b->text) {
		free(b);
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	*source_r = (struct parity_source){ b->text, size, read_bytes, NULL, b };
	return b;
}

void bundle_close(struct bundle *b)
{
	if (!b)
		return;
	free(b->text);
	free(b);
}
