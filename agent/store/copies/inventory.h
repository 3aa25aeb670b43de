/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inventory.h - snapshots that levels have and StoreDir has not (any more), for who looks what there is. */
#ifndef FM_STORE_COPIES_INVENTORY_H
#define FM_STORE_COPIES_INVENTORY_H

#include "agent/store/copies/site.h"
#include "common/json.h"

/*
 * Ask every level: adds store_describe() objects with "only_on" and "levels" to `list` (store_list()'s), of one job or of
 * all (0), each once, of the nearest level. What was removed on purpose is passed over. errors: {name, error} of those that
 * could not be asked.
 */
void inventory_add(struct site *site, uint32_t job, struct json_object *list, struct json_object *errors);

/* o, a store_describe() object, comes from the level's manifest alone. */
void inventory_mark(const struct fm_conf *conf, size_t level, struct json_object *o);

#endif
