/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * deaths.h - who died between two looks at the list of domains.
 *
 * A look is deaths_begin(), deaths_see() for every domain there, deaths_end().
 * Each death is reported once: a dead domain when first seen dead, and a vanished
 * one when it was alive at the look before.  Being suspended is no death.
 */
#ifndef FM_DEATHS_H
#define FM_DEATHS_H

#include "agent/hypervisor/hypervisor.h"

struct deaths;

struct deaths *deaths_create(domain_died_fn died, void *data); /* NULL without memory */
void deaths_destroy(struct deaths *d);                         /* NULL is fine */

void deaths_begin(struct deaths *d);
void deaths_see(const struct domain_info *info, void *deaths); /* a domain_each_fn */
void deaths_end(struct deaths *d);

#endif
