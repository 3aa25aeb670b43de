/* SPDX-License-Identifier: GPL-2.0-or-later */
/* site.c - see site.h. */
#include "config.h"

#include "plugins/slurm/site.h"

#include <stdio.h>
#include <string.h>

/* Copy value with every %n replaced; "" when there is a %n and no node. */
static int expand(char out[FM_SITE_PATH_MAX], const char *value, const char *node, struct fm_error *err)
{
	size_t used = 0;

	for (const char *p = value; *p;) {
		const char *piece = p;
		size_t n = 1;

		if (p[0] == '%' && p[1] == 'n') {
			if (!node) {
				out[0] = '\0';
				return 0;
			}
			piece = node;
			n = strlen(node);
			p++;
		}
		p++;
		if (used + n >= FM_SITE_PATH_MAX)
			return fm_fail(err, FM_USAGE, "plugstack.conf: value too long: %s", value);
		memcpy(out + used, piece, n);
		used += n;
	}
	out[used] = '\0';
	return 0;
}

int fm_site_init(struct fm_site *site, const char *node, int ac, char *const av[], struct fm_error *err)
{
	const struct {
		const char *name;
		char *value;
	} keys[] = { { "conf=", site->conf }, { "run=", site->run }, { "libexec=", site->libexec } };

	site->conf[0] = '\0';
	snprintf(site->run, sizeof site->run, "/run/fermata/slurm");
	snprintf(site->libexec, sizeof site->libexec, "%s", FM_LIBEXECDIR);
	for (int i = 0; i < ac; i++) {
		size_t k, n = 0;

		for (k = 0; k < sizeof keys / sizeof *keys; k++) {
			n = strlen(keys[k].name);
			if (!strncmp(av[i], keys[k].name, n))
				break;
		}
		if (k == sizeof keys / sizeof *keys)
			return fm_fail(err, FM_USAGE, "plugstack.conf: unknown argument \"%s\"", av[i]);
		if (expand(keys[k].value, av[i] + n, node, err))
			return -1;
	}
	return 0;
}
