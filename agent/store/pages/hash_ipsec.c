/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hash_ipsec.c - SHA-256 by Intel's multi-buffer library, opened when it is there.
 *
 * Its manager is a struct whose layout belongs to one version; so the version must be that of the headers, and the
 * first pages hashed are compared with libcrypto's hashes, with the key that is to be used, if there is one. The library
 * stays open: several threads use it.
 */
#include "config.h"

#include "agent/store/pages/hash.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/store/pages/pages.h"

#ifdef HAVE_INTEL_IPSEC_MB_H

#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <pthread.h>
#include <stdlib.h>

#include "agent/store/seal.h"

#define LIBRARY "libIPSec_MB.so.1"

static struct {
	pthread_once_t once;
	unsigned (*version)(void);
	IMB_MGR *(*create)(uint64_t flags);
	void (*init)(IMB_MGR *, IMB_ARCH *);
	void (*destroy)(IMB_MGR *);
	char why_not[160]; /* empty: it is there */
} library = { .once = PTHREAD_ONCE_INIT };

static void library_open(void)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!handle) {
		snprintf(library.why_not, sizeof(library.why_not), "%s is not installed", LIBRARY);
		return;
	}
	*(void **)&library.version = dlsym(handle, "imb_get_version");
	*(void **)&library.create = dlsym(handle, "alloc_mb_mgr");
	*(void **)&library.init = dlsym(handle, "init_mb_mgr_auto");
	*(void **)&library.destroy = dlsym(handle, "free_mb_mgr");
	if (!library.version || !library.create || !library.init || !library.destroy)
		snprintf(library.why_not, sizeof(library.why_not), "%s lacks functions", LIBRARY);
	else if (library.version() != IMB_VERSION_NUM)
		snprintf(library.why_not, sizeof(library.why_not), "%s is version %x, we were built for %x", LIBRARY,
			 library.version(), (unsigned)IMB_VERSION_NUM);
}

struct ipsec {
	IMB_MGR *manager;
	bool keyed;
	_Alignas(16) uint8_t inner[32]; /* SHA-256's state behind each of HMAC's first blocks */
	_Alignas(16) uint8_t outer[32];
};

static int job_done(const IMB_JOB *job, unsigned *done, struct fm_error *err)
{
	if (job->status != IMB_STATUS_COMPLETED)
		return fm_fail(err, FM_FAILED, "SHA-256 failed (ipsec-mb, status %d)", (int)job->status);
	++*done;
	return 0;
}

static void job_fill(const struct ipsec *ipsec, IMB_JOB *job, const void *page, uint8_t hash_r[32])
{
	memset(job, 0, sizeof(*job));
	job->cipher_mode = IMB_CIPHER_NULL;
	job->cipher_direction = IMB_DIR_ENCRYPT;
	job->chain_order = IMB_ORDER_HASH_CIPHER;
	job->hash_alg = ipsec->keyed ? IMB_AUTH_HMAC_SHA_256 : IMB_AUTH_SHA_256;
	if (ipsec->keyed) {
		job->u.HMAC._hashed_auth_key_xor_ipad = ipsec->inner;
		job->u.HMAC._hashed_auth_key_xor_opad = ipsec->outer;
	}
	job->src = page;
	job->msg_len_to_hash_in_bytes = PAGES_SIZE;
	job->auth_tag_output = hash_r;
	job->auth_tag_output_len_in_bytes = 32;
}

static int ipsec_pages(void *hasher, const void *const *page, size_t count, uint8_t (*hash_r)[32],
		       struct fm_error *err)
{
	const struct ipsec *ipsec = hasher;
	IMB_MGR *manager = ipsec->manager;
	unsigned done = 0;
	IMB_JOB *job;
	int rc = 0;

	for (size_t i = 0; i < count; i++) {
		job = IMB_GET_NEXT_JOB(manager);
		job_fill(ipsec, job, page[i], hash_r[i]);
		for (job = IMB_SUBMIT_JOB(manager); job; job = IMB_GET_COMPLETED_JOB(manager))
			rc |= job_done(job, &done, err);
	}
	while ((job = IMB_FLUSH_JOB(manager)))
		rc |= job_done(job, &done, err);
	if (rc == 0 && done != count)
		return fm_fail(err, FM_FAILED, "SHA-256 failed (ipsec-mb: %u of %zu done)", done, count);
	return rc;
}

/* Does it say what libcrypto says? An odd number of pages, so that lanes stay empty. */
static int ipsec_try(struct ipsec *ipsec, const uint8_t *key, struct fm_error *err)
{
	static const unsigned char text[3 * 4096] = "What is hashed here does not matter, as long as both do it.";
	const void *page[37];
	uint8_t theirs[37][32], ours[37][32];
	void *libcrypto = hash_libcrypto.create(key, err);
	int rc;

	if (!libcrypto)
		return -1;
	for (size_t i = 0; i < 37; i++)
		page[i] = text + 19 * i;
	rc = hash_libcrypto.pages(libcrypto, page, 37, ours, err);
	hash_libcrypto.destroy(libcrypto);
	if (rc < 0 || ipsec_pages(ipsec, page, 37, theirs, err) < 0)
		return -1;
	if (memcmp(ours, theirs, sizeof(ours)) != 0)
		return fm_fail(err, FM_NOT_FOUND, "ipsec-mb: its SHA-256 is not libcrypto's");
	return 0;
}

static void ipsec_destroy(void *hasher)
{
	struct ipsec *ipsec = hasher;

	if (!ipsec)
		return;
	library.destroy(ipsec->manager);
	seal_wipe(ipsec, sizeof(*ipsec));
	free(ipsec);
}

static void key_set(struct ipsec *ipsec, const uint8_t *key)
{
	uint8_t inner[HMAC_BLOCK], outer[HMAC_BLOCK];

	if (!key)
		return;
	hash_hmac_pads(key, inner, outer);
	IMB_SHA256_ONE_BLOCK(ipsec->manager, inner, ipsec->inner);
	IMB_SHA256_ONE_BLOCK(ipsec->manager, outer, ipsec->outer);
	seal_wipe(inner, sizeof(inner));
	seal_wipe(outer, sizeof(outer));
	ipsec->keyed = true;
}

static void *ipsec_create(const uint8_t *key, struct fm_error *err)
{
	struct ipsec *ipsec;

	pthread_once(&library.once, library_open);
	if (*library.why_not) {
		fm_fail(err, FM_NOT_FOUND, "ipsec-mb: %s", library.why_not);
		return NULL;
	}
	ipsec = calloc(1, sizeof(*ipsec));
	if (ipsec)
		ipsec->manager = library.create(0);
	if (!ipsec || !ipsec->manager) {
		free(ipsec);
		fm_fail(err, FM_FAILED, "ipsec-mb: out of memory");
		return NULL;
	}
	library.init(ipsec->manager, NULL);
	key_set(ipsec, key);
	if (ipsec_try(ipsec, key, err) < 0) {
		ipsec_destroy(ipsec);
		return NULL;
	}
	return ipsec;
}

#else

static void *ipsec_create(const uint8_t *key, struct fm_error *err)
{
	fm_fail(err, FM_NOT_FOUND, "ipsec-mb: built without its headers (libipsec-mb-dev)");
	return NULL;
}

static void ipsec_destroy(void *hasher)
{
}

static int ipsec_pages(void *hasher, const void *const *page, size_t count, uint8_t (*hash_r)[32],
		       struct fm_error *err)
{
	return fm_fail(err, FM_NOT_FOUND, "ipsec-mb: built without");
}

#endif

const struct hash_ops hash_ipsec_mb = {
	.name = "ipsec-mb",
	.create = ipsec_create,
	.destroy = ipsec_destroy,
	.pages = ipsec_pages,
};
