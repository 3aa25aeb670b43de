/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * message.c - a numbered message: a head that says who, to whom, of what kind and
 * which, and a filling that follows from it, so that damage is seen.
 */
#include <arpa/inet.h>
#include <string.h>

#include "tally.h"

#define MAGIC 0x54616C79u /* "Taly" */

struct head {
	uint32_t magic;
	uint8_t kind, unused;
	uint16_t from, to, size;
	uint32_t number;
};
_Static_assert(sizeof(struct head) == MESSAGE_MIN, "the head is as long as the header file says");

const char *const kind_names[KINDS] = { "raw", "udp", "tcp" };

static uint8_t filling(const struct head *head, unsigned at)
{
	uint32_t x = ntohl(head->number) * 2654435761u + at * 40503u + head->kind;

	return (uint8_t)(x >> 13);
}

void message_fill(uint8_t *message, unsigned size, enum kind kind, unsigned from, unsigned to, uint32_t number)
{
	struct head head = { .magic = htonl(MAGIC), .kind = (uint8_t)kind, .from = htons((uint16_t)from),
			     .to = htons((uint16_t)to), .size = htons((uint16_t)size), .number = htonl(number) };

	memcpy(message, &head, sizeof(head));
	for (unsigned i = sizeof(head); i < size; i++)
		message[i] = filling(&head, i);
}

int message_read(const uint8_t *message, unsigned size, enum kind kind, const struct options *o, uint32_t *number_r,
		 bool *sound_r)
{
	struct head head;
	unsigned from, to;

	if (size < sizeof(head))
		return -1;
	memcpy(&head, message, sizeof(head));
	from = ntohs(head.from);
	to = ntohs(head.to);
	if (head.magic != htonl(MAGIC) || head.kind != kind || to != o->rank || from >= o->ranks || from == o->rank)
		return -1;
	*number_r = ntohl(head.number);
	*sound_r = ntohs(head.size) <= size; /* a short frame is padded */
	for (unsigned i = sizeof(head); *sound_r && i < ntohs(head.size); i++)
		*sound_r = message[i] == filling(&head, i);
	return (int)from;
}
