/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cut_states.c - the states of the cut's two machines, for fault_test.py: a line each, "lead NAME" or "member NAME". */
#include <stdio.h>

#include "agent/cut/member.h"

_Static_assert(LEAD_STATES == LEAD_FAILED + 1, "LEAD_STATES counts all states");
_Static_assert(MEMBER_STATES == MEMBER_ABORTED + 1, "MEMBER_STATES counts all states");

int main(void)
{
	for (int s = 0; s < LEAD_STATES; s++)
		printf("lead %s\n", lead_state_name((enum lead_state)s));
	for (int s = 0; s < MEMBER_STATES; s++)
		printf("member %s\n", member_state_name((enum member_state)s));
	return 0;
}
