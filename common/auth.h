/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * auth.h - who is calling: MUNGE credentials bound to one HTTP request, or that
 * carry a secret.
 *
 * A request's credential's payload is "METHOD PATH sha256hex(body)", so it cannot be
 * used for another request; munged refuses a replay and a stale one.
 */
#ifndef FM_AUTH_H
#define FM_AUTH_H

#include <stddef.h>
#include <sys/types.h>

#include "conf.h"
#include "error.h"

/* Credential for the Authorization header (without the "MUNGE " word); caller
 * frees.  root_only: only uid 0 on the other side can decode it. */
char *fm_auth_encode(const struct fm_conf *conf, const char *method, const char *path,
		     const void *body, size_t size, int root_only, struct fm_error *err);

/* Verify; FM_DENIED when it is stale, replayed, or for another request. */
int fm_auth_decode(const struct fm_conf *conf, const char *credential, const char *method,
		   const char *path, const void *body, size_t size, uid_t *uid_r, gid_t *gid_r,
		   struct fm_error *err);

/* A credential that holds a secret, encrypted, for root on another node alone; caller frees. */
char *fm_auth_seal(const struct fm_conf *conf, const char *text, struct fm_error *err);
/* The text in it, with a NUL; FM_DENIED when it is stale, replayed, or not from root. Caller frees. */
char *fm_auth_unseal(const struct fm_conf *conf, const char *credential, struct fm_error *err);

/* lower-case hex SHA-256 of data */
void fm_sha256_hex(const void *data, size_t size, char hex_r[65]);

#endif
