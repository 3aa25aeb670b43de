/* SPDX-License-Identifier: GPL-2.0-or-later */
/* protect.c - see protect.h. */
#include "config.h"

#include "common/protect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/hostlist.h"

int fm_protect_parse(const char *text, unsigned *k_r, unsigned *m_r, struct fm_error *err)
{
	char rest;

	*k_r = *m_r = 0;
	if (strcmp(text, "none") == 0)
		return 0;
	*m_r = 1;
	if (strcmp(text, "partner") == 0)
		*k_r = 1;
	else if (sscanf(text, "xor:%2u%c", k_r, &rest) != 1 && sscanf(text, "rs:%2u+%2u%c", k_r, m_r, &rest) != 2)
		return fm_fail(err, FM_USAGE, "Protect=%s: say none, partner, xor:K or rs:K+M", text);
	if (*k_r < 1 || *k_r > FM_PROTECT_K_MAX || *m_r < 1 || *m_r > FM_PROTECT_M_MAX)
		return fm_fail(err, FM_USAGE, "Protect=%s: K is 1 to %u, M is 1 to %u", text, FM_PROTECT_K_MAX,
			       FM_PROTECT_M_MAX);
	return 0;
}

/* 1: the rack's, 0 not, -1. word: "RACK:HOSTLIST"; node NULL: only whether it is one. */
static int rack_has(const char *word, const char *node, struct fm_error *err)
{
	const char *colon = strchr(word, ':');
	struct fm_hostlist list;
	int found = 0;

	if (!colon || colon == word || !colon[1])
		return fm_fail(err, FM_USAGE, "Racks: \"%s\" is not RACK:HOSTLIST", word);
	if (fm_hostlist_parse(&list, colon + 1, err))
		found = fm_context(err, "Racks");
	for (size_t i = 0; node && found == 0 && i < list.count; i++)
		found = strcmp(list.names[i], node) == 0;
	fm_hostlist_dispose(&list);
	return found;
}

int fm_protect_check(const struct fm_conf *conf, struct fm_error *err)
{
	FM_AUTO_FREE char *racks = strdup(conf->racks);
	char *save = NULL;
	unsigned k, m;

	if (fm_protect_parse(conf->protect, &k, &m, err))
		return -1;
	if (m && !*conf->local_dir)
		return fm_fail(err, FM_USAGE, "Protect=%s is for what is on the nodes' own disks: it needs LocalDir", conf->protect);
	if (*conf->local_dir && *conf->local_dir != '/')
		return fm_fail(err, FM_USAGE, "LocalDir=%s is not an absolute path", conf->local_dir);
	if (*conf->local_dir && strcmp(conf->local_dir, conf->store_dir) == 0)
		return fm_fail(err, FM_USAGE, "LocalDir and StoreDir are one folder, %s", conf->local_dir);
	if (!racks)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (char *word = strtok_r(racks, " \t", &save); word; word = strtok_r(NULL, " \t", &save))
		if (rack_has(word, NULL, err) < 0)
			return -1;
	return 0;
}

const char *fm_rack_of(const struct fm_conf *conf, const char *node, char *rack_r, size_t size)
{
	FM_AUTO_FREE char *racks = strdup(conf->racks);
	struct fm_error ignored;
	char *save = NULL;

	*rack_r = '\0';
	for (char *word = racks ? strtok_r(racks, " \t", &save) : NULL; word; word = strtok_r(NULL, " \t", &save))
		if (rack_has(word, node, &ignored) > 0) {
			snprintf(rack_r, size, "%.*s", (int)strcspn(word, ":"), word);
			break;
		}
	return rack_r;
}
