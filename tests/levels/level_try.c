/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * level_try.c - drives one place by hand and by tests.
 *
 *	level_try [OPTION=VALUE…] directory|s3 COMMAND [ARGUMENT…]
 *
 *	put NAME FILE            prints "stored" or "there"
 *	get NAME FILE [BYTES SHA256]   prints BYTES SHA256 of what came
 *	head NAME                prints BYTES SHA256|-
 *	list PREFIX              prints NAME BYTES, sorted by nobody
 *	remove NAME | usage PREFIX | sweep SECONDS | check
 *
 * Options: path= apart= (directory); endpoint= bucket= region= prefix=
 * credentials= ca= tls_any=1 tries= base_ms= total_ms= stall_s= multipart= part= (s3);
 * bandwidth= stop_after= sha256= (of put, in place of the file's) progress=1 (on stderr)
 *
 * An error is "error CODE: TEXT" on stdout and exit status 1.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/levels/directory.h"
#include "agent/store/levels/s3.h"

static struct options {
	struct directory_config directory;
	struct s3_config s3;
	uint64_t bandwidth, stop_after;
	const char *sha256;
	bool progress;
} options = { .s3 = { .bucket = "bucket", .region = "us-east-1", .prefix = "", .credentials = "" } };

static const struct text_option {
	const char *name;
	const char **value;
} text_options[] = {
	{ "path", &options.directory.path },
	{ "apart", &options.directory.apart_from },
	{ "endpoint", &options.s3.endpoint },
	{ "bucket", &options.s3.bucket },
	{ "region", &options.s3.region },
	{ "prefix", &options.s3.prefix },
	{ "credentials", &options.s3.credentials },
	{ "ca", &options.s3.ca_file },
	{ "sha256", &options.sha256 },
};

static int set_number(const char *name, size_t length, uint64_t n)
{
	struct s3_tuning *t = &options.s3.tuning;
	const struct {
		const char *name;
		int64_t *signed_value;
		uint64_t *value;
	} numbers[] = {
		{ "base_ms", &t->retry.base_ms, NULL },	  { "total_ms", &t->retry.total_ms, NULL },
		{ "stall_s", &t->stall_s, NULL },	  { "multipart", NULL, &t->multipart_bytes },
		{ "part", NULL, &t->part_bytes },	  { "bandwidth", NULL, &options.bandwidth },
		{ "stop_after", NULL, &options.stop_after },
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		if (strlen(numbers[i].name) != length || strncmp(name, numbers[i].name, length) != 0)
			continue;
		if (numbers[i].value)
			*numbers[i].value = n;
		else
			*numbers[i].signed_value = (int64_t)n;
		return 0;
	}
	if (length == 5 && !strncmp(name, "tries", 5))
		t->retry.tries = (unsigned)n;
	else if (length == 7 && !strncmp(name, "tls_any", 7))
		options.s3.tls_any = n;
	else if (length == 8 && !strncmp(name, "progress", 8))
		options.progress = n;
	else
		return -1;
	return 0;
}

/* "name=value": 0, or -1 when it is no option. */
static int set_option(const char *argument)
{
	const char *equals = strchr(argument, '=');
	size_t length = equals ? (size_t)(equals - argument) : 0;

	if (!equals)
		return -1;
	for (size_t i = 0; i < sizeof(text_options) / sizeof(*text_options); i++)
		if (strlen(text_options[i].name) == length && !strncmp(argument, text_options[i].name, length)) {
			*text_options[i].value = equals + 1;
			return 0;
		}
	return set_number(argument, length, strtoull(equals + 1, NULL, 10));
}

static int on_progress(void *arg, uint64_t bytes)
{
	(void)arg;
	if (options.progress)
		fprintf(stderr, "%" PRIu64 "\n", bytes);
	return options.stop_after && bytes >= options.stop_after;
}

static int print_object(void *arg, const char *name, uint64_t bytes)
{
	(void)arg;
	printf("%s %" PRIu64 "\n", name, bytes);
	return 0;
}

static int put(struct level *level, char **argv, const struct level_transfer *transfer, struct fm_error *err)
{
	enum level_put_result result;
	struct level_object object;

	if (level_object_of_file(argv[1], &object, err) < 0)
		return -1;
	if (options.sha256)
		snprintf(object.sha256, sizeof(object.sha256), "%s", options.sha256);
	if (level_put(level, argv[0], argv[1], &object, transfer, &result, err) < 0)
		return -1;
	puts(result == LEVEL_STORED ? "stored" : "there");
	return 0;
}

static int get(struct level *level, int argc, char **argv, const struct level_transfer *transfer,
	       struct fm_error *err)
{
	struct level_object expected = { 0 }, got;

	if (argc == 4) {
		expected.bytes = strtoull(argv[2], NULL, 10);
		snprintf(expected.sha256, sizeof(expected.sha256), "%s", argv[3]);
	}
	if (level_get(level, argv[0], argv[1], argc == 4 ? &expected : NULL, transfer, &got, err) < 0)
		return -1;
	printf("%" PRIu64 " %s\n", got.bytes, got.sha256);
	return 0;
}

static int head(struct level *level, const char *name, struct fm_error *err)
{
	struct level_object object;

	if (level_head(level, name, &object, err) < 0)
		return -1;
	printf("%" PRIu64 " %s\n", object.bytes, *object.sha256 ? object.sha256 : "-");
	return 0;
}

static int usage(struct level *level, const char *prefix, struct fm_error *err)
{
	struct level_usage u;

	if (level_usage(level, prefix, &u, err) < 0)
		return -1;
	printf("%" PRIu64 " %" PRIu64 " %s\n", u.objects, u.bytes, u.free_bytes < 0 ? "-" : "free");
	return 0;
}

static int sweep(struct level *level, const char *age, struct fm_error *err)
{
	unsigned removed;

	if (level_sweep(level, strtoll(age, NULL, 10), &removed, err) < 0)
		return -1;
	printf("%u\n", removed);
	return 0;
}

static int run(struct level *level, int argc, char **argv, const struct level_transfer *transfer,
	       struct fm_error *err)
{
	const char *command = argc ? argv[0] : "";

	argc--, argv++;
	if (!strcmp(command, "put") && argc == 2)
		return put(level, argv, transfer, err);
	if (!strcmp(command, "get") && (argc == 2 || argc == 4))
		return get(level, argc, argv, transfer, err);
	if (!strcmp(command, "head") && argc == 1)
		return head(level, argv[0], err);
	if (!strcmp(command, "list") && argc == 1)
		return level_list(level, argv[0], print_object, NULL, err);
	if (!strcmp(command, "remove") && argc == 1)
		return level_remove(level, argv[0], err);
	if (!strcmp(command, "usage") && argc == 1)
		return usage(level, argv[0], err);
	if (!strcmp(command, "sweep") && argc == 1)
		return sweep(level, argv[0], err);
	if (!strcmp(command, "check") && argc == 0)
		return level_check(level, err);
	return fm_fail(err, FM_USAGE, "level_try: no command \"%s\" with %d arguments", command, argc);
}

int main(int argc, char **argv)
{
	struct level_transfer transfer = { .progress = on_progress };
	struct fm_error err = { 0 };
	struct level *level = NULL;
	int i = 1, r = -1;

	while (i < argc && !set_option(argv[i]))
		i++;
	if (i < argc && !strcmp(argv[i], "directory") && options.directory.path)
		level = level_open_directory(&options.directory, &err);
	else if (i < argc && !strcmp(argv[i], "s3") && options.s3.endpoint)
		level = level_open_s3(&options.s3, &err);
	else
		fm_fail(&err, FM_USAGE, "level_try: say \"path=… directory\" or \"endpoint=… s3\"");
	if (level && options.bandwidth)
		transfer.throttle = throttle_create(options.bandwidth, options.bandwidth / 4 + 1, NULL, &err);
	if (level && (transfer.throttle || !options.bandwidth))
		r = run(level, argc - i - 1, argv + i + 1, &transfer, &err);
	if (r < 0)
		printf("error %d: %s\n", err.code, err.text);
	level_close(level);
	throttle_destroy(transfer.throttle);
	return r < 0;
}
