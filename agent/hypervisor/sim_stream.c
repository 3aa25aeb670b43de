/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_stream.c - a simulated domain as bytes:
 *
 *	"fermata sim domain 1\n", length of the JSON (le32), the JSON (state file),
 *	blocks: number (le64), SIM_BLOCK_SIZE bytes that follow from seed and number;
 *	at the cut: the number of blocks with the highest bit set (le64), the
 *	domain's clock (le64); where the JSON says "guest": length (le32) of the
 *	process's memory and that (JSON).
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hypervisor/sim.h"
#include "common/cleanup.h"
#include "common/io.h"

#define JSON_MAX ((size_t)64 << 10)
#define END_MARK ((uint64_t)1 << 63)
#define WORDS (SIM_BLOCK_SIZE / sizeof(uint64_t))

static const char magic[] = "fermata sim domain 1\n";

struct sim_block {
	uint64_t number;
	uint64_t words[WORDS];
};

static uint64_t mix(uint64_t x) /* splitmix64 */
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* A quarter noise, the rest one word: compresses about as a program's memory does. */
static void block_fill(struct sim_block *b, uint64_t seed, uint64_t number)
{
	uint64_t base = mix(seed ^ mix(number));

	b->number = htole64(number);
	for (size_t i = 0; i < WORDS; i++)
		b->words[i] = htole64(i < WORDS / 4 ? mix(base + i) : base);
}

static uint64_t block_count(const struct sim_domain *d)
{
	return d->memory_kib * 1024 / SIM_BLOCK_SIZE;
}

static int put(int fd, const void *data, size_t size, struct fm_error *err)
{
	return fm_write_all(fd, data, size) == 0 ?
		       0 : fm_fail(err, FM_FAILED, "writing the stream: %s", strerror(errno));
}

static int get(int fd, void *data, size_t size, struct fm_error *err)
{
	return fm_read_all(fd, data, size) == (ssize_t)size ?
		       0 : fm_fail(err, FM_CORRUPT, "the stream is too short");
}

static int put_json(int fd, struct json_object *o, struct fm_error *err)
{
	const char *json = o ? fm_json_text(o) : NULL;
	uint32_t length = htole32(json ? (uint32_t)strlen(json) : 0);

	if (!json)
		return fm_fail(err, FM_FAILED, "out of memory");
	return put(fd, &length, sizeof(length), err) < 0 ? -1 : put(fd, json, strlen(json), err);
}

static struct json_object *get_json(int fd, struct fm_error *err)
{
	FM_AUTO_FREE char *json = NULL;
	uint32_t length;

	if (get(fd, &length, sizeof(length), err) < 0)
		return NULL;
	length = le32toh(length);
	json = length <= JSON_MAX ? malloc(length + 1) : NULL;
	if (!json) {
		fm_fail(err, FM_CORRUPT, "a description of %u bytes", length);
		return NULL;
	}
	return get(fd, json, length, err) < 0 ? NULL : fm_json_parse(json, length, err);
}

int sim_stream_begin(const struct sim_domain *d, int fd, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *o = sim_to_json(d);
	FM_AUTO_FREE struct sim_block *block = malloc(sizeof(*block));

	if (!o || !block)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (put(fd, magic, strlen(magic), err) < 0 || put_json(fd, o, err) < 0)
		return -1;
	for (uint64_t i = 0; i < block_count(d); i++) {
		block_fill(block, d->seed, i);
		if (put(fd, block, sizeof(*block), err) < 0)
			return -1;
	}
	return 0;
}

int sim_stream_end(const struct sim_domain *d, int fd, struct fm_error *err)
{
	const uint64_t end[2] = { htole64(block_count(d) | END_MARK), htole64((uint64_t)d->ran_ns) };

	if (put(fd, end, sizeof(end), err) < 0)
		return -1;
	return d->guest ? put_json(fd, d->memory, err) : 0;
}

static int read_state(struct sim_domain *d, int fd, struct fm_error *err)
{
	char head[sizeof(magic) - 1];
	FM_AUTO_JSON struct json_object *o = NULL;

	if (get(fd, head, sizeof(head), err) < 0)
		return -1;
	if (memcmp(head, magic, sizeof(head)) != 0)
		return fm_fail(err, FM_CORRUPT, "this is not a simulated domain");
	o = get_json(fd, err);
	if (o && sim_from_json(d, o, err) == 0)
		return 0;
	err->code = FM_CORRUPT;
	return fm_context(err, "the stream's description");
}

int sim_stream_read(struct sim_domain *d, int fd, struct fm_error *err)
{
	FM_AUTO_FREE struct sim_block *want = malloc(sizeof(*want));
	FM_AUTO_FREE struct sim_block *is = malloc(sizeof(*is));
	uint64_t end[2];

	*d = (struct sim_domain){ 0 };
	if (!want || !is)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (read_state(d, fd, err) < 0)
		return -1;
	for (uint64_t i = 0; i < block_count(d); i++) {
		block_fill(want, d->seed, i);
		if (get(fd, is, sizeof(*is), err) < 0)
			return -1;
		if (memcmp(is, want, sizeof(*is)) != 0)
			return fm_fail(err, FM_CORRUPT, "block %llu is damaged", (unsigned long long)i);
	}
	if (get(fd, end, sizeof(end), err) < 0)
		return -1;
	d->ran_ns = (int64_t)le64toh(end[1]);
	if (le64toh(end[0]) != (block_count(d) | END_MARK) || d->ran_ns < 0)
		return fm_fail(err, FM_CORRUPT, "the stream's end is damaged");
	if (d->guest && !(d->memory = get_json(fd, err)))
		return -1;
	return 0;
}
