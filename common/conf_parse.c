/* SPDX-License-Identifier: GPL-2.0-or-later */
/* conf_parse.c - see conf_parse.h. */
#include "config.h"

#include "common/conf_parse.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/duration.h"
#include "common/io.h"
#include "common/log.h"

#define CONF_FILE_MAX (1 << 20)
#define CONF_KEYS_MAX 64

static int set_string(char **field, const char *value, struct fm_error *err)
{
	char *copy = strdup(value);

	if (!copy)
		return fm_fail(err, FM_FAILED, "out of memory");
	free(*field);
	*field = copy;
	return 0;
}

static int set_unsigned(unsigned *field, const struct conf_key *k, const char *value, struct fm_error *err)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno || !isdigit((unsigned char)*value) || *end || n > (uint64_t)k->max || n < (uint64_t)k->min)
		return fm_fail(err, FM_USAGE, "%s=%s: not a number from %" PRId64 " to %" PRId64, k->key,
			       value, k->min, k->max);
	*field = (unsigned)n;
	return 0;
}

static int set_duration(int64_t *field, const struct conf_key *k, const char *value, struct fm_error *err)
{
	if (fm_duration_conf(value, field, err))
		return fm_context(err, "%s", k->key);
	if (*field < k->min || *field > k->max)
		return fm_fail(err, FM_USAGE, "%s=%s: not within %" PRId64 " to %" PRId64 " ms", k->key, value,
			       k->min, k->max);
	return 0;
}

static int set_bytes(uint64_t *field, const struct conf_key *k, const char *value, struct fm_error *err)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	unsigned long long n;
	unsigned shift = 0;

	errno = 0;
	n = strtoull(value, &end, 10);
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
	}
	if (errno || !isdigit((unsigned char)*value) || *end || n > (uint64_t)k->max >> shift ||
	    n << shift < (uint64_t)k->min)
		return fm_fail(err, FM_USAGE, "%s=%s: not a number of bytes from %" PRId64 " to %" PRId64 " (100M, 2G)",
			       k->key, value, k->min, k->max);
	*field = n << shift;
	return 0;
}

static int add_to_list(char ***field, const char *value, struct fm_error *err)
{
	size_t n = 0;
	char **list;

	while (*field && (*field)[n])
		n++;
	list = reallocarray(*field, n + 2, sizeof *list);
	if (!list)
		return fm_fail(err, FM_FAILED, "out of memory");
	*field = list;
	list[n + 1] = NULL;
	if (!(list[n] = strdup(value)))
		return fm_fail(err, FM_FAILED, "out of memory");
	return 0;
}

static int set_value(const struct conf_key *k, void *object, const char *value, struct fm_error *err)
{
	void *field = (char *)object + k->offset;

	switch (k->kind) {
	case CONF_STRING: return set_string(field, value, err);
	case CONF_UNSIGNED: return set_unsigned(field, k, value, err);
	case CONF_DURATION: return set_duration(field, k, value, err);
	case CONF_LIST: return add_to_list(field, value, err);
	case CONF_BYTES: return set_bytes(field, k, value, err);
	case CONF_LOG_LEVEL:
		if (fm_log_level_parse(value, field))
			return fm_fail(err, FM_USAGE, "%s=%s: say error, warning, info or debug", k->key, value);
		return 0;
	}
	return -1;
}

static char *trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return text + strspn(text, " \t\r");
}

/* One line, comment already cut off, known not to be blank. */
static int parse_line(char *line, const struct conf_key *keys, bool *seen, void *object, struct fm_error *err)
{
	char *equals = strchr(line, '='), *key, *value;

	if (!equals)
		return fm_fail(err, FM_USAGE, "\"%.64s\" is not Key=Value", line);
	*equals = '\0';
	key = trim(line);
	value = trim(equals + 1);
	for (unsigned i = 0; keys[i].key; i++) {
		if (strcasecmp(keys[i].key, key))
			continue;
		if (seen[i] && keys[i].kind != CONF_LIST)
			return fm_fail(err, FM_USAGE, "%s is given twice", keys[i].key);
		seen[i] = true;
		return set_value(&keys[i], object, value, err);
	}
	return fm_fail(err, FM_USAGE, "unknown key \"%.64s\"", key);
}

static int parse_text(const char *path, char *text, const struct conf_key *keys, bool *seen, void *object,
		      struct fm_error *err)
{
	unsigned number = 1;

	for (char *line = text; line; number++) {
		char *next = strchr(line, '\n'), *hash;

		if (next)
			*next++ = '\0';
		/* '#' begins a comment at the start of a line or after space, so that values may hold one. */
		for (hash = strchr(line, '#'); hash; hash = strchr(hash + 1, '#'))
			if (hash == line || isspace((unsigned char)hash[-1])) {
				*hash = '\0';
				break;
			}
		line = trim(line);
		if (*line && parse_line(line, keys, seen, object, err))
			return fm_context(err, "%s:%u", path, number);
		line = next;
	}
	return 0;
}

int conf_parse_file(const char *path, int required, const struct conf_key *keys, void *object,
		    struct fm_error *err)
{
	bool seen[CONF_KEYS_MAX] = { false };
	FM_AUTO_FREE char *text = NULL;
	size_t size = 0;

	text = fm_file_read(path, CONF_FILE_MAX, &size, err);
	if (!text && (required || err->code != FM_NOT_FOUND))
		return -1;
	if (text && strlen(text) != size)
		return fm_fail(err, FM_USAGE, "%s: has a NUL byte", path);
	if (text && parse_text(path, text, keys, seen, object, err))
		return -1;
	for (unsigned i = 0; keys[i].key; i++) {
		if (seen[i] || keys[i].kind == CONF_LIST)
			continue;
		if (!keys[i].fallback)
			return fm_fail(err, FM_USAGE, "%s: %s= is missing", path, keys[i].key);
		if (set_value(&keys[i], object, keys[i].fallback, err))
			return -1;
	}
	return 0;
}

void conf_dispose(const struct conf_key *keys, void *object)
{
	for (unsigned i = 0; keys[i].key; i++) {
		void *field = (char *)object + keys[i].offset;

		if (keys[i].kind == CONF_STRING) {
			free(*(char **)field);
			*(char **)field = NULL;
		} else if (keys[i].kind == CONF_LIST) {
			for (char **p = *(char ***)field; p && *p; p++)
				free(*p);
			free(*(char ***)field);
			*(char ***)field = NULL;
		}
	}
}
