/* SPDX-License-Identifier: GPL-2.0-or-later */
/* levels.h - what the agents say of the levels behind StoreDir, for people. */
#ifndef FM_CLI_LEVELS_H
#define FM_CLI_LEVELS_H

#include "common/error.h"
#include "common/json.h"

/* A snapshot's "levels": a line each. */
void print_levels(struct json_object *levels);
/* ", on s3": the last level that has it whole; ", only on s3"; NULL: StoreDir alone has it. Caller frees. */
char *levels_farthest(struct json_object *snapshot);
/* On stderr: which levels could not be asked. */
void levels_warn(struct json_object *errors);

/* A verify's "levels": a table of throughput, then what is damaged. */
int print_level_verdicts(struct json_object *levels, struct fm_error *err);
/* Is a file of any of them damaged? One that did not answer has none. */
bool levels_have_damage(struct json_object *levels);
/* A pruned job's "levels". */
void levels_print_trim(long long job, struct json_object *levels, int dry_run);

/* "30.1 from level second (3 files, 1.2 MiB fetched)"; NULL for a job that was not restored. Caller frees. */
char *print_restored(struct json_object *job);

#endif
