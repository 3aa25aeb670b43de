/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay.c - runs a libFuzzer target over files, without libFuzzer: the seeds in `make check`, or what a fuzzer found.
 *
 * Usage: X_replay [FILE|FOLDER…]   default: the seeds that belong to it
 * A broken promise aborts; exit 1 when there was nothing to run.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned runs;

static int bad(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return -1;
}

static int run_file(const char *path, size_t size)
{
	uint8_t *data = malloc(size ? size : 1);
	FILE *f = fopen(path, "re");
	int r = 0;

	if (!data || !f || fread(data, 1, size, f) != size)
		r = bad(path);
	if (r == 0) {
		printf("%s, %zu bytes\n", path, size);
		fflush(stdout); /* an abort must not lose which it was */
		LLVMFuzzerTestOneInput(data, size);
		runs++;
	}
	if (f)
		fclose(f);
	free(data);
	return r;
}

static int run_path(const char *path)
{
	struct dirent **list;
	struct stat st;
	int n, r = 0;

	if (stat(path, &st) < 0)
		return bad(path);
	if (!S_ISDIR(st.st_mode))
		return (size_t)st.st_size <= FILE_MAX ? run_file(path, (size_t)st.st_size) : (errno = EFBIG, bad(path));
	n = scandir(path, &list, NULL, alphasort);
	if (n < 0)
		return bad(path);
	for (int i = 0; i < n; i++) {
		char *below;

		if (list[i]->d_name[0] != '.') {
			if (asprintf(&below, "%s/%s", path, list[i]->d_name) < 0)
				abort();
			if (run_path(below) < 0)
				r = -1;
			free(below);
		}
		free(list[i]);
	}
	free(list);
	return r;
}

int main(int argc, char **argv)
{
	int r = argc > 1 ? 0 : run_path(FM_FUZZ_SEEDS);

	for (int i = 1; i < argc; i++)
		if (run_path(argv[i]) < 0)
			r = -1;
	printf("%u inputs\n", runs);
	return r == 0 && runs > 0 ? 0 : 1;
}
