/* SPDX-License-Identifier: GPL-2.0-or-later */
/* writer.c - see writer.h. */
#include "config.h"

#include "agent/xenstream/writer.h"

#define CHUNK 256 /* entries turned into bytes at a time */

void xenstream_batch_header(unsigned char header_r[XENSTREAM_BATCH_HEADER], size_t count, size_t full)
{
	memset(header_r, 0, XENSTREAM_BATCH_HEADER);
	xenstream_put_le32(header_r, LIBXC_PAGE_DATA);
	xenstream_put_le32(header_r + 4, (uint32_t)(8 + count * 8 + full * XENSTREAM_PAGE_SIZE));
	xenstream_put_le32(header_r + 8, (uint32_t)count);
}

int xenstream_write_part(struct xenstream_writer *w, const void *bytes, size_t size, struct fm_error *err)
{
	if (xenstream_writer_finish(w, err) < 0)
		return -1;
	return w->sink(w->data, bytes, size, err);
}

/* How many have content; -1: not to be written. */
static long check_batch(const uint64_t *entries, size_t count, struct fm_error *err)
{
	size_t full = 0;

	if (count == 0 || count > XENSTREAM_BATCH_MAX)
		return fm_fail(err, FM_USAGE, "a batch of %zu pages cannot be written", count);
	for (size_t i = 0; i < count; i++) {
		if (entries[i] & XENSTREAM_RESERVED_MASK || !xenstream_type_known(xenstream_type(entries[i])))
			return fm_fail(err, FM_USAGE, "0x%016llx is no page's pfn and type",
				       (unsigned long long)entries[i]);
		full += xenstream_type_content(xenstream_type(entries[i]));
	}
	if (8 + count * 8 + full * XENSTREAM_PAGE_SIZE > XENSTREAM_RECORD_MAX)
		return fm_fail(err, FM_USAGE, "a batch of %zu full pages cannot be written", full);
	return (long)full;
}

int xenstream_write_batch(struct xenstream_writer *w, const uint64_t *entries, size_t count, struct fm_error *err)
{
	unsigned char bytes[CHUNK * 8];
	long full = xenstream_writer_finish(w, err) < 0 ? -1 : check_batch(entries, count, err);

	if (full < 0)
		return -1;
	xenstream_batch_header(bytes, count, (size_t)full);
	if (w->sink(w->data, bytes, XENSTREAM_BATCH_HEADER, err) < 0)
		return -1;
	for (size_t i = 0, n; i < count; i += n) {
		n = count - i < CHUNK ? count - i : CHUNK;
		for (size_t k = 0; k < n; k++)
			xenstream_put_le64(bytes + k * 8, entries[i + k]);
		if (w->sink(w->data, bytes, n * 8, err) < 0)
			return -1;
	}
	w->missing = (size_t)full;
	return 0;
}

int xenstream_write_page(struct xenstream_writer *w, const void *page, struct fm_error *err)
{
	if (w->missing == 0)
		return fm_fail(err, FM_USAGE, "a page that no batch has room for");
	w->missing--;
	return w->sink(w->data, page, XENSTREAM_PAGE_SIZE, err);
}

int xenstream_writer_finish(const struct xenstream_writer *w, struct fm_error *err)
{
	return w->missing == 0 ? 0 : fm_fail(err, FM_USAGE, "%zu pages of a batch are missing", w->missing);
}
