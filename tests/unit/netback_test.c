/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netback_test.c - what netback's own words (Linux 6.1) say about frames that are under way. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/hypervisor/netback.h"

#define FILE_OF(tx_prod, tx_cons, tx_event, rx_prod, rx_event, to_send, to_give)                                \
	"Queue 0\nTX: nr_ents 256\n"                                                                            \
	"req prod " tx_prod " (0) cons " tx_cons " (0) event " tx_event " (1)\n"                                 \
	"rsp prod 9 (base) pvt 9 (0) event 10 (1)\n"                                                            \
	"pending prod 265 pending cons 9 nr_pending_reqs 0\n"                                                   \
	"dealloc prod 0 dealloc cons 0 dealloc_queue 0\n\n"                                                     \
	"RX: nr_ents 256\n"                                                                                     \
	"req prod 279 (256) cons 23 (0) event 1 (-22)\n"                                                        \
	"rsp prod " rx_prod " (base) pvt " rx_prod " (0) event " rx_event " (1)\n\n"                            \
	"NAPI state: 10 NAPI weight: 64 TX queue len " to_send "\n"                                             \
	"Credit timer_pending: 0, credit: 18446744073709551615, usec: 0\n"                                      \
	"remaining: 18446744073709550889, expires: 0, now: 4294906724\n\n"                                      \
	"Rx internal queue: len " to_give " max 524288 pkts 0 running\n"

static void expect(const char *text, bool taken, bool given)
{
	struct netback_state state = { true, true };

	assert_int_equal(netback_parse(text, &state), 0);
	assert_int_equal(state.taken, taken);
	assert_int_equal(state.given, given);
}

static void at_rest(void **unused)
{
	expect(FILE_OF("9", "9", "10", "23", "24", "0", "0"), true, true);
	expect(FILE_OF("4294967295", "4294967295", "0", "4294967295", "0", "0", "0"), true, true); /* they wrap */
}

static void under_way(void **unused)
{
	expect(FILE_OF("10", "9", "10", "23", "24", "0", "0"), false, true); /* sent, not taken yet */
	expect(FILE_OF("9", "9", "8", "23", "24", "0", "0"), false, true);   /* taken, the backend is still at it */
	expect(FILE_OF("9", "9", "10", "23", "24", "2", "0"), false, true);
	expect(FILE_OF("9", "9", "10", "25", "24", "0", "0"), true, false);  /* the guest has not looked */
	expect(FILE_OF("9", "9", "10", "23", "24", "0", "66"), true, false);
}

/* One queue that is not at rest counts, whichever is looked at last. */
static void several_queues(void **unused)
{
	struct netback_state state = { true, true };

	assert_int_equal(netback_parse(FILE_OF("10", "9", "10", "23", "24", "0", "0"), &state), 0);
	assert_int_equal(netback_parse(FILE_OF("9", "9", "10", "23", "24", "0", "0"), &state), 0);
	assert_false(state.taken);
	assert_true(state.given);
}

static void other_text(void **unused)
{
	static const char whole[] = FILE_OF("9", "9", "10", "23", "24", "0", "0");
	struct netback_state state;
	char text[sizeof(whole)];

	assert_int_equal(netback_parse("", &state), -1);
	for (size_t n = 0; n < sizeof(whole) - strlen("0 max 524288 pkts 0 running\n") - 1; n += 7) {
		memcpy(text, whole, n);
		text[n] = '\0';
		assert_int_equal(netback_parse(text, &state), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_rest),
		cmocka_unit_test(under_way),
		cmocka_unit_test(several_queues),
		cmocka_unit_test(other_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
