/* SPDX-License-Identifier: GPL-2.0-or-later */
/* worker_pump_test.c - between driver and store: order, bounded memory, failure; and deaths' table. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/hypervisor/deaths.h"
#include "agent/worker/pump.h"
#include "common/io.h"

#define LIMIT ((size_t)4 << 20)
#define TOTAL ((size_t)32 << 20)

struct slow_sink {
	pthread_mutex_t gate; /* locked: nothing goes through */
	atomic_size_t taken;
	size_t fail_at;
	bool bad_order;
	atomic_bool impatient;
};

static int take(void *data, const void *bytes, size_t size, struct fm_error *err)
{
	struct slow_sink *s = data;
	const unsigned char *p = bytes;

	pthread_mutex_lock(&s->gate);
	pthread_mutex_unlock(&s->gate);
	for (size_t i = 0; i < size; i++)
		s->bad_order |= p[i] != (unsigned char)((s->taken + i) % 251);
	s->taken += size;
	return s->fail_at && s->taken >= s->fail_at ? fm_fail(err, FM_FAILED, "the disk is full") : 0;
}

static bool impatient(void *data, struct fm_error *err)
{
	struct slow_sink *s = data;

	if (s->impatient)
		fm_fail(err, FM_TIMEOUT, "enough");
	return s->impatient;
}

static size_t feed(int fd, size_t total)
{
	unsigned char chunk[251 * 64];
	size_t done = 0;

	for (size_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = (unsigned char)(i % 251);
	while (done < total && fm_write_all(fd, chunk, sizeof(chunk)) == 0)
		done += sizeof(chunk);
	return done;
}

struct feeder {
	int fd;
	size_t done;
};

static void *feed_all(void *arg)
{
	struct feeder *f = arg;

	f->done = feed(f->fd, TOTAL);
	return NULL;
}

static void test_order_and_bound(void **state)
{
	struct slow_sink s = { .gate = PTHREAD_MUTEX_INITIALIZER };
	struct fm_error err;
	struct pump *p = pump_start(LIMIT, &(struct pump_sink){ take, NULL, &s }, &err);
	struct feeder f;
	struct pollfd done;
	pthread_t thread;

	assert_non_null(p);
	pthread_mutex_lock(&s.gate);
	f.fd = pump_fd(p);
	assert_int_equal(pthread_create(&thread, NULL, feed_all, &f), 0);
	done = (struct pollfd){ .fd = pump_done_fd(p), .events = POLLIN };
	assert_int_equal(poll(&done, 1, 300), 0); /* stands: the queue is full, nobody takes */
	pthread_mutex_unlock(&s.gate);
	pthread_join(thread, NULL);
	pump_close(p);
	assert_int_equal(poll(&done, 1, 20000), 1);
	assert_int_equal(pump_finish(p, &err), 0);
	assert_int_equal(s.taken, f.done);
	assert_true(f.done >= TOTAL);
	assert_false(s.bad_order);
	pump_destroy(p);
}

static void test_stop_is_short(void **state)
{
	struct slow_sink s = { .gate = PTHREAD_MUTEX_INITIALIZER };
	struct fm_error err;
	struct pump *p = pump_start(LIMIT, &(struct pump_sink){ take, NULL, &s }, &err);

	assert_non_null(p);
	pthread_mutex_lock(&s.gate); /* the store stands still, and still this returns */
	assert_true(feed(pump_fd(p), LIMIT / 2) >= LIMIT / 2);
	pthread_mutex_unlock(&s.gate);
	assert_int_equal(pump_finish(p, &err), 0);
	pump_destroy(p);
}

static void test_paused_until_the_queue_is_full(void **state)
{
	struct slow_sink s = { .gate = PTHREAD_MUTEX_INITIALIZER };
	struct fm_error err;
	struct pump *p = pump_start(LIMIT, &(struct pump_sink){ take, NULL, &s }, &err);
	size_t done;

	assert_non_null(p);
	pump_pause(p, true);
	done = feed(pump_fd(p), LIMIT / 2);
	assert_int_equal(s.taken, 0);
	done += feed(pump_fd(p), TOTAL); /* more than fits: it goes on all the same */
	assert_true(s.taken > 0);
	assert_int_equal(pump_finish(p, &err), 0);
	assert_int_equal(s.taken, done);
	pump_destroy(p);
}

static void test_sink_fails(void **state)
{
	struct slow_sink s = { .gate = PTHREAD_MUTEX_INITIALIZER, .fail_at = LIMIT };
	struct fm_error err;
	struct pump *p = pump_start(LIMIT, &(struct pump_sink){ take, NULL, &s }, &err);

	assert_non_null(p);
	assert_true(feed(pump_fd(p), TOTAL) < TOTAL); /* EPIPE, not for ever */
	assert_int_equal(errno, EPIPE);
	assert_true(pump_failed(p, &err));
	assert_string_equal(err.text, "the disk is full");
	assert_int_equal(pump_finish(p, &err), -1);
	pump_destroy(p);
}

static void test_given_up(void **state)
{
	struct slow_sink s = { .gate = PTHREAD_MUTEX_INITIALIZER, .impatient = true };
	struct fm_error err;
	struct pump *p = pump_start(LIMIT, &(struct pump_sink){ take, impatient, &s }, &err);

	assert_non_null(p);
	pthread_mutex_lock(&s.gate);
	assert_true(feed(pump_fd(p), TOTAL) < TOTAL);
	assert_true(pump_failed(p, &err));
	assert_int_equal(err.code, FM_TIMEOUT);
	pthread_mutex_unlock(&s.gate);
	pump_destroy(p);
}

static void test_destroy_with_data_queued(void **state)
{
	struct slow_sink s = { .gate = PTHREAD_MUTEX_INITIALIZER };
	struct fm_error err;
	struct pump *p = pump_start(LIMIT, &(struct pump_sink){ take, NULL, &s }, &err);

	assert_non_null(p);
	feed(pump_fd(p), LIMIT / 2);
	pump_destroy(p);
	pump_destroy(NULL);
}

static char told[256];

static void tell(const char *name, uint32_t domid, enum domain_death death, void *data)
{
	size_t used = strlen(told);

	snprintf(told + used, sizeof(told) - used, "%s/%u:%s ", name, domid, domain_death_name(death));
}

static void look(struct deaths *d, const struct domain_info *list, size_t count, const char *expected)
{
	told[0] = '\0';
	deaths_begin(d);
	for (size_t i = 0; i < count; i++)
		deaths_see(&list[i], d);
	deaths_end(d);
	assert_string_equal(told, expected);
}

static void test_deaths(void **state)
{
	struct deaths *d = deaths_create(tell, NULL);
	struct domain_info list[2] = { { .name = "fm-1-0", .domid = 3 }, { .name = "fm-1-1", .domid = 4 } };

	assert_non_null(d);
	look(d, list, 2, "");
	list[0].state = DOMAIN_SUSPENDED; /* a snapshot */
	look(d, list, 2, "");
	list[0].state = DOMAIN_RUNNING;
	look(d, list, 2, "");
	list[0].state = DOMAIN_DEAD;
	list[0].death = DEATH_CRASH;
	look(d, list, 2, "fm-1-0/3:crash ");
	look(d, list, 2, "");
	list[0].state = DOMAIN_DYING;
	look(d, list, 2, "");
	look(d, list + 1, 1, ""); /* reported already */
	look(d, list, 0, "fm-1-1/4:gone ");
	list[1].domid = 9; /* the name comes back with another number */
	look(d, list + 1, 1, "");
	look(d, list, 0, "fm-1-1/9:gone ");
	deaths_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_bound), cmocka_unit_test(test_stop_is_short),
		cmocka_unit_test(test_paused_until_the_queue_is_full), cmocka_unit_test(test_sink_fails),      cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_destroy_with_data_queued), cmocka_unit_test(test_deaths),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
