/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * protect.h - what LocalDir=, Protect= and Racks= say.
 *
 *	Protect=none | partner | xor:K | rs:K+M
 *	Racks=RACK:HOSTLIST …      "r1:n[1-8] r2:n[9-16]"
 */
#ifndef FM_PROTECT_H
#define FM_PROTECT_H

#include <stddef.h>

#include "conf.h"
#include "error.h"

#define FM_PROTECT_K_MAX 64u
#define FM_PROTECT_M_MAX 16u

/* k data to m parity shards; none: both 0; partner: 1 and 1. FM_USAGE. */
int fm_protect_parse(const char *text, unsigned *k_r, unsigned *m_r, struct fm_error *err);

/* All of them, against each other too. */
int fm_protect_check(const struct fm_conf *conf, struct fm_error *err);

/* The rack of a node, "" where none is known; in rack_r, which is returned. */
const char *fm_rack_of(const struct fm_conf *conf, const char *node, char *rack_r, size_t size);

#endif
