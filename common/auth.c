/* SPDX-License-Identifier: GPL-2.0-or-later */
/* auth.c - see auth.h. */
#include "config.h"

#include "common/auth.h"

#include <munge.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/hex.h"
#include "common/io.h"

#define AUTH_TTL_S 60

void fm_sha256_hex(const void *data, size_t size, char hex_r[65])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (!EVP_Digest(data, size, digest, &n, EVP_sha256(), NULL))
		n = 0; /* an empty digest matches nothing */
	fm_hex(digest, n, hex_r);
}

/* What a credential is bound to: the request itself. */
static char *payload(const char *method, const char *path, const void *body, size_t size)
{
	char hex[65];

	fm_sha256_hex(body ? body : "", size, hex);
	return fm_format("%s %s %s", method, path, hex);
}

static munge_ctx_t context(const struct fm_conf *conf, struct fm_error *err)
{
	munge_ctx_t ctx = munge_ctx_create();

	if (!ctx) {
		fm_fail(err, FM_FAILED, "munge: out of memory");
		return NULL;
	}
	if (*conf->munge_socket && munge_ctx_set(ctx, MUNGE_OPT_SOCKET, conf->munge_socket) != EMUNGE_SUCCESS) {
		fm_fail(err, FM_FAILED, "munge: MungeSocket=%s: %s", conf->munge_socket, munge_ctx_strerror(ctx));
		munge_ctx_destroy(ctx);
		return NULL;
	}
	return ctx;
}

char *fm_auth_encode(const struct fm_conf *conf, const char *method, const char *path, const void *body,
		     size_t size, int root_only, struct fm_error *err)
{
	munge_ctx_t ctx = context(conf, err);
	FM_AUTO_FREE char *text = payload(method, path, body, size);
	char *credential = NULL;
	munge_err_t r = EMUNGE_SNAFU;

	if (!ctx)
		return NULL;
	if (text && munge_ctx_set(ctx, MUNGE_OPT_TTL, AUTH_TTL_S) == EMUNGE_SUCCESS &&
	    (!root_only || munge_ctx_set(ctx, MUNGE_OPT_UID_RESTRICTION, (uid_t)0) == EMUNGE_SUCCESS))
		r = munge_encode(&credential, ctx, text, (int)strlen(text));
	if (r != EMUNGE_SUCCESS)
		fm_fail(err, FM_FAILED, "munge: %s; is munged running?",
			munge_ctx_strerror(ctx) ? munge_ctx_strerror(ctx) : munge_strerror(r));
	munge_ctx_destroy(ctx);
	return r == EMUNGE_SUCCESS ? credential : NULL;
}

/* The two that mean a clock that is wrong say so: it is what an administrator can put right. */
static void refuse(munge_err_t e, struct fm_error *err)
{
	bool clock = e == EMUNGE_CRED_EXPIRED || e == EMUNGE_CRED_REWOUND;

	fm_fail(err, FM_DENIED, "munge: %s%s", munge_strerror(e), clock ? ": do the clocks of the two hosts agree?" : "");
}

int fm_auth_decode(const struct fm_conf *conf, const char *credential, const char *method, const char *path,
		   const void *body, size_t size, uid_t *uid_r, gid_t *gid_r, struct fm_error *err)
{
	munge_ctx_t ctx = context(conf, err);
	FM_AUTO_FREE char *expected = payload(method, path, body, size);
	void *got = NULL;
	int length = 0, r = -1;
	munge_err_t e;

	if (!ctx)
		return -1;
	e = munge_decode(credential, ctx, &got, &length, uid_r, gid_r);
	if (e != EMUNGE_SUCCESS)
		refuse(e, err);
	else if (!expected || length != (int)strlen(expected) || memcmp(got, expected, (size_t)length))
		fm_fail(err, FM_DENIED, "munge: the credential is for another request");
	else
		r = 0;
	free(got);
	munge_ctx_destroy(ctx);
	return r;
}

char *fm_auth_seal(const struct fm_conf *conf, const char *text, struct fm_error *err)
{
	munge_ctx_t ctx = context(conf, err);
	char *credential = NULL;
	munge_err_t r = EMUNGE_SNAFU;

	if (!ctx)
		return NULL;
	/* A site's default may be not to encrypt. */
	if (munge_ctx_set(ctx, MUNGE_OPT_TTL, AUTH_TTL_S) == EMUNGE_SUCCESS &&
	    munge_ctx_set(ctx, MUNGE_OPT_UID_RESTRICTION, (uid_t)0) == EMUNGE_SUCCESS &&
	    munge_ctx_set(ctx, MUNGE_OPT_CIPHER_TYPE, MUNGE_CIPHER_AES128) == EMUNGE_SUCCESS)
		r = munge_encode(&credential, ctx, text, (int)strlen(text));
	if (r != EMUNGE_SUCCESS)
		fm_fail(err, FM_FAILED, "munge: %s; is munged running?",
			munge_ctx_strerror(ctx) ? munge_ctx_strerror(ctx) : munge_strerror(r));
	munge_ctx_destroy(ctx);
	return r == EMUNGE_SUCCESS ? credential : NULL;
}

char *fm_auth_unseal(const struct fm_conf *conf, const char *credential, struct fm_error *err)
{
	munge_ctx_t ctx = context(conf, err);
	void *got = NULL;
	char *text = NULL;
	int length = 0;
	uid_t uid = (uid_t)-1;
	gid_t gid;
	munge_err_t r;

	if (!ctx)
		return NULL;
	r = munge_decode(credential, ctx, &got, &length, &uid, &gid);
	if (r != EMUNGE_SUCCESS)
		refuse(r, err);
	else if (uid != 0)
		fm_fail(err, FM_DENIED, "the credential is uid %u's, not root's", (unsigned)uid);
	else if (!(text = strndup(got ? got : "", (size_t)length)))
		fm_fail(err, FM_FAILED, "out of memory");
	free(got);
	munge_ctx_destroy(ctx);
	return text;
}
