/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pack_finish.c - the end of a pack: index, trailer, fsync, name, fsync of the folder.
 *
 * The name is given last and says what the content is, so whatever happens before leaves a .part file only.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/pages/hash.h"
#include "agent/store/pages/pack_write.h"
#include "agent/store/pages/pack_write_private.h"
#include "common/cleanup.h"
#include "common/io.h"

struct sorted {
	struct disk_order entry;
	const uint8_t *hash;
};

static int by_hash(const void *a, const void *b)
{
	return memcmp(((const struct sorted *)a)->hash, ((const struct sorted *)b)->hash, 32);
}

/* Caller frees. */
static struct disk_order *order_make(const struct pack_writer *w, struct fm_error *err)
{
	FM_AUTO_FREE struct sorted *sorted = calloc(w->slots, sizeof(*sorted));
	struct disk_order *order = calloc(w->slots, sizeof(*order));

	if (!sorted || !order) {
		free(order);
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	for (uint32_t i = 0; i < w->slots; i++) {
		uint32_t be;

		memcpy(&be, w->hash[i], sizeof(be));
		sorted[i] = (struct sorted){ { be32toh(be), i }, w->hash[i] };
	}
	qsort(sorted, w->slots, sizeof(*sorted), by_hash);
	for (uint32_t i = 0; i < w->slots; i++)
		order[i] = sorted[i].entry;
	return order;
}

static int frames_await(struct pack_writer *w, uint32_t frames, struct fm_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&w->lock);
	while (w->broken.code == FM_OK && w->next < frames)
		pthread_cond_wait(&w->written, &w->lock);
	if (w->broken.code != FM_OK) {
		*err = w->broken;
		rc = -1;
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

static int put(struct pack_writer *w, EVP_MD_CTX *context, const void *data, size_t size, struct fm_error *err)
{
	if (context && !EVP_DigestUpdate(context, data, size))
		return fm_fail(err, FM_FAILED, "SHA-256 failed");
	if (fm_write_all(w->fd, data, size) < 0)
		return fm_fail(err, FM_FAILED, "cannot write %s (its index): %s", w->path, strerror(errno));
	w->at += size;
	return 0;
}

static int index_put(struct pack_writer *w, EVP_MD_CTX *context, const struct disk_order *order,
		     struct disk_pack_trailer *trailer, struct fm_error *err)
{
	static const char zeros[8];

	if (put(w, NULL, zeros, (size_t)(-w->at & 7), err) < 0)
		return -1;
	trailer->index_offset = w->at;
	if (put(w, context, w->frame, (size_t)w->next * sizeof(*w->frame), err) < 0 ||
	    put(w, context, w->hash, (size_t)w->slots * 32, err) < 0 ||
	    put(w, context, order, (size_t)w->slots * sizeof(*order), err) < 0 ||
	    put(w, context, w->location, (size_t)w->slots * sizeof(*w->location), err) < 0)
		return -1;
	trailer->index_size = w->at - trailer->index_offset;
	return 0;
}

static int end_put(struct pack_writer *w, EVP_MD_CTX *context, const struct disk_order *order, uint8_t id_r[32],
		   struct fm_error *err)
{
	struct disk_pack_trailer trailer = { .version = DISK_VERSION, .frames = w->next, .slots = w->slots,
					     .present = w->present };
	struct disk_pack_header header;

	memcpy(trailer.magic, DISK_END_MAGIC, sizeof(trailer.magic));
	if (pread(w->fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return fm_fail(err, FM_FAILED, "cannot read %s: %s", w->path, strerror(errno));
	if (pack_id(w->job, w->slots, (const uint8_t (*)[32])w->hash, id_r, err) < 0)
		return -1;
	memcpy(trailer.id, id_r, 32);
	if (!EVP_DigestInit_ex(context, EVP_sha256(), NULL) || !EVP_DigestUpdate(context, &header, sizeof(header)))
		return fm_fail(err, FM_FAILED, "SHA-256 failed");
	if (index_put(w, context, order, &trailer, err) < 0)
		return -1;
	if (!EVP_DigestUpdate(context, &trailer, offsetof(struct disk_pack_trailer, digest)) ||
	    !EVP_DigestFinal_ex(context, trailer.digest, NULL))
		return fm_fail(err, FM_FAILED, "SHA-256 failed");
	return put(w, NULL, &trailer, sizeof(trailer), err);
}

static int name_give(struct pack_writer *w, const uint8_t id[32], struct fm_error *err)
{
	FM_AUTO_FREE char *name = NULL;
	char hex[65];

	hash_hex(id, hex);
	name = fm_format("%s/%s" PACK_SUFFIX, w->dir, hex);
	if (!name)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (fsync(w->fd) < 0)
		return fm_fail(err, FM_FAILED, "cannot make %s durable: %s", w->path, strerror(errno));
	if (rename(w->path, name) < 0)
		return fm_fail(err, FM_FAILED, "cannot rename %s: %s", w->path, strerror(errno));
	w->named = true;
	/* NFS reports a full disk as late as here; the name is there then, but nobody is told to use it. */
	if (close(fm_steal_fd(&w->fd)) < 0)
		return fm_fail(err, FM_FAILED, "cannot close %s: %s", name, strerror(errno));
	return fm_fsync_dir(w->dir, err);
}

int pack_writer_finish(struct pack_writer *w, uint32_t frames, uint8_t id_r[32], uint64_t *bytes_r,
		       struct fm_error *err)
{
	FM_AUTO_FREE struct disk_order *order = NULL;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int rc = -1;

	if (!context)
		fm_fail(err, FM_FAILED, "out of memory");
	else if (frames_await(w, frames, err) == 0 && (order = order_make(w, err)) &&
		 end_put(w, context, order, id_r, err) == 0)
		rc = name_give(w, id_r, err);
	*bytes_r = w->at;
	EVP_MD_CTX_free(context);
	if (rc == 0)
		pack_writer_abort(w); /* now that it has its name there is nothing to take back */
	return rc;
}
