/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parity.h - what makes k data files, each on a node of its own, survive the loss of any m of k + m nodes.
 *
 * Of k data files m parity shards are made, one for each of m other nodes; any k of the k + m give the rest. k = 1 is
 * a copy (partner), m = 1 XOR, else Reed-Solomon: code.h. Which nodes: sets.h. Where bytes come from and go to is the
 * caller's, through sources and sinks (HTTP between nodes); files of this machine: file.h. man 5 fermata-store,
 * "PARITY SHARD", has every field of a shard file.
 *
 * Shards are numbered: 0 … k-1 data, k … k+m-1 parity. All are worked on in stripes, by default of 1 MiB a shard. A data
 * file that is shorter than the longest counts as padded by zeros, which are stored nowhere. Data files are what they
 * are, without header; a parity shard has lengths and SHA-256s of the data, and of every stripe the XXH3 of all shards.
 *
 * What holds:
 *  - nothing read is used before its stripe's checksum is right: a silently wrong shard is a lost one in that stripe,
 *    is named, and others are used; what is rebuilt is compared, too: stripe by stripe, and a data file with its SHA-256;
 *  - a sink is committed when all of it was written and is right, else it is aborted: one of both, once;
 *  - a parity shard rebuilt is the same file, byte by byte;
 *  - memory is (k + m) stripes and what a code takes (about 0.1 MiB), whatever the lengths.
 *
 * Without any parity shard that can be read there is nothing to compare the data with: then the caller must say what it
 * knows of the set (from the manifest), else parity_rebuild() refuses.
 *
 * All calls block. Errors: FM_USAGE bad arguments, FM_CORRUPT more is lost or damaged than can be rebuilt, or data are
 * not what they must be, FM_INCOMPATIBLE a later version's shard, else what a source or sink said; the text names the
 * shard. No global state: any number of threads.
 */
#ifndef FM_STORE_PARITY_H
#define FM_STORE_PARITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define PARITY_K_MAX 64u
#define PARITY_M_MAX 16u
#define PARITY_SHARDS_MAX (PARITY_K_MAX + PARITY_M_MAX)
#define PARITY_NAME_MAX 255u /* bytes of a data file's name */
#define PARITY_LENGTH_MAX ((uint64_t)1 << 46) /* of a data file: 64 TiB */
#define PARITY_STRIPE_MIN 64u /* and a multiple of it */
#define PARITY_STRIPE_MAX (16u << 20)
#define PARITY_STRIPE_DEFAULT (1u << 20)

/* ---- where bytes come from and go to ------------------------------------------------------------ */

/* A data file (or the part of one that takes part), or a parity shard. */
struct parity_source {
	const char *name; /* for errors: "node3/1234.3/member-0.map" */
	int (*size)(void *arg, uint64_t *size_r, struct fm_error *err);
	/*
	 * All of these bytes, or -1: then this stripe of it is lost. FM_NOT_FOUND, FM_DENIED and FM_TIMEOUT say that it is
	 * not worth asking again. Offsets ascend but for the first reads of a parity shard (header, end).
	 */
	int (*read)(void *arg, uint64_t offset, void *data, size_t size, struct fm_error *err);
	/* A hint: this will be read next. NULL: none wanted. */
	void (*ahead)(void *arg, uint64_t offset, uint64_t size);
	void *arg;
};

struct parity_sink {
	const char *name;
	int (*write)(void *arg, const void *data, size_t size, struct fm_error *err); /* in order */
	int (*commit)(void *arg, struct fm_error *err); /* there, whole and durable; on -1 abort() follows */
	void (*abort)(void *arg); /* as if it had never been */
	void *arg;
};

/* Before each stripe: so many bytes of each shard are done. -1 ends it all with that error; may wait (bandwidth). */
struct parity_pace {
	int (*step)(void *arg, uint64_t done, uint64_t total, struct fm_error *err);
	void *arg;
};

/* ---- making --------------------------------------------------------------------------------------- */

struct parity_data {
	const char *name; /* of the whole object, "node/…": 1 to PARITY_NAME_MAX bytes, no control characters */
	uint64_t offset;  /* where in the object the part begins that takes part here; 0 */
	uint64_t length;  /* of that part: what the source has */
	const char *sha256; /* of that part, hex, where it is known, or NULL */
};

struct parity_spec {
	unsigned k, m;
	uint32_t stripe; /* bytes; 0: PARITY_STRIPE_DEFAULT */
	const struct parity_data *data; /* k */
};

struct parity_made {
	char id[33];                       /* of this set of shards, random, hex: for the manifest */
	char data_sha256[PARITY_K_MAX][65];
	struct {
		uint64_t bytes;
		char sha256[65]; /* of the file */
	} shard[PARITY_M_MAX];
};

/*
 * source: k; sink: m, all ended here, also on error. A data file of another length, or with another SHA-256 than
 * known, is FM_CORRUPT, and no sink is committed. If a commit fails, sinks before it are committed already: a new make gives
 * all of them anew, with another id.
 */
int parity_make(const struct parity_spec *spec, const struct parity_source *source, const struct parity_sink *sink,
		const struct parity_pace *pace, struct parity_made *made_r, struct fm_error *err);

/* ---- what is there -------------------------------------------------------------------------------- */

enum parity_state { PARITY_WHOLE, PARITY_LOST, PARITY_DAMAGED };

struct parity_report {
	struct {
		enum parity_state state; /* WHOLE: nothing that was read of it was wrong */
		uint64_t stripes;        /* that were lost or damaged, where the rest may do */
		char text[192];          /* the first thing that was wrong: "node3/x: stripe 7 is damaged" */
	} shard[PARITY_SHARDS_MAX];
};

/* What is known of a set. */
struct parity_about {
	char id[33];
	uint32_t stripe;
	struct {
		char *name;
		uint64_t offset, length;
		char sha256[65];
	} data[PARITY_K_MAX];
};

struct parity_shards {
	unsigned k, m;
	const char *id; /* of the set, as made; or NULL: what is there must be of one set, else FM_CORRUPT */
	/* NULL, or what the set must be, id included: a parity shard that says something else is damaged. */
	const struct parity_about *known;
	const struct parity_source *const *source; /* k + m; NULL: lost */
};

/* ---- rebuilding ----------------------------------------------------------------------------------- */

/*
 * sink: k + m; NULL: not wanted. Any that is wanted may also have a source: what is right of it is used. Reads what it
 * needs, mostly k shards: *report_r is about these. Sinks are all ended here, also on error: FM_CORRUPT, naming each
 * lost and damaged shard, when more than m are in one stripe.
 */
int parity_rebuild(const struct parity_shards *shards, const struct parity_sink *const *sink,
		   const struct parity_pace *pace, struct parity_report *report_r, struct fm_error *err);

/* What the first parity shard that can be read says of its set. The names are the caller's: parity_about_dispose(). */
int parity_about(const struct parity_shards *shards, struct parity_about *about_r, struct fm_error *err);
void parity_about_dispose(struct parity_about *about, unsigned k);

/*
 * Reads everything. *rebuildable_r: no stripe has lost more than m. -1 when no parity shard can be read, and nothing is
 * known of the set.
 */
int parity_verify(const struct parity_shards *shards, const struct parity_pace *pace, struct parity_report *report_r,
		  bool *rebuildable_r, struct fm_error *err);

#endif
