/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flush.c - local_flush(): what the snapshot needs of this node's packs, into StoreDir.
 *
 * A pack is read from end to end and verified before it is copied: what is damaged here is not to become the copy that
 * outlives the node. It has its name in StoreDir when it is whole and durable there.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/local/place.h"
#include "agent/local/work.h"
#include "agent/store/access.h"
#include "agent/store/pages/pages.h"
#include "agent/store/parity/file.h"
#include "common/cleanup.h"
#include "common/io.h"

#define PIECE ((size_t)1 << 20)

struct flush {
	const struct fm_conf *conf;
	const struct placement *record;
	struct store_access access; /* pages: here; also: in StoreDir */
	struct pages_store *pages;
	struct copying copying;
	struct placement_packs packs; /* still to be copied */
};

static bool there(const char *dir, const char *id, uint64_t *bytes_r)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s" LOCAL_PACK_SUFFIX, dir, id);
	struct stat st;

	if (!path || lstat(path, &st) < 0)
		return false;
	*bytes_r = (uint64_t)st.st_size;
	return true;
}

/* What any member needs, is here, and is not there. */
static int choose(struct flush *f, struct fm_error *err)
{
	for (size_t i = 0; i < f->record->members; i++) {
		const struct placement_packs *needs = &f->record->member[i].needs;

		for (size_t j = 0; j < needs->count; j++) {
			const char *id = needs->pack[j].id;
			uint64_t bytes, ignored;

			if (there(f->access.pages, id, &bytes) && !there(f->access.also, id, &ignored) &&
			    !placement_packs_find(&f->packs, id) && placement_packs_add(&f->packs, id, bytes, err))
				return -1;
		}
	}
	return 0;
}

static int copy_bytes(struct flush *f, const struct parity_source *source, const struct parity_sink *sink,
		      struct fm_error *err)
{
	FM_AUTO_FREE unsigned char *data = malloc(PIECE);
	uint64_t size;

	if (!data)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (source->size(source->arg, &size, err))
		return -1;
	for (uint64_t at = 0; at < size;) {
		size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;

		copying_move(&f->copying, n);
		if (source->read(source->arg, at, data, n, err) || sink->write(sink->arg, data, n, err))
			return -1;
		at += n;
	}
	return 0;
}

static int copy_pack(struct flush *f, const char *id, struct fm_error *err)
{
	FM_AUTO_FREE char *from = fm_format("%s/%s" LOCAL_PACK_SUFFIX, f->access.pages, id);
	FM_AUTO_FREE char *to = fm_format("%s/%s" LOCAL_PACK_SUFFIX, f->access.also, id);
	struct pages_verdict verdict;
	struct parity_source source;
	struct parity_sink sink;
	struct parity_out *out;
	struct parity_in *in;
	int rc;

	if (!from || !to)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (pages_pack_verify(f->pages, id, &verdict, err) || fm_mkdir_all(f->access.also, 0700, err))
		return -1;
	in = parity_in_open(from, 0, PARITY_TO_END, &source, err);
	if (!in)
		return -1;
	out = parity_out_create(to, err);
	if (!out) {
		parity_in_close(in);
		return err->code == FM_BUSY ? 0 : -1; /* another node has it, too, and is at it */
	}
	parity_out_whole(out, &sink);
	rc = copy_bytes(f, &source, &sink, err);
	if (rc == 0)
		rc = sink.commit(sink.arg, err);
	if (rc)
		sink.abort(sink.arg);
	parity_out_close(out);
	parity_in_close(in);
	return rc;
}

static int flush_all(struct flush *f, const char *state, struct fm_error *err)
{
	struct fm_error ignored;
	int rc = choose(f, err);

	if (rc || copying_begin(&f->copying, f->conf, f->record, state, f->packs.bytes, err))
		return -1;
	for (size_t i = 0; rc == 0 && i < f->packs.count; i++)
		rc = copy_pack(f, f->packs.pack[i].id, err);
	if (rc == 0)
		return copying_end(&f->copying, NULL, NULL, err);
	copying_end(&f->copying, err, NULL, &ignored);
	return -1;
}

int local_flush(const struct fm_conf *conf, const struct fm_snapshot_id *id, unsigned rank, struct fm_error *err)
{
	FM_AUTO_FREE char *folder = fm_format("%s/%" PRIu32, conf->store_dir, id->job);
	FM_AUTO_FREE char *local = local_job(conf, id->job);
	FM_AUTO_FREE char *state = fm_format("flush-%u.json", rank);
	struct flush f = { .conf = conf };
	struct placement record;
	int rc;

	if (!folder || !local || !state)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (placement_read(conf->store_dir, id->job, id->n, &record, err))
		return -1;
	f.record = &record;
	if (folder_is_whole(conf->store_dir, id, err) != 1) { /* nobody needs it any more */
		placement_dispose(&record);
		return 0;
	}
	rc = record.flush ? store_access_local(&f.access, folder, id->job, local, conf->key_file, false, err) : 0;
	if (rc == 0 && record.flush) {
		f.pages = pages_store_open(f.access.pages, id->job, f.access.key, err);
		rc = f.pages ? flush_all(&f, state, err) : -1;
	}
	pages_store_close(f.pages);
	placement_packs_dispose(&f.packs);
	store_access_close(&f.access);
	placement_dispose(&record);
	return rc;
}
