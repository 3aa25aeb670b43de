/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * credentials.h - the keys of an S3 level, from a file that only its owner reads:
 *
 *	access_key=…
 *	secret_key=…
 *	session_token=…		temporary credentials alone have one
 *
 * Empty lines and lines that begin with '#' are passed over.  Nothing of the
 * file's content is ever in an error.
 */
#ifndef FM_STORE_LEVEL_CREDENTIALS_H
#define FM_STORE_LEVEL_CREDENTIALS_H

#include "common/error.h"

struct credentials {
	char access_key[256];
	char secret_key[256];
	char session_token[4096]; /* "" for none */
};

/* FM_DENIED when others than its owner (we or root) may read it. */
int credentials_read(const char *path, struct credentials *credentials_r, struct fm_error *err);
void credentials_wipe(struct credentials *credentials);

#endif
