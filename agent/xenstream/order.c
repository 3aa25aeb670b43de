/* SPDX-License-Identifier: GPL-2.0-or-later */
/* order.c - see order.h. */
#include "config.h"

#include "agent/xenstream/order.h"

#include <stdio.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(type) (1u << (type))

enum guests { PV = 1, HVM = 2, BOTH = 3 };
enum place { PLACE_STATIC, PLACE_BODY };

struct rule {
	const char *name;
	enum guests guests; /* 0: refused */
	enum place place;
	uint32_t least, most; /* of the body */
	uint32_t step;        /* body - least is a multiple of it */
};

#define ANY XENSTREAM_RECORD_MAX
static const struct rule libxc_rules[] = {
	[LIBXC_END] = { "END", BOTH, PLACE_BODY, 0, 0, 1 },
	[LIBXC_PAGE_DATA] = { "PAGE_DATA", BOTH, PLACE_BODY, 16, ANY, 8 },
	[LIBXC_X86_PV_INFO] = { "X86_PV_INFO", PV, PLACE_STATIC, 8, 8, 1 },
	[LIBXC_X86_PV_P2M_FRAMES] = { "X86_PV_P2M_FRAMES", PV, PLACE_BODY, 16, ANY, 8 },
	[LIBXC_X86_PV_VCPU_BASIC] = { "X86_PV_VCPU_BASIC", PV, PLACE_BODY, 8, ANY, 1 },
	[LIBXC_X86_PV_VCPU_EXTENDED] = { "X86_PV_VCPU_EXTENDED", PV, PLACE_BODY, 8, ANY, 1 },
	[LIBXC_X86_PV_VCPU_XSAVE] = { "X86_PV_VCPU_XSAVE", PV, PLACE_BODY, 8, ANY, 1 },
	[LIBXC_SHARED_INFO] = { "SHARED_INFO", PV, PLACE_BODY, 4096, 4096, 1 },
	[LIBXC_X86_TSC_INFO] = { "X86_TSC_INFO", BOTH, PLACE_BODY, 24, 24, 1 },
	[LIBXC_HVM_CONTEXT] = { "HVM_CONTEXT", HVM, PLACE_BODY, 1, ANY, 1 },
	[LIBXC_HVM_PARAMS] = { "HVM_PARAMS", HVM, PLACE_BODY, 8, ANY, 16 },
	[LIBXC_TOOLSTACK] = { .name = "TOOLSTACK" },
	[LIBXC_X86_PV_VCPU_MSRS] = { "X86_PV_VCPU_MSRS", PV, PLACE_BODY, 8, ANY, 1 },
	[LIBXC_VERIFY] = { "VERIFY", BOTH, PLACE_BODY, 0, 0, 1 },
	[LIBXC_CHECKPOINT] = { "CHECKPOINT", BOTH, PLACE_BODY, 0, 0, 1 },
	[LIBXC_CHECKPOINT_DIRTY_PFN_LIST] = { .name = "CHECKPOINT_DIRTY_PFN_LIST" },
	[LIBXC_STATIC_DATA_END] = { "STATIC_DATA_END", BOTH, PLACE_STATIC, 0, 0, 1 },
	[LIBXC_X86_CPUID_POLICY] = { "X86_CPUID_POLICY", BOTH, PLACE_STATIC, 24, ANY, 24 },
	[LIBXC_X86_MSR_POLICY] = { "X86_MSR_POLICY", BOTH, PLACE_STATIC, 16, ANY, 16 },
};

static const struct rule libxl_rules[] = {
	[LIBXL_END] = { "END", BOTH, PLACE_BODY, 0, 0, 1 },
	[LIBXL_LIBXC_CONTEXT] = { "LIBXC_CONTEXT", BOTH, PLACE_BODY, 0, 0, 1 },
	[LIBXL_EMULATOR_XENSTORE_DATA] = { "EMULATOR_XENSTORE_DATA", BOTH, PLACE_BODY, 8, ANY, 1 },
	[LIBXL_EMULATOR_CONTEXT] = { "EMULATOR_CONTEXT", BOTH, PLACE_BODY, 8, ANY, 1 },
	[LIBXL_CHECKPOINT_END] = { "CHECKPOINT_END", BOTH, PLACE_BODY, 0, 0, 1 },
	[LIBXL_CHECKPOINT_STATE] = { .name = "CHECKPOINT_STATE" },
};

/* What a restore cannot do without. */
static const uint32_t needed_hvm = BIT(LIBXC_PAGE_DATA) | BIT(LIBXC_HVM_CONTEXT) | BIT(LIBXC_HVM_PARAMS);
static const uint32_t needed_pv = BIT(LIBXC_X86_PV_INFO) | BIT(LIBXC_X86_PV_P2M_FRAMES) | BIT(LIBXC_PAGE_DATA) |
				  BIT(LIBXC_SHARED_INFO) | BIT(LIBXC_X86_PV_VCPU_BASIC);
static const uint32_t vcpu_types = BIT(LIBXC_X86_PV_VCPU_BASIC) | BIT(LIBXC_X86_PV_VCPU_EXTENDED) |
				   BIT(LIBXC_X86_PV_VCPU_XSAVE) | BIT(LIBXC_X86_PV_VCPU_MSRS);
/* These need not come anew after a checkpoint. */
static const uint32_t lasting = BIT(LIBXC_X86_PV_INFO) | BIT(LIBXC_X86_PV_P2M_FRAMES) | BIT(LIBXC_PAGE_DATA) |
				BIT(LIBXC_X86_CPUID_POLICY) | BIT(LIBXC_X86_MSR_POLICY);

static const struct rule *rule_of(enum xenstream_layer layer, uint32_t type)
{
	if (layer == XENSTREAM_LIBXC)
		return type < COUNT(libxc_rules) ? &libxc_rules[type] : NULL;
	return type < COUNT(libxl_rules) ? &libxl_rules[type] : NULL;
}

const char *order_record_name(enum xenstream_layer layer, uint32_t type, char buffer[ORDER_NAME_MAX])
{
	const struct rule *rule = rule_of(layer, type);

	if (rule)
		return rule->name;
	snprintf(buffer, ORDER_NAME_MAX, "unknown 0x%08x", type);
	return buffer;
}

static int check_kind(const struct order *o, const struct rule *rule, uint32_t type, struct fm_error *err)
{
	if (!rule && !(type & XENSTREAM_OPTIONAL))
		return fm_fail(err, FM_INCOMPATIBLE, "a mandatory record of a type that this version does not know");
	if (rule && !rule->guests)
		return fm_fail(err, FM_INCOMPATIBLE, "a record that no image on disk has");
	if (rule && o->layer == XENSTREAM_LIBXC && !(rule->guests & (o->hvm ? HVM : PV)))
		return fm_fail(err, FM_CORRUPT, "a record that no %s guest has", o->hvm ? "HVM" : "PV");
	return 0;
}

static int check_length(const struct rule *rule, uint32_t length, struct fm_error *err)
{
	if (length > XENSTREAM_RECORD_MAX)
		return fm_fail(err, FM_CORRUPT, "a length of %u bytes is above the bound of %u", length,
			       XENSTREAM_RECORD_MAX);
	if (!rule)
		return 0;
	if (length < rule->least || length > rule->most || (length - rule->least) % rule->step != 0)
		return fm_fail(err, FM_CORRUPT, "a length of %u bytes is impossible", length);
	return 0;
}

/* Is the domain's state all there? */
static int check_whole(const struct order *o, struct fm_error *err)
{
	uint32_t missing = (o->hvm ? needed_hvm : needed_pv) & ~o->seen;

	for (uint32_t type = 0; type < COUNT(libxc_rules); type++)
		if (missing & BIT(type))
			return fm_fail(err, FM_CORRUPT, "no %s record came before it", libxc_rules[type].name);
	return 0;
}

static int check_static(const struct order *o, uint32_t type, struct fm_error *err)
{
	if (o->static_end)
		return fm_fail(err, FM_CORRUPT, type == LIBXC_STATIC_DATA_END ? "the static data has ended before" :
							"static data after the end of the static data");
	if (o->seen & BIT(type))
		return fm_fail(err, FM_CORRUPT, "it comes a second time");
	return 0;
}

/* Version 2 has no STATIC_DATA_END: the first record of memory is where it would be. */
static int check_body(struct order *o, uint32_t type, struct fm_error *err)
{
	bool memory = type == LIBXC_PAGE_DATA || type == LIBXC_X86_PV_P2M_FRAMES;

	if (memory && o->version < 3)
		o->static_end = true;
	if (!o->static_end)
		return fm_fail(err, FM_CORRUPT, "no STATIC_DATA_END came before it");
	if (memory && !o->hvm && !(o->seen & BIT(LIBXC_X86_PV_INFO)))
		return fm_fail(err, FM_CORRUPT, "no X86_PV_INFO came before it");
	if (type == LIBXC_PAGE_DATA && !o->hvm && !(o->seen & BIT(LIBXC_X86_PV_P2M_FRAMES)))
		return fm_fail(err, FM_CORRUPT, "no X86_PV_P2M_FRAMES came before it");
	if (memory && o->vcpus)
		return fm_fail(err, FM_CORRUPT, "memory after the state of a VCPU");
	if (BIT(type) & vcpu_types && !(o->seen & BIT(LIBXC_PAGE_DATA)))
		return fm_fail(err, FM_CORRUPT, "no PAGE_DATA came before it");
	if (type == LIBXC_VERIFY && o->verify)
		return fm_fail(err, FM_CORRUPT, "it comes a second time");
	return type == LIBXC_END || type == LIBXC_CHECKPOINT ? check_whole(o, err) : 0;
}

static int libxc_record(struct order *o, const struct rule *rule, uint32_t type, enum order_next *next_r,
			struct fm_error *err)
{
	if (o->fresh && type != LIBXC_END && type != LIBXC_CHECKPOINT) {
		o->fresh = o->vcpus = false;
		o->seen &= lasting;
	}
	if (!rule) /* optional, unknown */
		return 0;
	if ((rule->place == PLACE_STATIC ? check_static(o, type, err) : check_body(o, type, err)) < 0)
		return -1;
	o->seen |= BIT(type);
	o->static_end = o->static_end || type == LIBXC_STATIC_DATA_END;
	o->verify = o->verify || type == LIBXC_VERIFY;
	o->vcpus = o->vcpus || BIT(type) & vcpu_types;
	if (type == LIBXC_PAGE_DATA)
		*next_r = ORDER_PAGES;
	if (type != LIBXC_END && type != LIBXC_CHECKPOINT)
		return 0;
	o->layer = XENSTREAM_LIBXL;
	o->libxc_over = type == LIBXC_END;
	o->in_checkpoint = type == LIBXC_CHECKPOINT;
	return 0;
}

static int libxl_record(struct order *o, const struct rule *rule, uint32_t type, enum order_next *next_r,
			struct fm_error *err)
{
	if (!rule)
		return 0;
	switch (type) {
	case LIBXL_LIBXC_CONTEXT:
		if (o->version)
			return fm_fail(err, FM_CORRUPT, "it comes a second time");
		*next_r = ORDER_HEADERS;
		return 0;
	case LIBXL_END:
		if (o->in_checkpoint)
			return fm_fail(err, FM_CORRUPT, "no CHECKPOINT_END came before it");
		if (!o->libxc_over)
			return fm_fail(err, FM_CORRUPT, "the domain's state is missing before it");
		o->over = true;
		*next_r = ORDER_OVER;
		return 0;
	case LIBXL_CHECKPOINT_END:
		if (!o->in_checkpoint)
			return fm_fail(err, FM_CORRUPT, "there is no checkpoint that it ends");
		o->in_checkpoint = false;
		o->fresh = true;
		o->layer = XENSTREAM_LIBXC;
		return 0;
	default: /* an emulator's */
		return o->version ? 0 : fm_fail(err, FM_CORRUPT, "no LIBXC_CONTEXT came before it");
	}
}

int order_record(struct order *o, uint32_t type, uint32_t length, enum order_next *next_r, struct fm_error *err)
{
	const struct rule *rule = rule_of(o->layer, type);

	*next_r = ORDER_RECORD;
	if (check_kind(o, rule, type, err) < 0 || check_length(rule, length, err) < 0)
		return -1;
	return o->layer == XENSTREAM_LIBXC ? libxc_record(o, rule, type, next_r, err) :
					     libxl_record(o, rule, type, next_r, err);
}
