/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * remote.h - files on other nodes' own disks, by HTTP from their agents (serve.h). Blocking: for helper processes.
 *
 * A node that does not answer is not asked again by the same process: it is dead, and that is why one asks. What
 * comes is compared with a SHA-256 that comes with it; what goes is covered by the credential.
 */
#ifndef FM_LOCAL_REMOTE_H
#define FM_LOCAL_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/store/parity/parity.h"
#include "common/conf.h"
#include "common/error.h"

#define REMOTE_PIECE ((size_t)1 << 20)   /* what is asked for at once */
#define REMOTE_PUT ((size_t)256 << 10)   /* what is sent at once: kept by the other side before it knows from whom */

struct remotes; /* connections of one process; one thread */

struct remotes *remotes_create(const struct fm_conf *conf, struct fm_error *err);
void remotes_destroy(struct remotes *r); /* NULL is fine */
/* Why a node counts as dead; NULL: it does not. */
const struct fm_error *remote_dead(const struct remotes *r, const char *node);

/* what: "pages" or "parity". FM_NOT_FOUND: it has no such file, or there is no connection; FM_TIMEOUT. */
int remote_size(struct remotes *r, const char *node, uint32_t job, const char *what, const char *name, uint64_t *size_r,
		struct fm_error *err);
int remote_read(struct remotes *r, const char *node, uint32_t job, const char *what, const char *name, uint64_t offset,
		void *data, size_t size, struct fm_error *err);

/* A parity shard there, as a source. Must outlive its use; remote_file_close(). */
struct remote_file;
struct remote_file *remote_file_open(struct remotes *r, const char *node, uint32_t job, const char *what,
				     const char *name, struct parity_source *source_r, struct fm_error *err);
void remote_file_close(struct remote_file *f); /* NULL is fine */

/* A parity shard to be made there, as a sink. remote_put_close() after it was committed or aborted. */
struct remote_put;
struct remote_put *remote_put_open(const struct fm_conf *conf, const char *node, uint32_t job, const char *name,
				   struct parity_sink *sink_r, struct fm_error *err);
void remote_put_close(struct remote_put *p); /* NULL is fine */

#endif
