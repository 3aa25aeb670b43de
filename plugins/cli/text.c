/* SPDX-License-Identifier: GPL-2.0-or-later */
/* text.c - see text.h. */
#include "config.h"

#include "plugins/cli/text.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/io.h"

char *text_size(int64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	int unit = -1;

	if (bytes < 1024)
		return fm_format("%lld B", (long long)bytes);
	while (value >= 1023.95 && unit < 5) {
		value /= 1024;
		unit++;
	}
	return fm_format("%.1f %s", value, units[unit]);
}

char *text_ms(double ms)
{
	if (ms < 10)
		return fm_format("%.1f ms", ms);
	if (ms < 999.5)
		return fm_format("%.0f ms", ms);
	if (ms < 59950)
		return fm_format("%.1f s", ms / 1000);
	return text_seconds(ms / 1000);
}

char *text_seconds(double seconds)
{
	long s = (long)(seconds + 0.5);

	if (s < 60)
		return fm_format("%ld s", s);
	if (s < 3600)
		return fm_format("%ld min %ld s", s / 60, s % 60);
	if (s < 86400)
		return fm_format("%ld h %ld min", s / 3600, s / 60 % 60);
	return fm_format("%ld d %ld h", s / 86400, s / 3600 % 24);
}

char *text_time(const char *utc)
{
	struct tm tm = { 0 };
	char local[64];
	time_t t;

	if (!strptime(utc, "%Y-%m-%dT%H:%M:%S", &tm))
		return text_plain(utc);
	t = timegm(&tm);
	if (!localtime_r(&t, &tm) || !strftime(local, sizeof(local), "%Y-%m-%d %H:%M:%S", &tm))
		return text_plain(utc);
	return strdup(local);
}

char *text_plain(const char *text)
{
	char *copy = strdup(text);

	for (unsigned char *p = (unsigned char *)copy; p && *p; p++)
		if (iscntrl(*p))
			*p = '?';
	return copy;
}
