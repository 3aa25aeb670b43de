/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe.h - are the nodes of a snapshot there, with the packs that it needs of theirs? Asked at the same time; takes as
 * long as the slowest, some seconds for one that is dead.
 */
#ifndef FM_LOCAL_PROBE_H
#define FM_LOCAL_PROBE_H

#include "agent/local/state.h"

/* More nodes than that are not asked: the state stays what it was. */
#define PROBE_NODES_MAX 256u

/* LEVEL_FAILED, and the first node that is not there or has not what it should. */
void local_probe(const struct fm_conf *conf, const struct placement *r, struct level_progress *p);

#endif
