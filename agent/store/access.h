/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * access.h - a job's page store and its key, as the configuration has them.
 *
 *	site has KeyFile, job has a key      encrypted
 *	site has KeyFile, job has no key     a writer makes one if the job has no pages yet; else the job began before
 *	                                     there was a KeyFile and stays as it is, to its end
 *	site has none, job has a key         FM_DENIED: it does not go on unencrypted
 *	site has none, job has no key        not encrypted
 *
 * Whether packs are what the key says is pages.h's to see.
 */
#ifndef FM_STORE_ACCESS_H
#define FM_STORE_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/store/key.h"
#include "agent/store/store.h"

struct store_access {
	char *folder; /* of the job */
	char *pages;  /* where its packs are: in the folder, or on the node's own disk */
	char *also;   /* where there are more of them, in the folder; NULL: nowhere */
	uint32_t job;
	struct pages_key *key; /* NULL: it is not encrypted */
};

/* folder: "<store>/<job>". key_file: KeyFile=; NULL or "": none. writer: see above. Close in any case. */
int store_access_open(struct store_access *a, const char *folder, uint32_t job, const char *key_file, bool writer,
		      struct fm_error *err);
/* The same where packs are written on the node's own disk: local: a folder of the job's there; NULL or "": none. */
int store_access_local(struct store_access *a, const char *folder, uint32_t job, const char *local, const char *key_file,
		       bool writer, struct fm_error *err);
/* The same by the store's folder. */
int store_access_job(struct store_access *a, const char *store, uint32_t job, const char *key_file, bool writer,
		     struct fm_error *err);
void store_access_close(struct store_access *a);

/* A small file of one of the job's snapshots (dir: "<store>/<job>/<n>"), sealed if the job is encrypted: store_file_write()
 * and store_file_read() (store.h); file->raw_bytes: of the data, file->bytes: of what lies on disk. */
int store_sealed_write(const struct store_access *a, const char *dir, const char *name, const void *data, size_t size,
		       struct store_file *file_r, struct fm_error *err);
int store_sealed_read(const struct store_access *a, const char *dir, const struct store_file *expected, size_t max,
		      void **data_r, size_t *size_r, struct fm_error *err);

#endif
