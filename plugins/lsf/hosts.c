/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hosts.c - see hosts.h. */
#include "config.h"

#include "plugins/lsf/hosts.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "plugins/lsf/job.h"

#define SLOTS_MAX 65536

long lsf_hosts_rank(const struct lsf_hosts *hosts, const char *name)
{
	for (size_t i = 0; i < hosts->count; i++)
		if (!strcmp(hosts->names[i], name))
			return (long)i;
	return -1;
}

static int add(struct lsf_hosts *hosts, const char *name, unsigned slots, struct fm_error *err)
{
	long rank = lsf_hosts_rank(hosts, name);

	if (rank >= 0) {
		hosts->slots[rank] += slots;
		return 0;
	}
	if (hosts->count == LSF_HOSTS_MAX)
		return fm_fail(err, FM_USAGE, "the job has more than %d hosts", LSF_HOSTS_MAX);
	if (!hosts->names) {
		hosts->names = calloc(LSF_HOSTS_MAX, sizeof *hosts->names);
		hosts->slots = calloc(LSF_HOSTS_MAX, sizeof *hosts->slots);
	}
	if (!hosts->names || !hosts->slots || !(hosts->names[hosts->count] = strdup(name)))
		return fm_fail(err, FM_FAILED, "out of memory");
	hosts->slots[hosts->count++] = slots;
	return 0;
}

static int parse(struct lsf_hosts *hosts, const char *variable, int counted, struct fm_error *err)
{
	FM_AUTO_FREE char *text = strdup(getenv(variable));
	char *save = NULL;

	if (!text)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (char *name = strtok_r(text, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		const char *number = counted ? strtok_r(NULL, " ", &save) : "1";
		long slots = 0;

		if (!number || lsf_number(number, 1, SLOTS_MAX, &slots))
			return fm_fail(err, FM_USAGE, "%s: no number of slots behind %.64s", variable, name);
		if (add(hosts, name, (unsigned)slots, err))
			return -1;
	}
	return hosts->count ? 0 : fm_fail(err, FM_USAGE, "%s is empty", variable);
}

/* Cut to first labels, the same ones once. */
static int shorten(struct lsf_hosts *hosts, struct fm_error *err)
{
	struct lsf_hosts all = *hosts;
	int r = 0;

	*hosts = (struct lsf_hosts){ 0 };
	for (size_t i = 0; !r && i < all.count; i++) {
		all.names[i][strcspn(all.names[i], ".")] = '\0';
		r = add(hosts, all.names[i], all.slots[i], err);
	}
	lsf_hosts_dispose(&all);
	return r;
}

int lsf_hosts_read(struct lsf_hosts *hosts, const char *self, struct fm_error *err)
{
	size_t size = strlen(self);

	*hosts = (struct lsf_hosts){ 0 };
	if (getenv("LSB_MCPU_HOSTS") ? parse(hosts, "LSB_MCPU_HOSTS", 1, err) :
	    getenv("LSB_HOSTS")      ? parse(hosts, "LSB_HOSTS", 0, err) :
				       fm_fail(err, FM_USAGE, "neither LSB_MCPU_HOSTS nor LSB_HOSTS is set"))
		return -1;
	if (lsf_hosts_rank(hosts, self) >= 0)
		return 0;
	for (size_t i = 0; i < hosts->count; i++)
		if (!strncmp(hosts->names[i], self, size) && hosts->names[i][size] == '.')
			return shorten(hosts, err);
	return 0;
}

void lsf_hosts_dispose(struct lsf_hosts *hosts)
{
	for (size_t i = 0; i < hosts->count; i++)
		free(hosts->names[i]);
	free(hosts->names);
	free(hosts->slots);
	*hosts = (struct lsf_hosts){ 0 };
}
