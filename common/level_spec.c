/* SPDX-License-Identifier: GPL-2.0-or-later */
/* level_spec.c - see level_spec.h. */
#include "config.h"

#include "common/level_spec.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"

#define SPACE " \t"
#define NAME_MAX_ 32
#define WORD "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define GRAMMAR "NAME directory:/PATH, or NAME s3:https://HOST/BUCKET[/PREFIX] credentials=/PATH"

static int check_name(const char *name, struct fm_error *err)
{
	size_t size = strlen(name);

	if (size > NAME_MAX_ || strspn(name, WORD "._-") != size || !strchr(WORD, *name))
		return fm_fail(err, FM_USAGE, "\"%.64s\" is not the name of a level", name);
	if (!strcmp(name, LEVEL_SPEC_STORE))
		return fm_fail(err, FM_USAGE, "\"%s\" is what StoreDir is called: give the level another name", name);
	return 0;
}

static int absolute(const char *what, const char *path, struct fm_error *err)
{
	return *path == '/' ? 0 : fm_fail(err, FM_USAGE, "%s \"%.64s\" is not an absolute path", what, path);
}

/* What may be a part of a key: as a level's names (agent/store/levels/level.h). */
static bool is_key(const char *text, bool slashes)
{
	for (const char *p = text; *p; p++)
		if ((*p == '/' || *p == '.') && (p == text || p[-1] == '/'))
			return false;
	return *text && text[strlen(text) - 1] != '/' && strspn(text, slashes ? WORD "._-/" : WORD "._-") == strlen(text);
}

/* "https://host:port/bucket/prefix" */
static int parse_url(struct level_spec *spec, char *url, struct fm_error *err)
{
	size_t scheme = !strncmp(url, "https://", 8) ? 8 : !strncmp(url, "http://", 7) ? 7 : 0;
	char *slash = scheme ? strchr(url + scheme, '/') : NULL, *prefix;

	if (!scheme || !slash || slash == url + scheme)
		return fm_fail(err, FM_USAGE, "\"%.80s\" is not https://HOST/BUCKET", url);
	if (strpbrk(url, "@?#"))
		return fm_fail(err, FM_USAGE, "\"%.80s\": a URL of host, bucket and prefix alone is wanted", url);
	spec->endpoint = strndup(url, (size_t)(slash - url));
	if (!spec->endpoint)
		return fm_fail(err, FM_FAILED, "out of memory");
	spec->bucket = slash + 1;
	spec->prefix = "";
	prefix = strchr(slash + 1, '/');
	if (prefix) {
		*prefix++ = '\0';
		spec->prefix = prefix;
	}
	if (!is_key(spec->bucket, false))
		return fm_fail(err, FM_USAGE, "\"%.64s\" is not a bucket", spec->bucket);
	if (*spec->prefix && !is_key(spec->prefix, true))
		return fm_fail(err, FM_USAGE, "\"%.64s\" is not a prefix of keys", spec->prefix);
	return 0;
}

static int parse_place(struct level_spec *spec, char *place, struct fm_error *err)
{
	if (!strncmp(place, "directory:", 10)) {
		spec->kind = LEVEL_DIRECTORY;
		spec->path = place + 10;
		return absolute("directory", spec->path, err);
	}
	if (!strncmp(place, "s3:", 3)) {
		spec->kind = LEVEL_S3;
		spec->region = "us-east-1";
		return parse_url(spec, place + 3, err);
	}
	return fm_fail(err, FM_USAGE, "\"%.64s\" is no place: " GRAMMAR, place);
}

static int parse_option(struct level_spec *spec, char *option, struct fm_error *err)
{
	char *value = strchr(option, '=');
	bool s3 = spec->kind == LEVEL_S3;

	if (!value || !value[1])
		return fm_fail(err, FM_USAGE, "\"%.64s\" is not OPTION=VALUE", option);
	*value++ = '\0';
	if (s3 && !strcmp(option, "credentials")) {
		spec->credentials = value;
		return absolute(option, value, err);
	}
	if (s3 && !strcmp(option, "ca")) {
		spec->ca = value;
		return absolute(option, value, err);
	}
	if (s3 && !strcmp(option, "region")) {
		spec->region = value;
		return is_key(value, false) ? 0 : fm_fail(err, FM_USAGE, "\"%.64s\" is not a region", value);
	}
	if (!s3 && !strcmp(option, "same-filesystem")) {
		spec->same_filesystem = !strcmp(value, "yes");
		if (spec->same_filesystem || !strcmp(value, "no"))
			return 0;
		return fm_fail(err, FM_USAGE, "%s=%.32s: say yes or no", option, value);
	}
	return fm_fail(err, FM_USAGE, "a level that is %s has no option \"%.32s\"", s3 ? "a bucket" : "a directory", option);
}

int level_spec_parse(struct level_spec *spec, const char *line, struct fm_error *err)
{
	char *save = NULL, *place, *option;

	memset(spec, 0, sizeof(*spec));
	spec->text = strdup(line);
	if (!spec->text)
		return fm_fail(err, FM_FAILED, "out of memory");
	spec->name = strtok_r(spec->text, SPACE, &save);
	place = spec->name ? strtok_r(NULL, SPACE, &save) : NULL;
	if (!place)
		return fm_fail(err, FM_USAGE, "a level is " GRAMMAR);
	if (check_name(spec->name, err) < 0 || parse_place(spec, place, err) < 0)
		return -1;
	while ((option = strtok_r(NULL, SPACE, &save)))
		if (parse_option(spec, option, err) < 0)
			return -1;
	if (spec->kind == LEVEL_S3 && !spec->credentials)
		return fm_fail(err, FM_USAGE, "credentials=/PATH is missing");
	return 0;
}

void level_spec_dispose(struct level_spec *spec)
{
	free(spec->text);
	free(spec->endpoint);
	memset(spec, 0, sizeof(*spec));
}

bool level_spec_same_name(const char *line, const char *other)
{
	size_t size = strcspn(line, SPACE);

	return size == strcspn(other, SPACE) && !strncmp(line, other, size);
}
