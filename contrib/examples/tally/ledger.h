/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ledger.h - which numbers of one sender's messages of one kind have come.
 *
 * Exact, not estimated: every number has a bit, so a message that comes late is
 * told from one that comes twice, however late it is.
 */
#ifndef TALLY_LEDGER_H
#define TALLY_LEDGER_H

#include <stdint.h>

#define LEDGER_MAX (1u << 24) /* a higher number is no number of ours */

struct ledger {
	uint8_t *seen; /* a bit each */
	uint32_t room; /* numbers `seen` has bits for */
	uint32_t next; /* the highest that came, and one */
	uint32_t came; /* different ones */
	uint32_t doubled;
	uint32_t reordered; /* came after a higher one */
	uint32_t damaged;   /* content is not what was sent; counted by the caller */
};

/* A message has come. -1: the number is beyond LEDGER_MAX, or no memory. */
int ledger_take(struct ledger *ledger, uint32_t number);

/* Of `sent`, how many have not come; negative when more came than were sent. */
int64_t ledger_lost(const struct ledger *ledger, uint32_t sent);

/* The first missing number from `from` on, below `sent`, and how many in a row; 0: none. */
uint32_t ledger_missing(const struct ledger *ledger, uint32_t from, uint32_t sent, uint32_t *first_r);

void ledger_dispose(struct ledger *ledger);

#endif
