/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * site.h - the plug-in's own arguments in plugstack.conf, all optional:
 *
 *	required spank_fermata.so conf=/etc/fermata/fermata.conf
 *
 *	conf=PATH     fermata.conf, handed to the helper and the shim
 *	run=DIR       where job markers are (default /run/fermata/slurm)
 *	libexec=DIR   where fermata-slurm and fermata-shim are
 *
 * "%n" in a value is the node's name: several slurmd on one host.  An argument
 * with %n counts as absent where there is no node (sbatch).
 */
#ifndef FM_SLURM_SITE_H
#define FM_SLURM_SITE_H

#include "common/error.h"

#define FM_SITE_PATH_MAX 512

struct fm_site {
	char conf[FM_SITE_PATH_MAX]; /* "" = the compiled-in default */
	char run[FM_SITE_PATH_MAX];
	char libexec[FM_SITE_PATH_MAX];
};

/* node may be NULL.  An unknown argument is an error that names it. */
int fm_site_init(struct fm_site *site, const char *node, int ac, char *const av[], struct fm_error *err);

#endif
