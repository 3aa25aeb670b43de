/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link.h - the connections that a cut's frames (cut/wire.h) go over, on CutPort.
 *
 * A parent in a tree connects to its children; the connection stays open between
 * snapshots, so that the next one finds it warm, and is closed when unused for
 * LINK_IDLE_S.  Frames of all jobs share it, orders down, answers up.  Here bytes
 * become frames and nothing more: who may say what is tree.h's.
 *
 * Bounds: a frame is refused by its size before it is read whole (WIRE_SMALL
 * on a connection that came in, link_allow() on one that went out); what came in and
 * proves nothing within LINK_PROOF_S of the loop's running, or as the oldest of LINKS_UNPROVEN, is closed; so
 * is what comes in while LINKS_IN are open.  A peer whose host is dead is missed within about 5 s.
 */
#ifndef FM_LINK_H
#define FM_LINK_H

#include "agent/agent.h"

#define LINK_IDLE_S 900
#define LINK_PROOF_S 4
#define LINKS_IN 512
#define LINKS_UNPROVEN 128

struct links;
struct link;

struct link_events {
	/* A whole frame, which is gone afterwards. */
	void (*frame)(struct agent *agent, struct link *link, const uint8_t *data, size_t size);
	/* It is broken, refused or closed; link is invalid afterwards. Never called from within link_…(). */
	void (*lost)(struct agent *agent, struct link *link, const struct fm_error *error);
};

struct links *links_create(struct agent *agent, const struct link_events *events, struct fm_error *err);
/* From now on peers can come; going out is possible at once. */
int links_listen(struct links *links, struct fm_error *err);
/* Closes all, lost() is not called. NULL is fine. */
void links_destroy(struct links *links);

/* The connection to that node's agent; connects when there is none. NULL: out of memory. */
struct link *link_to(struct links *links, const char *node);
/* Its answers may be so large. */
void link_allow(struct link *link, size_t bytes);
/* One more user, one less: a link in use is not closed for idleness. */
void link_hold(struct link *link);
void link_release(struct link *link);
/* data is taken (free()); it waits until the connection is there. */
void link_send(struct link *link, uint8_t *data, size_t size);
/* A credential came over it. */
void link_proven(struct link *link);
bool link_is_proven(const struct link *link);
/* Close it: error is logged and told by lost(), from the loop. */
void link_refuse(struct link *link, const struct fm_error *error);
/* The last that is said over it, at once, as far as it goes without waiting. data is taken. */
void link_last_word(struct link *link, uint8_t *data, size_t size);
/* "n3", "from 10.0.0.3:4711" */
const char *link_name(const struct link *link);

#endif
