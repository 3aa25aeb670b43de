/* SPDX-License-Identifier: GPL-2.0-or-later */
/* survey_private.h - between survey.c (asking), survey_code.c (parity), survey_repair.c and survey_levels.c. */
#ifndef FM_LOCAL_SURVEY_PRIVATE_H
#define FM_LOCAL_SURVEY_PRIVATE_H

#include "agent/local/records.h"
#include "agent/local/survey.h"

struct survey_node {
	char *name;
	struct survey *survey;
	struct json_object *reply; /* local_check_disk()'s; NULL: why not */
	struct fm_error why;
};

struct survey {
	const struct fm_conf *conf;
	struct fm_snapshot_id id;
	struct records records;
	struct survey_node *node;
	size_t nodes;
};

/* Blocking, to its agent. what: "disk", "protect". reply_r may be NULL. */
int survey_call(const struct survey *s, uint32_t n, const char *node, const char *what, struct json_object *body,
		struct json_object **reply_r, struct fm_error *err);
/* NULL: not asked. */
struct survey_node *survey_node(const struct survey *s, const char *name);
/* What the node said of a pack ("packs") or shard ("shards"); NULL: nothing, or it did not answer. */
struct json_object *survey_said(const struct survey *s, const char *node, const char *what, const char *name);
bool survey_said_good(const struct survey *s, const char *node, const char *what, const char *name);

/* ---- survey_code.c: one code of a record ---- */

struct survey_code {
	const struct placement *record;
	const struct sets *sets;
	size_t set;
	unsigned code, k, m;
	char name[64];             /* of its state */
	/* After survey_load(): */
	struct json_object *state; /* NULL: none */
	size_t shards;             /* that are made: 0 or m */
};

/* A shard that is made, and what its node said of it: NULL: nothing, or of an earlier one under that name. */
struct survey_shard {
	const char *node, *name;
	struct json_object *said;
};

/* Each code of each record that matters, until `each` says other than 0. */
typedef int (*survey_code_fn)(const struct survey *s, struct survey_code *code, void *arg);
int survey_codes(const struct survey *s, survey_code_fn each, void *arg);
/* Its state, read once. A shared directory's file: only where it is wanted. */
void survey_load(const struct survey *s, struct survey_code *c);
struct survey_shard survey_shard(const struct survey *s, const struct survey_code *c, size_t j);

const struct placement_member *survey_data(const struct survey_code *c, unsigned p);
/* All packs that have bytes of data shard p are good on that node. */
bool survey_data_good(const struct survey *s, const struct survey_code *c, unsigned p);
/* Shards, data too, that are not, or whose node did not answer. */
unsigned survey_lost(const struct survey *s, struct survey_code *c);
/* Parity gives the pack. */
bool survey_protected(const struct survey *s, const char *pack);
/* The states: "damaged" or, if all is well again, "whole". */
void survey_mark(const struct survey *s);

#endif
