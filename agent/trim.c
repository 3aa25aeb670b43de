/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trim.c - see trim.h. */
#include "config.h"

#include "agent/trim.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* One mapping of /proc/self/smaps. */
struct mapping {
	uintptr_t begin, end;
	bool of_file, written; /* not writable now is not enough: relocated pages are read-only, too */
};

static void give_back(const struct mapping *m)
{
	if (m->end > m->begin && m->of_file && !m->written)
		madvise((void *)m->begin, m->end - m->begin, MADV_DONTNEED);
}

/* "7f00-7f10 r-xp 00001000 fe:00 1234 /lib/x.so": false, when the line is none of these. */
static bool begins(const char *line, struct mapping *m_r)
{
	unsigned long begin, end, inode;
	char rights[5];

	if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu", &begin, &end, rights, &inode) != 4)
		return false;
	*m_r = (struct mapping){ begin, end, inode != 0, rights[1] == 'w' || rights[3] != 'p' };
	return true;
}

void trim_start(void)
{
	struct mapping m = { 0 }, next;
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[4352];
	unsigned long kib;

	while (f && fgets(line, sizeof(line), f)) {
		if (begins(line, &next)) {
			give_back(&m);
			m = next;
			m.written = m.written || !m.of_file;
		} else if (sscanf(line, "Anonymous: %lu", &kib) == 1 && kib) {
			m.written = true;
		}
	}
	give_back(&m);
	if (f)
		fclose(f);
}
