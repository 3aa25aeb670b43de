/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fold.c - see fold.h. */
#include "config.h"

#include "agent/xenstream/fold.h"

#include <stdlib.h>

#include "agent/xenstream/pfn_table.h"

#define TABLE_LEAST ((size_t)16 << 20) /* a small domain's memory may lie in many places */

struct bytes {
	unsigned char *data;
	size_t size, room;
};

struct xenstream_fold {
	struct xenstream_keeper keeper;
	struct pfn_table table;
	size_t table_max;
	struct bytes head, tail;
	struct bytes *part_into; /* where the part at hand goes; NULL: nowhere */
	bool hvm;
	bool paged;  /* a PAGE_DATA has come */
	uint32_t ended_with; /* the types of the records behind the pages, one bit each: of this state */
	uint32_t before;     /* and of the last checkpoint */
	bool verify;
	bool whole;
	struct xenstream_counts counts;
	/* of xenstream_fold_next() */
	struct pfn_leaf **leaves;
	size_t leaf, index;
	bool second; /* turn */
};

/* ---- the skeleton */

static int append(struct xenstream_fold *f, struct bytes *b, const void *data, size_t size, struct fm_error *err)
{
	if (size > XENSTREAM_SKELETON_MAX - f->head.size - f->tail.size)
		return fm_fail(err, FM_INCOMPATIBLE, "what is not memory is larger than %zu MiB",
			       XENSTREAM_SKELETON_MAX >> 20);
	if (size > b->room - b->size) {
		size_t room = (b->size + size) * 2;
		unsigned char *more = realloc(b->data, room);

		if (!more)
			return fm_fail(err, FM_FAILED, "out of memory");
		b->data = more;
		b->room = room;
	}
	memcpy(b->data + b->size, data, size);
	b->size += size;
	return 0;
}

/* END of either layer: type 0, length 0. */
static int append_end(struct xenstream_fold *f, struct fm_error *err)
{
	static const unsigned char end[XENSTREAM_RECORD_HEADER];

	return append(f, &f->tail, end, sizeof(end), err);
}

/* The first record of a state after a checkpoint: what that one ended with is over. */
static void begin_state(struct xenstream_fold *f)
{
	if (!f->whole)
		return;
	f->whole = false;
	f->tail.size = 0;
	f->before = f->ended_with;
	f->ended_with = 0;
}

static int end_state(struct xenstream_fold *f, struct fm_error *err)
{
	if (f->whole) /* nothing since a checkpoint: the tail has its end */
		return 0;
	if (f->table.used == 0)
		return fm_fail(err, FM_INCOMPATIBLE, "the domain has no memory");
	if (f->before & ~f->ended_with)
		return fm_fail(err, FM_INCOMPATIBLE, "a checkpoint had records that the next one has not");
	return append_end(f, err);
}

static int begin_libxc_record(struct xenstream_fold *f, uint32_t type, struct fm_error *err)
{
	if (type == LIBXC_END || type == LIBXC_CHECKPOINT)
		return end_state(f, err);
	begin_state(f);
	if (type == LIBXC_VERIFY) {
		f->verify = true;
	} else if (f->paged && type != LIBXC_X86_PV_P2M_FRAMES) {
		f->part_into = &f->tail;
		if (type <= LIBXC_X86_MSR_POLICY) /* the highest that is known */
			f->ended_with |= 1u << type;
	} else {
		f->part_into = &f->head;
	}
	return 0;
}

static int begin_libxl_record(struct xenstream_fold *f, uint32_t type, struct fm_error *err)
{
	if (type == LIBXL_END || type == LIBXL_CHECKPOINT_END)
		return f->whole ? 0 : append_end(f, err);
	f->part_into = type == LIBXL_LIBXC_CONTEXT ? &f->head : &f->tail;
	if (f->whole) { /* more of the emulator's behind a checkpoint that nothing else followed */
		f->whole = false;
		f->tail.size -= XENSTREAM_RECORD_HEADER;
	}
	return 0;
}

static int on_part(void *data, const struct xenstream_part *part, uint64_t done, const void *bytes, size_t size,
		   struct fm_error *err)
{
	struct xenstream_fold *f = data;

	if (done == 0) {
		f->part_into = part->header ? &f->head : NULL;
		if (part->header && part->layer == XENSTREAM_LIBXC) /* format.h; the parser knows that it is 1 or 2 */
			f->hvm = xenstream_le32((const unsigned char *)bytes + 24) == 2;
		else if (!part->header && (part->layer == XENSTREAM_LIBXC ? begin_libxc_record(f, part->type, err) :
									    begin_libxl_record(f, part->type, err)) < 0)
			return -1;
	}
	if (f->part_into && append(f, f->part_into, bytes, size, err) < 0)
		return -1;
	if (part->layer == XENSTREAM_LIBXL && !part->header && done + size == part->size &&
	    (part->type == LIBXL_END || part->type == LIBXL_CHECKPOINT_END))
		f->whole = true;
	return 0;
}

/* ---- pages */

static int on_batch(void *data, uint64_t at, const uint64_t *entries, size_t count, struct fm_error *err)
{
	struct xenstream_fold *f = data;

	begin_state(f);
	if (f->ended_with & 1u << LIBXC_HVM_PARAMS && !f->verify)
		return fm_fail(err, FM_INCOMPATIBLE, "pages after HVM_PARAMS, at byte %llu of the stream",
			       (unsigned long long)at);
	f->paged = true;
	f->counts.entries += count;
	return 0;
}

static struct pfn_leaf *leaf_of(struct xenstream_fold *f, uint64_t pfn, struct fm_error *err)
{
	bool full;
	struct pfn_leaf *leaf = pfn_table_need(&f->table, pfn, &full);

	if (!leaf && full)
		fm_fail(err, FM_INCOMPATIBLE, "its pages lie too far apart, or are too many, for a table of %zu MiB",
			f->table_max >> 20);
	else if (!leaf)
		fm_fail(err, FM_FAILED, "out of memory");
	return leaf;
}

static bool has_content(uint8_t state)
{
	return pfn_memory_type(state) != PFN_NONE && xenstream_type_content(pfn_memory_type(state));
}

static int on_content(struct xenstream_fold *f, struct pfn_leaf *leaf, uint64_t entry, const void *page,
		      struct fm_error *err)
{
	uint64_t pfn = xenstream_pfn(entry), ref, *known = &leaf->ref[pfn % PFN_LEAF];
	uint8_t *state = &leaf->state[pfn % PFN_LEAF];
	unsigned type = xenstream_type(entry);

	if (f->keeper.keep(f->keeper.data, pfn, page, &ref, err) < 0)
		return -1;
	if (!has_content(*state))
		f->counts.kept++;
	else if (f->keeper.drop)
		f->keeper.drop(f->keeper.data, pfn, *known);
	*known = ref;
	*state = (uint8_t)(type << 4 | type);
	return 0;
}

static int on_page(void *data, uint64_t entry, const void *page, struct fm_error *err)
{
	struct xenstream_fold *f = data;
	uint64_t pfn = xenstream_pfn(entry);
	unsigned type = xenstream_type(entry), memory;
	struct pfn_leaf *leaf;
	uint8_t *state;

	f->counts.pages += page != NULL;
	if (f->verify || (f->hvm && !page && !xenstream_type_memory(type)))
		return 0;
	leaf = leaf_of(f, pfn, err);
	if (!leaf)
		return -1;
	if (page)
		return on_content(f, leaf, entry, page, err);
	state = &leaf->state[pfn % PFN_LEAF];
	memory = pfn_memory_type(*state);
	if (memory == PFN_NONE && xenstream_type_memory(type))
		memory = type;
	*state = (uint8_t)(type << 4 | memory);
	return 0;
}

const struct xenstream_calls xenstream_fold_calls = { .part = on_part, .batch = on_batch, .page = on_page };

/* ---- what came of it */

bool xenstream_fold_whole(const struct xenstream_fold *f)
{
	return f->whole;
}

static int check_whole(const struct xenstream_fold *f, struct fm_error *err)
{
	return f->whole ? 0 : fm_fail(err, FM_FAILED, "the stream is not at an end, nor at a checkpoint's");
}

int xenstream_fold_skeleton(const struct xenstream_fold *f, struct xenstream_skeleton *skeleton_r, struct fm_error *err)
{
	if (check_whole(f, err) < 0)
		return -1;
	*skeleton_r = (struct xenstream_skeleton){ f->head.data, f->head.size, f->tail.data, f->tail.size };
	return 0;
}

int xenstream_fold_rewind(struct xenstream_fold *f, struct fm_error *err)
{
	if (check_whole(f, err) < 0)
		return -1;
	free(f->leaves);
	f->leaves = pfn_table_sorted(&f->table);
	f->leaf = f->index = 0;
	f->second = false;
	f->counts.bare = 0;
	return f->leaves ? 0 : fm_fail(err, FM_FAILED, "out of memory");
}

/* Of the pfn, is there a place in this turn? */
static bool place_of(const struct xenstream_fold *f, const struct pfn_leaf *leaf, size_t i, struct xenstream_place *place_r)
{
	unsigned last = pfn_last_type(leaf->state[i]), memory = pfn_memory_type(leaf->state[i]);
	uint64_t pfn = leaf->number << PFN_LEAF_BITS | i;

	if (!f->second) {
		*place_r = (struct xenstream_place){ xenstream_entry(pfn, memory),
						     has_content(leaf->state[i]) ? leaf->ref[i] : 0 };
		return memory != PFN_NONE;
	}
	*place_r = (struct xenstream_place){ xenstream_entry(pfn, last), 0 };
	return !f->hvm && last != PFN_NONE && last != memory;
}

size_t xenstream_fold_next(struct xenstream_fold *f, struct xenstream_place *places_r, size_t most)
{
	size_t n = 0;

	while (n < most && f->leaves) {
		const struct pfn_leaf *leaf = f->leaves[f->leaf];

		if (!leaf && f->second)
			break;
		if (!leaf) {
			f->second = true;
			f->leaf = 0;
			continue;
		}
		if (place_of(f, leaf, f->index, &places_r[n]))
			f->counts.bare += !xenstream_type_content(xenstream_type(places_r[n++].entry));
		f->index = (f->index + 1) % PFN_LEAF;
		f->leaf += f->index == 0;
	}
	return n;
}

struct xenstream_counts xenstream_fold_counts(const struct xenstream_fold *f)
{
	return f->counts;
}

/* ---- life */

size_t xenstream_fold_table(uint64_t memory)
{
	uint64_t leaves = memory / (XENSTREAM_PAGE_SIZE * PFN_LEAF);

	return (size_t)(2 * leaves * sizeof(struct pfn_leaf)) + TABLE_LEAST;
}

struct xenstream_fold *xenstream_fold_create(const struct xenstream_keeper *keeper, size_t table_max,
					     struct fm_error *err)
{
	struct xenstream_fold *f = calloc(1, sizeof(*f));

	if (!f) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	f->keeper = *keeper;
	f->table_max = table_max;
	pfn_table_init(&f->table, f->table_max / sizeof(struct pfn_leaf));
	return f;
}

void xenstream_fold_destroy(struct xenstream_fold *f)
{
	if (!f)
		return;
	pfn_table_dispose(&f->table);
	free(f->head.data);
	free(f->tail.data);
	free(f->leaves);
	free(f);
}
