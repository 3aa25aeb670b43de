/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options.h - sbatch's --vm, --checkpoint-interval, --checkpoint-keep,
 * --checkpoint-max-age and --restart-from.
 *
 * Slurm calls an option's callback once for #SBATCH, once for the environment
 * and once for the command line, the last one winning: they only overwrite.
 * On the compute nodes the values come from the user's environment, so they
 * are checked again there, as root.
 */
#ifndef FM_SLURM_OPTIONS_H
#define FM_SLURM_OPTIONS_H

#include <slurm/spank.h>
#include <stdint.h>

#include "common/error.h"

#define FM_OPTION_MAX 256

struct fm_options {
	int vm;                           /* this is a Fermata job */
	char image[FM_OPTION_MAX];        /* "" = the site's default */
	char restart_from[FM_OPTION_MAX]; /* "", "J" or "J.n" */
	int64_t interval_s;               /* 0 = none */
	int64_t keep;                     /* 0 = all */
	int64_t max_age_s;                /* 0 = any */
};

/* What the callbacks have collected in this process. */
extern struct fm_options fm_options;

#define FM_OPTION_RESTART "restart-from"
/* The environment's default for --restart-from, as sbatch spells it. */
#define FM_OPTION_RESTART_ENV "SLURM_SPANK__SLURM_SPANK_OPTION_fermata_restart_from"

/* Only valid in slurm_spank_init. */
int fm_options_register(spank_t sp);

/* One option's value into o; shared by all ways an option arrives. */
int fm_option_set(struct fm_options *o, const char *name, const char *value, struct fm_error *err);

/* Prolog and epilog: no callbacks there, the values are asked for. */
int fm_options_ask(spank_t sp, struct fm_options *o, struct fm_error *err);

/* So that an sbatch inside the job is not a Fermata job unless it says so. */
void fm_options_hide(spank_t sp);

#endif
