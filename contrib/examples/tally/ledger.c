/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ledger.c - see ledger.h. */
#include "ledger.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 4096

static int make_room(struct ledger *ledger, uint32_t number)
{
	uint32_t room = ledger->room ? ledger->room : ROOM_FIRST;
	uint8_t *seen;

	if (number < ledger->room)
		return 0;
	while (room <= number)
		room *= 2;
	seen = realloc(ledger->seen, room / 8);
	if (!seen)
		return -1;
	memset(seen + ledger->room / 8, 0, (room - ledger->room) / 8);
	ledger->seen = seen;
	ledger->room = room;
	return 0;
}

int ledger_take(struct ledger *ledger, uint32_t number)
{
	uint8_t bit = (uint8_t)(1u << number % 8);

	if (number >= LEDGER_MAX || make_room(ledger, number) < 0)
		return -1;
	if (ledger->seen[number / 8] & bit) {
		ledger->doubled++;
		return 0;
	}
	ledger->seen[number / 8] |= bit;
	ledger->came++;
	if (number < ledger->next)
		ledger->reordered++;
	else
		ledger->next = number + 1;
	return 0;
}

int64_t ledger_lost(const struct ledger *ledger, uint32_t sent)
{
	return (int64_t)sent - ledger->came;
}

static bool is_here(const struct ledger *ledger, uint32_t number)
{
	return number < ledger->room && ledger->seen[number / 8] & 1u << number % 8;
}

uint32_t ledger_missing(const struct ledger *ledger, uint32_t from, uint32_t sent, uint32_t *first_r)
{
	uint32_t end;

	while (from < sent && is_here(ledger, from))
		from++;
	for (end = from; end < sent && !is_here(ledger, end);)
		end++;
	*first_r = from;
	return end - from;
}

void ledger_dispose(struct ledger *ledger)
{
	free(ledger->seen);
	memset(ledger, 0, sizeof(*ledger));
}
