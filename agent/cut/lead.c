/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lead.c - see lead.h. */
#include "agent/cut/lead.h"

#include <string.h>

static const char *const round_names[CUT_ROUNDS] = { "arm", "gate", "drain", "cut", "release", "commit", "abort" };
static const char *const state_names[LEAD_STATES] = {
	"arm", "gate", "drain", "cut", "release", "save", "store", "whole", "abort", "discard", "failed",
};

const char *cut_round_name(enum cut_round round)
{
	return round_names[round];
}

int cut_round_parse(const char *name, enum cut_round *round_r)
{
	for (int i = 0; i < CUT_ROUNDS; i++)
		if (strcmp(name, round_names[i]) == 0) {
			*round_r = (enum cut_round)i;
			return 0;
		}
	return -1;
}

const char *lead_state_name(enum lead_state state)
{
	return state_names[state];
}

void lead_init(struct lead *lead)
{
	*lead = (struct lead){ .state = LEAD_ARMING };
}

static void send_round(struct lead *lead, enum lead_state state, enum cut_round round, struct lead_actions *a)
{
	lead->state = state;
	lead->round = round;
	a->send = true;
	a->round = round;
}

static void give_up(struct lead *lead, enum lead_blame blame, unsigned rank, struct lead_actions *a)
{
	lead->blame = blame;
	lead->blame_rank = rank;
	lead->blame_state = lead->state;
	send_round(lead, LEAD_ABORTING, CUT_ABORT, a);
}

static void discard(struct lead *lead, struct lead_actions *a)
{
	lead->state = LEAD_DISCARDING;
	a->discard = true;
}

/* Every member has said yes to this round. */
static void all_yes(struct lead *lead, struct lead_actions *a)
{
	switch (lead->state) {
	case LEAD_ARMING: send_round(lead, LEAD_GATING, CUT_GATE, a); break;
	case LEAD_GATING: send_round(lead, LEAD_DRAINING, CUT_DRAIN, a); break;
	case LEAD_DRAINING: send_round(lead, LEAD_CUTTING, CUT_CUT, a); break;
	case LEAD_CUTTING: send_round(lead, LEAD_RELEASING, CUT_RELEASE, a); break;
	case LEAD_RELEASING: send_round(lead, LEAD_SAVING, CUT_COMMIT, a); break;
	case LEAD_SAVING:
		lead->state = LEAD_STORING;
		a->store = true;
		break;
	case LEAD_ABORTING: discard(lead, a); break;
	default: break;
	}
}

static bool collecting(const struct lead *lead)
{
	return lead->state <= LEAD_SAVING || lead->state == LEAD_ABORTING;
}

static void answer(struct lead *lead, bool yes, enum cut_round round, unsigned rank, struct lead_actions *a)
{
	if (!collecting(lead) || round != lead->round)
		return;
	if (yes || lead->state == LEAD_ABORTING)
		all_yes(lead, a);
	else
		give_up(lead, BLAME_MEMBER, rank, a);
}

static void time_over(struct lead *lead, struct lead_actions *a)
{
	if (lead->state == LEAD_ABORTING)
		discard(lead, a); /* who is silent opens its gate by itself */
	else if (collecting(lead))
		give_up(lead, BLAME_SILENT, 0, a);
}

static void finish(struct lead *lead, enum lead_state state, struct lead_actions *a)
{
	lead->state = state;
	a->finished = true;
}

void lead_step(struct lead *lead, enum lead_event event, enum cut_round round, unsigned rank,
	       struct lead_actions *actions_r)
{
	struct lead_actions *a = actions_r;

	*a = (struct lead_actions){ 0 };
	switch (event) {
	case LEAD_EV_BEGIN:
		if (lead->state == LEAD_ARMING)
			send_round(lead, LEAD_ARMING, CUT_ARM, a);
		break;
	case LEAD_EV_YES: answer(lead, true, round, rank, a); break;
	case LEAD_EV_NO: answer(lead, false, round, rank, a); break;
	case LEAD_EV_TIME: time_over(lead, a); break;
	case LEAD_EV_STOP:
		if (collecting(lead) && lead->state != LEAD_ABORTING)
			give_up(lead, BLAME_STOP, 0, a);
		break;
	case LEAD_EV_STORED:
		if (lead->state == LEAD_STORING)
			finish(lead, LEAD_WHOLE, a);
		break;
	case LEAD_EV_STORE_FAILED:
		if (lead->state == LEAD_STORING)
			give_up(lead, BLAME_STORE, 0, a);
		break;
	case LEAD_EV_DISCARDED:
		if (lead->state == LEAD_DISCARDING)
			finish(lead, LEAD_FAILED, a);
		break;
	}
}
