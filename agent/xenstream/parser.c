/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parser.c - see parser.h.  A machine that is fed:
 *
 *	XL_HEADER ─▶ XL_SIZE ─▶ XL_CONFIG ─▶ LIBXL_HEADER ─▶ RECORD ⇄ BODY
 *	RECORD ─LIBXC_CONTEXT▶ LIBXC_HEADER ─▶ RECORD ─PAGE_DATA▶ COUNT ─▶ ENTRIES ─▶ PAGES ─▶ RECORD
 *	RECORD ─END▶ OVER
 *
 * A state that needs `want` bytes together gathers them (in `small`, or in the entries or the page); the others pass
 * on what is there.  Which record may come is order.c's to say.
 */
#include "config.h"

#include "agent/xenstream/parser.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/xenstream/order.h"

#define XL_BYTE_ORDER 0x01020304u
#define XL_MANDATORY 3u /* JSON, libxl's stream version 2 */
#define LIBXL_BIG_ENDIAN 1u
#define LIBXC_ID 0x58454e46u
#define LIBXC_BIG_ENDIAN 1u

enum step { XL_HEADER, XL_SIZE, XL_CONFIG, LIBXL_HEADER, RECORD, BODY, LIBXC_HEADER, COUNT, ENTRIES, PAGES, OVER };

struct xenstream_parser {
	const struct xenstream_calls *calls;
	void *data;
	struct fm_error broken; /* FM_OK while all is well */
	enum step step;
	struct order order;
	enum order_next next; /* after the record at hand */
	struct xenstream_about about;
	uint64_t offset;            /* bytes consumed */
	struct xenstream_part part; /* at hand; a PAGE_DATA record too */
	uint64_t done;              /* of the part: handed over */
	unsigned char small[48];
	size_t have; /* of what is gathered */
	/* of a PAGE_DATA record */
	unsigned char *entries; /* as they come; then in the host's order */
	size_t room;            /* of entries, bytes */
	uint32_t count, index;
	unsigned char page[XENSTREAM_PAGE_SIZE];
};

/* What is left to be parsed. */
struct input {
	const unsigned char *bytes;
	size_t size;
};

static const char *part_name(const struct xenstream_parser *p, char buffer[ORDER_NAME_MAX + 16])
{
	static const char *const layers[] = { "xl", "libxl", "libxc" };
	char name[ORDER_NAME_MAX];

	if (p->step == RECORD && p->have < XENSTREAM_RECORD_HEADER)
		snprintf(buffer, ORDER_NAME_MAX + 16, "%s record", layers[p->order.layer]);
	else if (p->part.header)
		snprintf(buffer, ORDER_NAME_MAX + 16, "%s header", layers[p->part.layer]);
	else
		snprintf(buffer, ORDER_NAME_MAX + 16, "%s record %s", layers[p->part.layer],
			 order_record_name(p->part.layer, p->part.type, name));
	return buffer;
}

__attribute__((format(printf, 4, 5))) static int
bad(const struct xenstream_parser *p, struct fm_error *err, enum fm_code code, const char *fmt, ...)
{
	char text[256], name[ORDER_NAME_MAX + 16];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return fm_fail(err, code, "byte %llu of the stream, in the %s at byte %llu: %s", (unsigned long long)p->offset,
		       part_name(p, name), (unsigned long long)p->part.at, text);
}

static void begin_part(struct xenstream_parser *p, enum step step, enum xenstream_layer layer, bool header)
{
	p->step = step;
	p->part = (struct xenstream_part){ .layer = layer, .header = header, .at = p->offset };
	p->done = 0;
	p->have = 0;
}

/* Bytes of the part at hand, which are consumed already. */
static int hand_over(struct xenstream_parser *p, const void *bytes, size_t size, struct fm_error *err)
{
	uint64_t done = p->done;

	p->done += size;
	return p->calls->part(p->data, &p->part, done, bytes, size, err);
}

/* Fill `into` up to want bytes: true when they are there. */
static bool gather(struct xenstream_parser *p, struct input *in, void *into, size_t want)
{
	size_t n = want - p->have < in->size ? want - p->have : in->size;

	if (n)
		memcpy((unsigned char *)into + p->have, in->bytes, n);
	in->bytes += n;
	in->size -= n;
	p->have += n;
	p->offset += n;
	return p->have == want;
}

/* ---- headers */

static int take_xl_header(struct xenstream_parser *p, struct fm_error *err)
{
	const unsigned char *h = p->small;
	uint32_t more = xenstream_le32(h + 44);

	if (memcmp(h, XENSTREAM_XL_MAGIC, XENSTREAM_XL_MAGIC_SIZE) != 0)
		return bad(p, err, FM_CORRUPT, "this is not a saved domain");
	if (xenstream_le32(h + 32) != XL_BYTE_ORDER)
		return bad(p, err, FM_INCOMPATIBLE, "the byte order mark is 0x%08x", xenstream_le32(h + 32));
	if (xenstream_le32(h + 36) != XL_MANDATORY)
		return bad(p, err, FM_INCOMPATIBLE, "the mandatory features are 0x%x, not 0x%x", xenstream_le32(h + 36),
			   XL_MANDATORY);
	if (more && (more <= 4 || more - 4 > XENSTREAM_CONFIG_MAX))
		return bad(p, err, FM_CORRUPT, "a configuration of %u bytes is impossible", more);
	p->part.size = XENSTREAM_XL_HEADER + more;
	if (hand_over(p, h, XENSTREAM_XL_HEADER, err) < 0)
		return -1;
	p->have = 0;
	if (more)
		p->step = XL_SIZE;
	else
		begin_part(p, LIBXL_HEADER, XENSTREAM_LIBXL, true);
	return 0;
}

static int take_xl_size(struct xenstream_parser *p, struct fm_error *err)
{
	uint64_t rest = p->part.size - XENSTREAM_XL_HEADER - 4;

	if (xenstream_le32(p->small) != rest)
		return bad(p, err, FM_CORRUPT, "the configuration has %u bytes, its header says %llu",
			   xenstream_le32(p->small), (unsigned long long)rest);
	p->step = XL_CONFIG;
	p->have = 0;
	return hand_over(p, p->small, 4, err);
}

/* What there is of the part at hand, up to its end: true when that is reached. last_r: its last byte. */
static int pass_on(struct xenstream_parser *p, struct input *in, unsigned char *last_r, struct fm_error *err)
{
	uint64_t left = p->part.size - p->done;
	size_t n = left < in->size ? (size_t)left : in->size;
	const unsigned char *bytes = in->bytes;

	in->bytes += n;
	in->size -= n;
	p->offset += n;
	if (n)
		*last_r = bytes[n - 1];
	return n ? hand_over(p, bytes, n, err) : 0;
}

static int take_xl_config(struct xenstream_parser *p, struct input *in, struct fm_error *err)
{
	unsigned char last = 0;

	if (pass_on(p, in, &last, err) < 0)
		return -1;
	if (p->done < p->part.size)
		return 0;
	if (last != '\0')
		return bad(p, err, FM_CORRUPT, "the configuration does not end with a NUL");
	begin_part(p, LIBXL_HEADER, XENSTREAM_LIBXL, true);
	return 0;
}

static int take_libxl_header(struct xenstream_parser *p, struct fm_error *err)
{
	const unsigned char *h = p->small;

	if (memcmp(h, "LibxlFmt", 8) != 0)
		return bad(p, err, FM_CORRUPT, "the mark of a libxl stream is missing");
	if (xenstream_be32(h + 8) != 2)
		return bad(p, err, FM_INCOMPATIBLE, "version %u, only 2 is read", xenstream_be32(h + 8));
	if (xenstream_be32(h + 12) & LIBXL_BIG_ENDIAN)
		return bad(p, err, FM_INCOMPATIBLE, "it is big-endian");
	p->part.size = XENSTREAM_LIBXL_HEADER;
	p->order.layer = XENSTREAM_LIBXL;
	if (hand_over(p, h, XENSTREAM_LIBXL_HEADER, err) < 0)
		return -1;
	begin_part(p, RECORD, p->order.layer, false);
	return 0;
}

static int take_libxc_header(struct xenstream_parser *p, struct fm_error *err)
{
	const unsigned char *h = p->small;
	uint32_t version = xenstream_be32(h + 12), type = xenstream_le32(h + 24);
	unsigned shift = h[28] | (unsigned)h[29] << 8;

	if (memcmp(h, "\xff\xff\xff\xff\xff\xff\xff\xff", 8) != 0 || xenstream_be32(h + 8) != LIBXC_ID)
		return bad(p, err, FM_CORRUPT, "the mark of a domain image is missing");
	if (version < 2 || version > 3)
		return bad(p, err, FM_INCOMPATIBLE, "version %u, only 2 and 3 are read", version);
	if (h[17] & LIBXC_BIG_ENDIAN)
		return bad(p, err, FM_INCOMPATIBLE, "it is big-endian");
	if (type != 1 && type != 2)
		return bad(p, err, FM_INCOMPATIBLE, "a domain of type %u", type);
	if (shift != 12)
		return bad(p, err, FM_INCOMPATIBLE, "pages of 2^%u bytes", shift);
	p->about = (struct xenstream_about){ .hvm = type == 2, .version = version,
					     .xen_major = xenstream_le32(h + 32), .xen_minor = xenstream_le32(h + 36) };
	p->order.hvm = p->about.hvm;
	p->order.version = version;
	p->order.layer = XENSTREAM_LIBXC;
	p->part.size = XENSTREAM_LIBXC_HEADER;
	if (hand_over(p, h, XENSTREAM_LIBXC_HEADER, err) < 0)
		return -1;
	begin_part(p, RECORD, p->order.layer, false);
	return 0;
}

/* ---- records */

static void end_record(struct xenstream_parser *p)
{
	if (p->next == ORDER_OVER)
		begin_part(p, OVER, XENSTREAM_LIBXL, false);
	else if (p->next == ORDER_HEADERS)
		begin_part(p, LIBXC_HEADER, XENSTREAM_LIBXC, true);
	else
		begin_part(p, RECORD, p->order.layer, false);
}

static int take_record(struct xenstream_parser *p, struct fm_error *err)
{
	uint32_t type = xenstream_le32(p->small), length = xenstream_le32(p->small + 4);
	struct fm_error why;

	p->part.type = type;
	p->part.size = XENSTREAM_RECORD_HEADER + xenstream_padded(length);
	if (order_record(&p->order, type, length, &p->next, &why) < 0)
		return bad(p, err, why.code, "%s", why.text);
	if (p->next == ORDER_PAGES) {
		p->done = XENSTREAM_RECORD_HEADER;
		p->step = COUNT;
		p->have = 0;
		return 0;
	}
	if (hand_over(p, p->small, XENSTREAM_RECORD_HEADER, err) < 0)
		return -1;
	p->step = BODY;
	if (p->done == p->part.size)
		end_record(p);
	return 0;
}

static int take_body(struct xenstream_parser *p, struct input *in, struct fm_error *err)
{
	unsigned char last;

	if (pass_on(p, in, &last, err) < 0)
		return -1;
	if (p->done == p->part.size)
		end_record(p);
	return 0;
}

/* ---- PAGE_DATA */

static int take_count(struct xenstream_parser *p, struct fm_error *err)
{
	uint64_t size = p->part.size - XENSTREAM_RECORD_HEADER - 8;
	size_t room;

	p->count = xenstream_le32(p->small);
	if (p->count == 0)
		return bad(p, err, FM_CORRUPT, "no page is in it");
	if (xenstream_le32(p->small + 4))
		return bad(p, err, FM_INCOMPATIBLE, "its reserved field is 0x%x, not 0", xenstream_le32(p->small + 4));
	if ((uint64_t)p->count * 8 > size)
		return bad(p, err, FM_CORRUPT, "%u pages do not fit into its %llu bytes", p->count,
			   (unsigned long long)(size + 8));
	if (p->count > XENSTREAM_BATCH_MAX)
		return bad(p, err, FM_INCOMPATIBLE, "%u pages, %u is the bound", p->count, XENSTREAM_BATCH_MAX);
	room = (size_t)p->count * 8;
	if (room > p->room) {
		unsigned char *more = realloc(p->entries, room);

		if (!more)
			return bad(p, err, FM_FAILED, "out of memory");
		p->entries = more;
		p->room = room;
	}
	p->step = ENTRIES;
	p->have = 0;
	return 0;
}

/* Pages as long as there are bytes; those without content need none. */
static int take_pages(struct xenstream_parser *p, struct input *in, struct fm_error *err)
{
	const uint64_t *list = (const uint64_t *)(const void *)p->entries;

	for (; p->index < p->count; p->index++) {
		const unsigned char *page = NULL;

		if (xenstream_type_content(xenstream_type(list[p->index]))) {
			if (p->have == 0 && in->size >= XENSTREAM_PAGE_SIZE) {
				page = in->bytes;
				in->bytes += XENSTREAM_PAGE_SIZE;
				in->size -= XENSTREAM_PAGE_SIZE;
				p->offset += XENSTREAM_PAGE_SIZE;
			} else if (gather(p, in, p->page, XENSTREAM_PAGE_SIZE)) {
				page = p->page;
			} else {
				return 0;
			}
			p->have = 0;
		}
		if (p->calls->page(p->data, list[p->index], page, err) < 0)
			return -1;
	}
	end_record(p);
	return 0;
}

static int take_entries(struct xenstream_parser *p, struct input *in, struct fm_error *err)
{
	uint64_t *list = (uint64_t *)(void *)p->entries; /* malloc's, so aligned */
	uint64_t size = XENSTREAM_RECORD_HEADER + 8 + (uint64_t)p->count * 8;

	for (uint32_t i = 0; i < p->count; i++) {
		list[i] = le64toh(list[i]);
		if (list[i] & XENSTREAM_RESERVED_MASK)
			return bad(p, err, FM_INCOMPATIBLE, "reserved bits are set in entry %u, 0x%016llx", i,
				   (unsigned long long)list[i]);
		if (!xenstream_type_known(xenstream_type(list[i])))
			return bad(p, err, FM_INCOMPATIBLE, "pfn 0x%llx (entry %u) is of the unknown type %u",
				   (unsigned long long)xenstream_pfn(list[i]), i, xenstream_type(list[i]));
		if (xenstream_type_content(xenstream_type(list[i])))
			size += XENSTREAM_PAGE_SIZE;
	}
	if (size != p->part.size)
		return bad(p, err, FM_CORRUPT, "it has %llu bytes, its %u pages need %llu",
			   (unsigned long long)p->part.size, p->count, (unsigned long long)size);
	p->step = PAGES;
	p->index = 0;
	p->have = 0;
	if (p->calls->batch(p->data, p->part.at, list, p->count, err) < 0)
		return -1;
	return take_pages(p, in, err); /* it may need no byte more */
}

/* ---- the machine */

static int step(struct xenstream_parser *p, struct input *in, struct fm_error *err)
{
	switch (p->step) {
	case XL_HEADER: return gather(p, in, p->small, XENSTREAM_XL_HEADER) ? take_xl_header(p, err) : 0;
	case XL_SIZE: return gather(p, in, p->small, 4) ? take_xl_size(p, err) : 0;
	case XL_CONFIG: return take_xl_config(p, in, err);
	case LIBXL_HEADER: return gather(p, in, p->small, XENSTREAM_LIBXL_HEADER) ? take_libxl_header(p, err) : 0;
	case RECORD: return gather(p, in, p->small, XENSTREAM_RECORD_HEADER) ? take_record(p, err) : 0;
	case BODY: return take_body(p, in, err);
	case LIBXC_HEADER: return gather(p, in, p->small, XENSTREAM_LIBXC_HEADER) ? take_libxc_header(p, err) : 0;
	case COUNT: return gather(p, in, p->small, 8) ? take_count(p, err) : 0;
	case ENTRIES: return gather(p, in, p->entries, (size_t)p->count * 8) ? take_entries(p, in, err) : 0;
	case PAGES: return take_pages(p, in, err);
	case OVER: break;
	}
	return fm_fail(err, FM_CORRUPT, "byte %llu of the stream: it goes on after its end",
		       (unsigned long long)p->offset);
}

int xenstream_parse(struct xenstream_parser *p, const void *bytes, size_t size, struct fm_error *err)
{
	struct input in = { bytes, size };

	if (p->broken.code == FM_OK)
		while (in.size > 0)
			if (step(p, &in, &p->broken) < 0)
				break;
	if (p->broken.code == FM_OK)
		return 0;
	*err = p->broken;
	return -1;
}

int xenstream_parser_finish(struct xenstream_parser *p, struct fm_error *err)
{
	if (p->broken.code == FM_OK && p->step != OVER)
		bad(p, &p->broken, FM_CORRUPT, "the stream ends here, before its end");
	if (p->broken.code == FM_OK)
		return 0;
	*err = p->broken;
	return -1;
}

struct xenstream_about xenstream_parser_about(const struct xenstream_parser *p)
{
	return p->about;
}

struct xenstream_parser *xenstream_parser_create(const struct xenstream_calls *calls, void *data, struct fm_error *err)
{
	struct xenstream_parser *p = calloc(1, sizeof(*p));

	if (!p) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	p->calls = calls;
	p->data = data;
	begin_part(p, XL_HEADER, XENSTREAM_XL, true);
	return p;
}

void xenstream_parser_destroy(struct xenstream_parser *p)
{
	if (!p)
		return;
	free(p->entries);
	free(p);
}
