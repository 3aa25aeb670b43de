/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_stream.c - a simulated domain as bytes: a stream of the shape of a real PVH domain's
 * (agent/xenstream/format.h), so that all that works on streams works on it.
 *
 *	xl's header: the state file's JSON where a domain has its configuration
 *	PAGE_DATA: every page follows from seed, number and version (sim_pages.h)
 *	at the cut: HVM_CONTEXT with the domain's clock (le64), and where the JSON says "guest" the process's memory
 *	(JSON); VERSIONS, a record that Xen would pass over; HVM_PARAMS with none
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/hypervisor/sim.h"
#include "agent/hypervisor/xl_file.h"
#include "agent/xenstream/parser.h"
#include "agent/xenstream/writer.h"
#include "common/cleanup.h"
#include "common/io.h"

#define MEMORY_JSON_MAX ((size_t)64 << 10)
#define BATCH 16 /* pages of a PAGE_DATA record */
#define VERSIONS (XENSTREAM_OPTIONAL | 0xf00)
#define VERSION_SHIFT 40 /* in a page's first word, above its number */
#define WORDS (XENSTREAM_PAGE_SIZE / sizeof(uint64_t))
#define PIECE ((size_t)256 << 10)

struct sim_page {
	uint64_t number;
	uint64_t words[WORDS - 1];
};

static uint64_t mix(uint64_t x) /* splitmix64 */
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* A quarter noise, the rest one word: compresses about as a program's memory does. */
static void page_fill(struct sim_page *p, const struct sim_domain *d, uint64_t number, uint32_t version)
{
	uint64_t base = mix((number < d->alike ? 0 : d->seed) ^ mix(number)) + version * UINT64_C(0x9e3779b97f4a7c15);

	p->number = htole64(number | (uint64_t)version << VERSION_SHIFT);
	for (size_t i = 0; i < WORDS - 1; i++)
		p->words[i] = htole64(i < WORDS / 4 ? mix(base + i) : base);
}

/* A domain without memory has no stream. */
uint64_t sim_page_count(const struct sim_domain *d)
{
	uint64_t pages = d->memory_kib * 1024 / XENSTREAM_PAGE_SIZE;

	return pages ? pages : 1;
}

/* ---- writing */

static int put(void *data, const void *bytes, size_t size, struct fm_error *err)
{
	return fm_write_all(*(int *)data, bytes, size) == 0 ?
		       0 : fm_fail(err, FM_FAILED, "writing the stream: %s", strerror(errno));
}

static int put_record(int fd, uint32_t type, const void *body, uint32_t size, struct fm_error *err)
{
	static const unsigned char zeros[8];
	unsigned char header[XENSTREAM_RECORD_HEADER];

	xenstream_put_le32(header, type);
	xenstream_put_le32(header + 4, size);
	if (put(&fd, header, sizeof(header), err) < 0 || put(&fd, body, size, err) < 0)
		return -1;
	return put(&fd, zeros, xenstream_padded(size) - size, err);
}

static int put_headers(const struct sim_domain *d, int fd, struct fm_error *err)
{
	static const unsigned char libxc[XENSTREAM_LIBXC_HEADER] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'X', 'E', 'N', 'F', 0, 0, 0, 3, /* version */
		[24] = 2, [28] = 12, [32] = 4, [36] = 17, /* HVM, 4 KiB, Xen 4.17 */
	};
	FM_AUTO_JSON struct json_object *o = sim_to_json(d);
	FM_AUTO_FREE void *begin = NULL;
	size_t size;

	begin = o ? xl_file_begin(fm_json_text(o), &size, err) : NULL;
	if (!begin)
		return o ? -1 : fm_fail(err, FM_FAILED, "out of memory");
	if (put(&fd, begin, size, err) < 0 || put(&fd, libxc, sizeof(libxc), err) < 0)
		return -1;
	return put_record(fd, LIBXC_STATIC_DATA_END, NULL, 0, err);
}

static int put_pages(const struct sim_domain *d, const struct sim_pages *now, const uint64_t *numbers, size_t n, int fd,
		     struct fm_error *err)
{
	struct xenstream_writer w = { .sink = put, .data = &fd };
	uint64_t entries[BATCH];
	struct sim_page page;

	for (size_t i = 0; i < n; i++)
		entries[i] = xenstream_entry(numbers[i], XENSTREAM_NOTAB);
	if (n == 0)
		return 0;
	if (xenstream_write_batch(&w, entries, n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		page_fill(&page, d, numbers[i], now->version[numbers[i]]);
		if (xenstream_write_page(&w, &page, err) < 0)
			return -1;
	}
	return 0;
}

int sim_stream_pages(const struct sim_domain *d, const struct sim_pages *sent, const struct sim_pages *now, int fd,
		     struct fm_error *err)
{
	uint64_t numbers[BATCH];
	size_t n = 0;

	if (!sent && put_headers(d, fd, err) < 0)
		return -1;
	for (uint64_t at = 0; at < now->count; at++) {
		if (sent && sent->version[at] == now->version[at])
			continue;
		numbers[n++] = at;
		if (n == BATCH) {
			if (put_pages(d, now, numbers, n, fd, err) < 0)
				return -1;
			n = 0;
		}
	}
	return put_pages(d, now, numbers, n, fd, err);
}

static int put_versions(const struct sim_pages *now, int fd, struct fm_error *err)
{
	size_t size;
	FM_AUTO_FREE void *versions = sim_pages_encode(now, &size, err);

	if (!size)
		return 0;
	return versions ? put_record(fd, VERSIONS, versions, (uint32_t)size, err) : -1;
}

static int put_end(int fd, bool checkpoint, struct fm_error *err)
{
	unsigned char end[XENSTREAM_RECORD_HEADER] = { 0 };

	if (put_record(fd, checkpoint ? LIBXC_CHECKPOINT : LIBXC_END, NULL, 0, err) < 0)
		return -1;
	xenstream_put_le32(end, checkpoint ? LIBXL_CHECKPOINT_END : LIBXL_END);
	return put(&fd, end, sizeof(end), err);
}

int sim_stream_over(int fd, struct fm_error *err)
{
	return put_end(fd, false, err);
}

int sim_stream_end(const struct sim_domain *d, const struct sim_pages *now, bool checkpoint, int fd, struct fm_error *err)
{
	static const unsigned char no_params[8];
	const char *memory = d->guest && d->memory ? fm_json_text(d->memory) : "";
	size_t size = strlen(memory);
	FM_AUTO_FREE unsigned char *context = malloc(8 + size);

	if (!context)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (size > MEMORY_JSON_MAX)
		return fm_fail(err, FM_FAILED, "the guest's memory is too large");
	xenstream_put_le64(context, (uint64_t)d->ran_ns);
	memcpy(context + 8, memory, size);
	if (put_record(fd, LIBXC_HVM_CONTEXT, context, (uint32_t)(8 + size), err) < 0 ||
	    put_versions(now, fd, err) < 0 || put_record(fd, LIBXC_HVM_PARAMS, no_params, sizeof(no_params), err) < 0)
		return -1;
	return put_end(fd, checkpoint, err);
}

/* ---- reading */

struct reading {
	struct sim_domain *d;
	struct sim_pages *pages;
	unsigned char *part; /* the one that is coming in */
	unsigned char *versions; /* record and all; NULL: there is none */
	size_t versions_size;
	uint64_t next;       /* page */
	bool described;
};

/* The configuration: the domain. */
static int take_description(struct reading *r, uint64_t size, struct fm_error *err)
{
	const size_t begin = XENSTREAM_XL_HEADER + 4;
	FM_AUTO_JSON struct json_object *o = NULL;

	if (size <= begin)
		return fm_fail(err, FM_CORRUPT, "this is not a simulated domain");
	o = fm_json_parse((const char *)r->part + begin, size - begin - 1, err);
	if (!o || sim_from_json(r->d, o, err) < 0) {
		err->code = FM_CORRUPT;
		return fm_context(err, "this is not a simulated domain");
	}
	r->described = true;
	r->pages->count = sim_page_count(r->d);
	r->pages->version = r->pages->count < UINT64_C(1) << VERSION_SHIFT ? calloc(r->pages->count, 4) : NULL;
	return r->pages->version ? 0 : fm_fail(err, FM_FAILED, "out of memory");
}

static int take_context(struct reading *r, uint64_t size, struct fm_error *err)
{
	const unsigned char *body = r->part + XENSTREAM_RECORD_HEADER;
	uint32_t length = xenstream_le32(r->part + 4);

	if (length < 8 || length > size - XENSTREAM_RECORD_HEADER || length > 8 + MEMORY_JSON_MAX || r->d->memory)
		return fm_fail(err, FM_CORRUPT, "a context of %u bytes", length);
	r->d->ran_ns = (int64_t)xenstream_le64(body);
	if (r->d->ran_ns < 0)
		return fm_fail(err, FM_CORRUPT, "the domain's clock is damaged");
	if (r->d->guest && !(r->d->memory = fm_json_parse((const char *)body + 8, length - 8, err)))
		return fm_context(err, "the guest's memory");
	return 0;
}

static int on_part(void *data, const struct xenstream_part *part, uint64_t done, const void *bytes, size_t size,
		   struct fm_error *err)
{
	struct reading *r = data;
	bool description = part->layer == XENSTREAM_XL && part->header;
	bool context = part->layer == XENSTREAM_LIBXC && !part->header && part->type == LIBXC_HVM_CONTEXT;
	bool versions = part->layer == XENSTREAM_LIBXC && !part->header && part->type == VERSIONS;
	int rc;

	if (!description && !context && !versions)
		return 0;
	if (done == 0) {
		free(r->part);
		r->part = part->size <= XENSTREAM_CONFIG_MAX + XENSTREAM_XL_HEADER + 4 ? malloc(part->size + 1) : NULL;
	}
	if (!r->part)
		return fm_fail(err, FM_CORRUPT, "a part of %llu bytes", (unsigned long long)part->size);
	memcpy(r->part + done, bytes, size);
	if (done + size < part->size)
		return 0;
	if (versions) {
		free(r->versions);
		r->versions = fm_steal_ptr(&r->part);
		r->versions_size = xenstream_le32(r->versions + 4);
		return 0;
	}
	rc = description ? take_description(r, part->size, err) : take_context(r, part->size, err);
	free(r->part);
	r->part = NULL;
	return rc;
}

static int on_batch(void *data, uint64_t at, const uint64_t *entries, size_t count, struct fm_error *err)
{
	return 0;
}

static int on_page(void *data, uint64_t entry, const void *page, struct fm_error *err)
{
	struct reading *r = data;
	struct sim_page want;
	uint64_t version = page ? xenstream_le64(page) >> VERSION_SHIFT : 0;

	if (!page || r->next >= r->pages->count)
		return fm_fail(err, FM_CORRUPT, "a page too many, or a hole");
	page_fill(&want, r->d, r->next, (uint32_t)version);
	r->pages->version[r->next] = (uint32_t)version;
	if (entry != xenstream_entry(r->next, XENSTREAM_NOTAB) || memcmp(page, &want, sizeof(want)) != 0)
		return fm_fail(err, FM_CORRUPT, "page %llu is damaged", (unsigned long long)r->next);
	r->next++;
	return 0;
}

static int parse_all(struct xenstream_parser *p, int fd, struct fm_error *err)
{
	FM_AUTO_FREE char *piece = malloc(PIECE);
	ssize_t n;

	if (!piece)
		return fm_fail(err, FM_FAILED, "out of memory");
	while ((n = fm_read_all(fd, piece, PIECE)) > 0)
		if (xenstream_parse(p, piece, (size_t)n, err) < 0)
			return -1;
	return n < 0 ? fm_fail(err, FM_FAILED, "reading the stream: %s", strerror(errno)) : xenstream_parser_finish(p, err);
}

int sim_stream_read(struct sim_domain *d, struct sim_pages *pages_r, int fd, struct fm_error *err)
{
	static const struct xenstream_calls calls = { on_part, on_batch, on_page };
	struct reading r = { .d = d, .pages = pages_r };
	struct xenstream_parser *p = xenstream_parser_create(&calls, &r, err);
	int rc;

	*d = (struct sim_domain){ 0 };
	*pages_r = (struct sim_pages){ 0 };
	if (!p)
		return -1;
	rc = parse_all(p, fd, err);
	if (rc == 0 && (!r.described || r.next != sim_page_count(d)))
		rc = fm_fail(err, FM_CORRUPT, "%llu pages of a domain of %llu", (unsigned long long)r.next,
			     (unsigned long long)sim_page_count(d));
	if (rc == 0)
		rc = sim_pages_compare(pages_r, r.versions ? r.versions + XENSTREAM_RECORD_HEADER : NULL, r.versions_size, err);
	xenstream_parser_destroy(p);
	free(r.part);
	free(r.versions);
	return rc;
}
