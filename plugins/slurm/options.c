/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.c - see options.h. */
#include "config.h"

#include "plugins/slurm/options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/duration.h"
#include "common/snapshot_id.h"

#define KEEP_MAX 100000
#define AGE_MAX_S (100 * 365 * 86400LL)

struct fm_options fm_options;

/* Slurm forwards an option without its value as the text "(null)". */
static int is_absent(const char *value)
{
	return !value || !*value || !strcmp(value, "(null)");
}

static int set_image(struct fm_options *o, const char *value, struct fm_error *err)
{
	o->vm = 1;
	o->image[0] = '\0';
	if (is_absent(value))
		return 0;
	if (strlen(value) >= sizeof o->image)
		return fm_fail(err, FM_USAGE, "the image's name is too long");
	if (value[0] == '.')
		return fm_fail(err, FM_USAGE, "\"%s\" is no image name", value);
	for (const char *p = value; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-+", *p))
			return fm_fail(err, FM_USAGE, "\"%s\" is no image name", value);
	strcpy(o->image, value);
	return 0;
}

static int set_interval(struct fm_options *o, const char *value, struct fm_error *err)
{
	if (fm_duration_slurm(is_absent(value) ? "" : value, &o->interval_s, err))
		return -1;
	if (o->interval_s == 0)
		return fm_fail(err, FM_USAGE, "the interval must be longer than 0");
	o->vm = 1;
	return 0;
}

static int set_keep(struct fm_options *o, const char *value, struct fm_error *err)
{
	char *end = NULL;
	long n = is_absent(value) || !isdigit((unsigned char)*value) ? 0 : strtol(value, &end, 10);

	if (n < 1 || n > KEEP_MAX || *end)
		return fm_fail(err, FM_USAGE, "\"%s\" is no number of snapshots to keep (1 to %d)",
			       is_absent(value) ? "" : value, KEEP_MAX);
	o->keep = n;
	return 0;
}

static int set_max_age(struct fm_options *o, const char *value, struct fm_error *err)
{
	if (fm_duration_slurm(is_absent(value) ? "" : value, &o->max_age_s, err))
		return -1;
	if (o->max_age_s == 0 || o->max_age_s > AGE_MAX_S)
		return fm_fail(err, FM_USAGE, "\"%s\" is no age to keep snapshots to (a second to 100 years)",
			       is_absent(value) ? "" : value);
	return 0;
}

static int set_restart(struct fm_options *o, const char *value, struct fm_error *err)
{
	struct fm_snapshot_id id;
	char text[24];

	if (fm_snapshot_id_parse(is_absent(value) ? "" : value, &id, err))
		return fm_context(err, "write --" FM_OPTION_RESTART "=JOB or =JOB.N");
	fm_snapshot_id_format(&id, text);
	strcpy(o->restart_from, text);
	o->vm = 1;
	return 0;
}

enum { OPTION_VM, OPTION_INTERVAL, OPTION_KEEP, OPTION_MAX_AGE, OPTION_RESTART, OPTION_COUNT };

static int callback(int val, const char *optarg, int remote);

/* spank.h wants char *, and only reads. */
#define OPTION(name_, arg, has_arg_, index, text)                                                  \
	[index] = { .name = (char *)(name_), .arginfo = (char *)(arg), .usage = (char *)(text),    \
		    .has_arg = has_arg_, .val = index, .cb = callback }

/* has_arg is getopt's: 2 makes "--vm" without a value leave the next word alone. */
static struct spank_option table[OPTION_COUNT] = {
	OPTION("vm", "[image]", 2, OPTION_VM,
	       "run the job in Xen VMs that can be checkpointed (fermata)"),
	OPTION("checkpoint-interval", "time", 1, OPTION_INTERVAL,
	       "with --vm: checkpoint every so often; a bare number is minutes"),
	OPTION("checkpoint-keep", "N", 1, OPTION_KEEP, "with --vm: keep only the newest N checkpoints"),
	OPTION("checkpoint-max-age", "time", 1, OPTION_MAX_AGE,
	       "with --vm: keep no checkpoint longer than that, but the newest; a bare number is minutes"),
	OPTION(FM_OPTION_RESTART, "job[.n]", 1, OPTION_RESTART,
	       "go on from a checkpoint; without a script the saved one is used"),
};

static int (*const setters[OPTION_COUNT])(struct fm_options *, const char *, struct fm_error *) = {
	[OPTION_VM] = set_image,
	[OPTION_INTERVAL] = set_interval,
	[OPTION_KEEP] = set_keep,
	[OPTION_MAX_AGE] = set_max_age,
	[OPTION_RESTART] = set_restart,
};

static int callback(int val, const char *value, int remote)
{
	struct fm_error err;

	if (val < 0 || val >= OPTION_COUNT || !setters[val](&fm_options, value, &err))
		return 0;
	if (remote)
		fm_options.vm = 1; /* somebody bypassed sbatch: no way out of the VM */
	slurm_error("fermata: --%s: %s", table[val].name, err.text);
	return -1;
}

int fm_options_register(spank_t sp)
{
	for (int i = 0; i < OPTION_COUNT; i++)
		if (spank_option_register(sp, &table[i]) != ESPANK_SUCCESS) {
			slurm_error("fermata: cannot register --%s", table[i].name);
			return -1;
		}
	return 0;
}

int fm_option_set(struct fm_options *o, const char *name, const char *value, struct fm_error *err)
{
	for (int i = 0; i < OPTION_COUNT; i++)
		if (!strcmp(table[i].name, name))
			return setters[i](o, value, err) ? fm_context(err, "--%s", name) : 0;
	return fm_fail(err, FM_USAGE, "no option --%s", name);
}

int fm_options_ask(spank_t sp, struct fm_options *o, struct fm_error *err)
{
	memset(o, 0, sizeof *o);
	for (int i = 0; i < OPTION_COUNT; i++) {
		char *value = NULL;

		if (spank_option_getopt(sp, &table[i], &value) != ESPANK_SUCCESS)
			continue;
		if (setters[i](o, value, err)) {
			o->vm = 1; /* it is one, and has to be told why it cannot run */
			return fm_context(err, "--%s", table[i].name);
		}
	}
	return 0;
}

void fm_options_hide(spank_t sp)
{
	for (int i = 0; i < OPTION_COUNT; i++) {
		char name[128];

		snprintf(name, sizeof name, "SLURM_SPANK__SLURM_SPANK_OPTION_fermata_%s", table[i].name);
		for (char *p = name; *p; p++)
			if (*p == '-')
				*p = '_';
		spank_unsetenv(sp, name);
		spank_unsetenv(sp, name + strlen("SLURM_SPANK_"));
	}
}
