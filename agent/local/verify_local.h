/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verify_local.h - packs of one folder, read from end to end by all processors at once. */
#ifndef FM_LOCAL_VERIFY_LOCAL_H
#define FM_LOCAL_VERIFY_LOCAL_H

#include <stdbool.h>

#include "agent/store/pages/pages.h"

struct packs_verify {
	const char *pages; /* the folder */
	uint32_t job;
	const struct pages_key *key;
	size_t count;
	const char *(*id)(const void *arg, size_t i); /* of the i-th pack */
	/* What became of it (pages_pack_verify()); never two at a time, in any order. false: begin no more. */
	bool (*each)(void *arg, size_t i, int rc, const struct pages_verdict *verdict, const struct fm_error *err);
	void *arg;
};

void packs_verify(const struct packs_verify *v);

#endif
