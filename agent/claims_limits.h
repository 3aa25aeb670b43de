/* SPDX-License-Identifier: GPL-2.0-or-later */
/* claims_limits.h - what a worker that asks and an agent that answers have to agree on: claims.h. */
#ifndef FM_CLAIMS_LIMITS_H
#define FM_CLAIMS_LIMITS_H

#define CLAIMS_SET 16u     /* members that share among themselves */
#define CLAIMS_HASH 16u    /* bytes of a hash that are sent: a mistake is found when the whole one is in no pack */
#define CLAIMS_BATCH 4096u /* hashes in a request */

#endif
