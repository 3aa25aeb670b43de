/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * claims.h - who of a group writes what is new at several of its members (Across=yes).
 *
 * Members save at the same time, and most of what is new at one is new at others: kernel, libraries, page cache. Each
 * member's agent owns a share of all hashes; a worker that has new pages asks the owners, thousands at a time, which of
 * them somebody else has asked for before (POST /v1/snapshots/J.n/claims). Who asks first for a page writes it. Who is
 * told that another does leaves it out, and finds it in that one's packs when they are finished: pages.h.
 *
 *  - A promise is kept or there is no snapshot: a map is written only when all of its pages have been found in finished
 *    packs, without its map a member does not vote, and only with all votes is there a manifest.
 *  - Whoever gets no answer in time writes the page itself, and so does who asks an agent that does not know what was
 *    asked before (it was started anew, its table is full): a slow or dead owner costs bytes, never the snapshot.
 *    After a snapshot that failed here the member's next ones ask nobody: what is alike goes with the pass of compact.h.
 *  - The answers are not believed: what is in a finished pack is.
 *  - Groups are divided in sets of CLAIMS_SET members (rank / CLAIMS_SET), which share among themselves: so how many
 *    owners are asked, whose packs a map needs, and how many entries an owner has does not grow with the group.
 *  - The agent's part is a lookup in a table in memory: CLAIMS_MOST entries of 24 bytes for a job's newest snapshot,
 *    freed when nobody has asked for CLAIMS_IDLE_MS. Nobody asks while the guest stands still: pages_writer_pause().
 */
#ifndef FM_CLAIMS_H
#define FM_CLAIMS_H

#include "agent/claims_limits.h"
#include "agent/job.h"

#define CLAIMS_MOST (1u << 20)
#define CLAIMS_IDLE_MS 60000

/* For the worker's request; NULL: nobody is to be asked. The caller's to put. */
struct json_object *claims_request(const struct job *job, const struct fm_snapshot_id *id);

/* POST /v1/snapshots/J.n/claims {rank, hashes: hex}: {others: hex, a bit a hash, the first is the lowest of a byte}. */
void route_claims(struct request *req, const struct fm_snapshot_id *id);

/* The job has no member here any more. */
void claims_forget(struct agent *agent, uint32_t job);
void claims_free(struct agent *agent);

#endif
