/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parity_try - what parity costs: seconds, and processor seconds, of each thing in each round, as one JSON object.
 *
 *	parity_try MIB ROUNDS DIR
 *
 * MIB of each data file, made up; all lie in memory and were touched before. In each round everything has its turn, in another
 * order. "code": the arithmetic alone, in stripes of 1 MiB; "make", "rebuild": the library's calls, memory to memory;
 * "files": the same from and to files in DIR, durable at the end.
 */
#include "config.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "agent/store/parity/code.h"
#include "agent/store/parity/file.h"
#include "common/cleanup.h"
#include "common/io.h"

#define STRIPE ((size_t)1 << 20)
#define SHARDS 10u
#define ROUNDS_MAX 99u

struct memory {
	char name[16];
	unsigned char *data;
	size_t size, at;
};

static size_t size;
static const char *dir;
static struct memory shard[SHARDS], result[SHARDS];

static void die(const char *what, const char *text)
{
	fprintf(stderr, "parity_try: %s: %s\n", what, text);
	exit(1);
}

static double now_s(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- memory as source and sink ---- */

static int size_of(void *arg, uint64_t *size_r, struct fm_error *err)
{
	*size_r = ((struct memory *)arg)->size;
	return 0;
}

static int read_at(void *arg, uint64_t offset, void *data, size_t bytes, struct fm_error *err)
{
	memcpy(data, ((struct memory *)arg)->data + offset, bytes);
	return 0;
}

static int append(void *arg, const void *data, size_t bytes, struct fm_error *err)
{
	struct memory *m = arg;

	memcpy(m->data + m->at, data, bytes);
	m->at += bytes;
	return 0;
}

static int commit(void *arg, struct fm_error *err)
{
	return 0;
}

static void discard(void *arg)
{
}

static struct parity_source source_of(struct memory *m)
{
	return (struct parity_source){ m->name, size_of, read_at, NULL, m };
}

static struct parity_sink sink_of(struct memory *m)
{
	m->at = 0;
	return (struct parity_sink){ m->name, append, commit, discard, m };
}

/* ---- what is measured: over the data files 0 … k-1 ---- */

struct code_of {
	unsigned k, m;
};

static void plain_memcpy(struct code_of c)
{
	for (size_t at = 0; at < size; at += STRIPE)
		for (unsigned i = 0; i < c.k; i++)
			memcpy(result[0].data + at, shard[i].data + at, STRIPE);
}

static void plain_sha256(struct code_of c)
{
	unsigned char sum[EVP_MAX_MD_SIZE];

	for (unsigned i = 0; i < c.k; i++)
		if (!EVP_Digest(shard[i].data, size, sum, NULL, EVP_sha256(), NULL))
			die("SHA-256", "failed");
}

static volatile uint64_t kept;

static void plain_xxh3(struct code_of c)
{
	for (unsigned i = 0; i < c.k; i++)
		kept = XXH3_64bits(shard[i].data, size);
}

/* targets: the last m shards, or the first m, of the rest. */
static void code(struct code_of c, bool decode)
{
	static struct code code;
	static struct code_plan plan;
	uint8_t source[SHARDS], target[SHARDS];
	unsigned char *at[SHARDS];
	struct fm_error err;

	for (unsigned i = 0; i < c.k; i++)
		source[i] = (uint8_t)(decode ? i + c.m : i);
	for (unsigned i = 0; i < c.m; i++)
		target[i] = (uint8_t)(decode ? i : c.k + i);
	if (code_init(&code, c.k, c.m, &err) < 0 || code_plan(&code, source, target, c.m, &plan, &err) < 0)
		die("code", err.text);
	for (size_t offset = 0; offset < size; offset += STRIPE) {
		for (unsigned i = 0; i < c.k + c.m; i++)
			at[i] = (decode && i < c.m ? result[i].data : i >= c.k ? result[i].data : shard[i].data) + offset;
		code_run(&plan, at, STRIPE);
	}
}

static void code_encode(struct code_of c)
{
	code(c, false);
}

static void code_rebuild(struct code_of c)
{
	code(c, true);
}

static struct parity_made made;

static void make(struct code_of c)
{
	struct parity_source source[SHARDS];
	struct parity_sink sink[SHARDS];
	struct parity_data data[SHARDS];
	struct fm_error err;

	for (unsigned i = 0; i < c.k; i++) {
		source[i] = source_of(&shard[i]);
		data[i] = (struct parity_data){ shard[i].name, 0, size, NULL };
	}
	for (unsigned i = 0; i < c.m; i++)
		sink[i] = sink_of(&result[c.k + i]);
	if (parity_make(&(struct parity_spec){ c.k, c.m, 0, data }, source, sink, NULL, &made, &err) < 0)
		die("make", err.text);
}

/* The first m data files are lost. */
static void rebuild(struct code_of c)
{
	struct parity_source source[SHARDS];
	struct parity_sink sink[SHARDS];
	const struct parity_source *sources[SHARDS] = { NULL };
	const struct parity_sink *sinks[SHARDS] = { NULL };
	static struct parity_report report;
	struct fm_error err;

	for (unsigned i = 0; i < c.k + c.m; i++) {
		result[i].size = result[i].at;
		source[i] = source_of(i < c.k ? &shard[i] : &result[i]);
		sources[i] = i < c.m ? NULL : &source[i];
		if (i < c.m) {
			sink[i] = sink_of(&result[i]);
			sinks[i] = &sink[i];
		}
	}
	if (parity_rebuild(&(struct parity_shards){ c.k, c.m, made.id, NULL, sources }, sinks, NULL, &report, &err) < 0)
		die("rebuild", err.text);
	for (unsigned i = 0; i < c.m; i++)
		if (memcmp(result[i].data, shard[i].data, size) != 0)
			die("rebuild", "wrong bytes");
}

static char *path_of(struct code_of c, unsigned i, const char *what)
{
	return fm_format("%s/%u+%u-%s-%u", dir, c.k, c.m, what, i);
}

static void files_make(struct code_of c)
{
	struct parity_in *in[SHARDS];
	struct parity_out *out[SHARDS];
	struct parity_source source[SHARDS];
	struct parity_sink sink[SHARDS];
	struct parity_data data[SHARDS];
	struct fm_error err;

	for (unsigned i = 0; i < c.k; i++) {
		FM_AUTO_FREE char *path = path_of((struct code_of){ 0, 0 }, i, "data");

		if (!(in[i] = parity_in_open(path, 0, PARITY_TO_END, &source[i], &err)))
			die("open", err.text);
		data[i] = (struct parity_data){ shard[i].name, 0, size, NULL };
	}
	for (unsigned i = 0; i < c.m; i++) {
		FM_AUTO_FREE char *path = path_of(c, c.k + i, "parity");

		if (!(out[i] = parity_out_create(path, &err)))
			die("create", err.text);
		parity_out_whole(out[i], &sink[i]);
	}
	if (parity_make(&(struct parity_spec){ c.k, c.m, 0, data }, source, sink, NULL, &made, &err) < 0)
		die("make", err.text);
	for (unsigned i = 0; i < c.k; i++)
		parity_in_close(in[i]);
	for (unsigned i = 0; i < c.m; i++)
		parity_out_close(out[i]);
}

static void files_rebuild(struct code_of c)
{
	struct parity_in *in[SHARDS] = { NULL };
	struct parity_out *out[SHARDS] = { NULL };
	struct parity_source source[SHARDS];
	struct parity_sink sink[SHARDS];
	const struct parity_source *sources[SHARDS] = { NULL };
	const struct parity_sink *sinks[SHARDS] = { NULL };
	static struct parity_report report;
	struct fm_error err;

	for (unsigned i = 0; i < c.k + c.m; i++) {
		FM_AUTO_FREE char *path = i < c.m ? path_of(c, i, "rebuilt") :
					  i < c.k ? path_of((struct code_of){ 0, 0 }, i, "data") : path_of(c, i, "parity");

		if (i < c.m) {
			if (!(out[i] = parity_out_create(path, &err)))
				die("create", err.text);
			parity_out_whole(out[i], &sink[i]);
			sinks[i] = &sink[i];
		} else {
			if (!(in[i] = parity_in_open(path, 0, PARITY_TO_END, &source[i], &err)))
				die("open", err.text);
			sources[i] = &source[i];
		}
	}
	if (parity_rebuild(&(struct parity_shards){ c.k, c.m, made.id, NULL, sources }, sinks, NULL, &report, &err) < 0)
		die("rebuild", err.text);
	for (unsigned i = 0; i < c.k + c.m; i++) {
		parity_in_close(in[i]);
		parity_out_close(out[i]);
	}
}

/* ---- */

static const struct {
	const char *name;
	void (*what)(struct code_of);
	struct code_of c;
} things[] = {
	/* A rebuild is of what was made before it: pairs stay together. */
	{ "memcpy, 8 files", plain_memcpy, { 8, 0 } },
	{ "XXH3, 8 files", plain_xxh3, { 8, 0 } },
	{ "SHA-256, 8 files", plain_sha256, { 8, 0 } },
	{ "code, encode XOR 4+1", code_encode, { 4, 1 } },
	{ "code, rebuild 1 of XOR 4+1", code_rebuild, { 4, 1 } },
	{ "code, encode RS 8+2", code_encode, { 8, 2 } },
	{ "code, rebuild 2 of RS 8+2", code_rebuild, { 8, 2 } },
	{ "make XOR 4+1", make, { 4, 1 } },
	{ "rebuild 1 of XOR 4+1", rebuild, { 4, 1 } },
	{ "make RS 8+2", make, { 8, 2 } },
	{ "rebuild 2 of RS 8+2", rebuild, { 8, 2 } },
	{ "files, make XOR 4+1", files_make, { 4, 1 } },
	{ "files, rebuild 1 of XOR 4+1", files_rebuild, { 4, 1 } },
	{ "files, make RS 8+2", files_make, { 8, 2 } },
	{ "files, rebuild 2 of RS 8+2", files_rebuild, { 8, 2 } },
};
#define THINGS (sizeof(things) / sizeof(*things))

static void fill(void)
{
	uint64_t x = 20261123;

	for (unsigned i = 0; i < SHARDS; i++) {
		FM_AUTO_FREE char *path = path_of((struct code_of){ 0, 0 }, i, "data");
		struct fm_error err;

		snprintf(shard[i].name, sizeof(shard[i].name), "file %u", i);
		snprintf(result[i].name, sizeof(result[i].name), "result %u", i);
		shard[i].data = aligned_alloc(4096, size);
		result[i].data = aligned_alloc(4096, size + STRIPE);
		if (!shard[i].data || !result[i].data)
			die("memory", "not enough");
		memset(result[i].data, 1, size + STRIPE);
		shard[i].size = size;
		for (size_t n = 0; n < size; n += 8) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			memcpy(shard[i].data + n, &x, 8);
		}
		if (fm_file_write(path, 0600, shard[i].data, size, &err) < 0)
			die("data", err.text);
	}
}

static double seconds[THINGS][ROUNDS_MAX], cpu[THINGS][ROUNDS_MAX];

static void measure(unsigned round, size_t n)
{
	double begin = now_s(CLOCK_MONOTONIC), cpu_begin = now_s(CLOCK_PROCESS_CPUTIME_ID);

	things[n].what(things[n].c);
	seconds[n][round] = now_s(CLOCK_MONOTONIC) - begin;
	cpu[n][round] = now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin;
}

static void print(const char *name, const double *values, unsigned count)
{
	printf(",\"%s\":[", name);
	for (unsigned i = 0; i < count; i++)
		printf("%s%.6f", i ? "," : "", values[i]);
	printf("]");
}

int main(int argc, char **argv)
{
	unsigned rounds = argc == 4 ? (unsigned)atoi(argv[2]) : 0;

	if (rounds < 1 || rounds > ROUNDS_MAX || atoi(argv[1]) < 1 || atoi(argv[1]) > 4096)
		die("usage", "parity_try MIB ROUNDS DIR");
	size = (size_t)atoi(argv[1]) << 20;
	dir = argv[3];
	fill();
	/* Where a round begins changes, in pairs: the first, odd one is the last. */
	for (unsigned r = 0; r < rounds; r++)
		for (size_t i = 0; i < THINGS; i++)
			measure(r, i + 1 < THINGS ? 1 + (i + 2 * r) % (THINGS - 1) : 0);
	printf("{\"mib\":%zu,\"rounds\":%u,\"things\":[", size >> 20, rounds);
	for (size_t i = 0; i < THINGS; i++) {
		printf("%s\n{\"name\":\"%s\",\"bytes\":%zu", i ? "," : "", things[i].name, things[i].c.k * size);
		print("seconds", seconds[i], rounds);
		print("cpu_s", cpu[i], rounds);
		printf("}");
	}
	printf("]}\n");
	return 0;
}
