/* SPDX-License-Identifier: GPL-2.0-or-later */
/* deaths.c - see deaths.h. */
#include "config.h"

#include "agent/hypervisor/deaths.h"

#include <stdlib.h>
#include <string.h>

struct known {
	char name[DOMAIN_NAME_SIZE];
	uint32_t domid;
	bool seen;     /* in this look */
	bool reported; /* its death */
};

struct deaths {
	domain_died_fn died;
	void *data;
	struct known *known;
	size_t count, room;
};

struct deaths *deaths_create(domain_died_fn died, void *data)
{
	struct deaths *d = calloc(1, sizeof(*d));

	if (d) {
		d->died = died;
		d->data = data;
	}
	return d;
}

void deaths_destroy(struct deaths *d)
{
	if (d)
		free(d->known);
	free(d);
}

void deaths_begin(struct deaths *d)
{
	for (size_t i = 0; i < d->count; i++)
		d->known[i].seen = false;
}

/* A number is used once as long as the host runs; a name comes again. */
static struct known *find(struct deaths *d, const struct domain_info *info)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->known[i].domid == info->domid && strcmp(d->known[i].name, info->name) == 0)
			return &d->known[i];
	if (d->count == d->room) {
		size_t room = d->room ? d->room * 2 : 16;
		struct known *more = realloc(d->known, room * sizeof(*more));

		if (!more)
			return NULL; /* seen at a later look */
		d->known = more;
		d->room = room;
	}
	d->known[d->count] = (struct known){ .domid = info->domid };
	memcpy(d->known[d->count].name, info->name, DOMAIN_NAME_SIZE);
	return &d->known[d->count++];
}

static void report(struct deaths *d, struct known *k, enum domain_death death)
{
	if (!k->reported)
		d->died(k->name, k->domid, death, d->data);
	k->reported = true;
}

void deaths_see(const struct domain_info *info, void *deaths)
{
	struct deaths *d = deaths;
	struct known *k = find(d, info);

	if (!k)
		return;
	k->seen = true;
	if (info->state == DOMAIN_DEAD)
		report(d, k, info->death);
	else if (info->state == DOMAIN_DYING)
		report(d, k, DEATH_GONE);
}

void deaths_end(struct deaths *d)
{
	for (size_t i = 0; i < d->count;) {
		if (d->known[i].seen) {
			i++;
			continue;
		}
		report(d, &d->known[i], DEATH_GONE);
		d->known[i] = d->known[--d->count];
	}
}
