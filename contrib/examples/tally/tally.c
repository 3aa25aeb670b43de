/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tally - counts every message between the machines of a job.
 *
 * Each rank sends numbered raw Ethernet frames, UDP datagrams and TCP messages to
 * all others at a set rate, and keeps of every pair and kind what came, came twice
 * and came late. In the end all say what they sent and have received, and the
 * verdict is about the whole group: exit status 0 only when nothing is lost,
 * doubled, reordered or damaged, for all kinds. It also keeps the longest time it
 * stood still by each clock, and TCP's retransmissions.
 *
 *  WAITING ──all READY──▶ SENDING ──time, signal, a peer's END──▶ DRAINING
 *      all ENDs, and all has come or nothing new for --quiet ──▶ SETTLING
 *      nothing new for a second: say our account ──▶ CLOSING ──all accounts──▶ end
 *
 * All its times are MONOTONIC's: a guest that is frozen and restored goes on where
 * it was.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "options.h"
#include "tally.h"

#define TICK_NS 5000000LL /* the loop goes round at least so often: the resolution of the gaps */
#define SETTLE_NS 1000000000LL

enum phase { WAITING, SENDING, DRAINING, SETTLING, CLOSING, OVER };

struct run {
	struct tally t;
	enum phase phase;
	int64_t next_send, stop_at, next_report;
};

static volatile sig_atomic_t stopped;
static unsigned own_rank;

void die(const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "tally %u: ", own_rank);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

static int64_t ns(double seconds)
{
	return (int64_t)(seconds * 1e9);
}

static void put(struct tally *t, unsigned rank, enum frame_type type, const void *payload, size_t size)
{
	if (!stream_put(&t->peer[rank].stream, type, payload, size))
		die("rank %u takes nothing any more", rank);
}

static bool is_peer(const struct tally *t, unsigned rank)
{
	return rank != t->options.rank;
}

/* ---- sending --------------------------------------------------------------------- */

static void send_one(struct tally *t, enum kind kind, unsigned to)
{
	uint8_t message[MESSAGE_MAX];
	struct peer *peer = &t->peer[to];
	bool gone;

	message_fill(message, t->options.size, kind, t->options.rank, to, peer->sent[kind]);
	gone = kind == TCP ? stream_put(&peer->stream, FRAME_MESSAGE, message, t->options.size) :
			     datagram_send(t, kind, to, message);
	if (gone)
		peer->sent[kind]++;
	else
		t->refused[kind]++;
}

static void send_due(struct run *run)
{
	struct tally *t = &run->t;
	int64_t now = t->clocks.now[MONO], period = ns(1 / t->options.rate);

	if (now < run->next_send)
		return;
	for (unsigned to = 0; to < t->options.ranks; to++)
		for (int kind = 0; kind < KINDS && is_peer(t, to); kind++)
			send_one(t, (enum kind)kind, to);
	run->next_send += period;
	if (run->next_send < now) /* after a stop: go on at the rate, with no burst */
		run->next_send = now + period;
}

/* ---- receiving ------------------------------------------------------------------------ */

struct arrival {
	struct tally *t;
	struct peer *peer;
};

static int words_read(const uint8_t *payload, size_t size, uint32_t *words, size_t count)
{
	if (size != count * sizeof(uint32_t))
		return -1;
	for (size_t i = 0; i < count; i++) {
		memcpy(&words[i], payload + i * sizeof(uint32_t), sizeof(uint32_t));
		words[i] = ntohl(words[i]);
	}
	return 0;
}

static int on_frame(enum frame_type type, const uint8_t *payload, size_t size, void *arg)
{
	struct arrival *a = arg;

	a->t->last_new = a->t->clocks.now[MONO];
	switch (type) {
	case FRAME_READY: a->peer->ready = true; return 0;
	case FRAME_MESSAGE: take(a->t, TCP, payload, (unsigned)size); return 0;
	case FRAME_END: a->peer->ended = true; return words_read(payload, size, a->peer->sends, KINDS);
	case FRAME_ACCOUNT:
		a->peer->told = true;
		return words_read(payload, size, (uint32_t *)&a->peer->account, ACCOUNT_WORDS);
	default: return -1;
	}
}

static void receive_stream(struct tally *t, unsigned rank)
{
	struct peer *peer = &t->peer[rank];
	struct arrival arrival = { t, peer };

	if (stream_read(&peer->stream, on_frame, &arrival) < 0)
		die("connection with rank %u: %s", rank, strerror(errno));
	if (peer->stream.over && !peer->told)
		die("rank %u has closed the connection before the end", rank);
}

/* ---- phases -------------------------------------------------------------------------------- */

static bool all(const struct tally *t, bool (*holds)(const struct tally *t, const struct peer *peer))
{
	for (unsigned i = 0; i < t->options.ranks; i++)
		if (is_peer(t, i) && !holds(t, &t->peer[i]))
			return false;
	return true;
}

static bool any(const struct tally *t, bool (*holds)(const struct tally *t, const struct peer *peer))
{
	for (unsigned i = 0; i < t->options.ranks; i++)
		if (is_peer(t, i) && holds(t, &t->peer[i]))
			return true;
	return false;
}

static bool is_ready(const struct tally *t, const struct peer *peer)
{
	(void)t;
	return peer->ready;
}

static bool has_ended(const struct tally *t, const struct peer *peer)
{
	(void)t;
	return peer->ended;
}

static bool has_told(const struct tally *t, const struct peer *peer)
{
	(void)t;
	return peer->told;
}

static bool all_has_come(const struct tally *t, const struct peer *peer)
{
	(void)t;
	for (int kind = 0; kind < KINDS; kind++)
		if (ledger_lost(&peer->ledger[kind], peer->sends[kind]) > 0)
			return false;
	return true;
}

static bool all_is_out(const struct tally *t, const struct peer *peer)
{
	(void)t;
	return peer->stream.out_size == 0;
}

static void to_all(struct tally *t, enum frame_type type, const uint32_t *words, size_t count)
{
	uint32_t wire[ACCOUNT_WORDS];

	for (size_t i = 0; i < count; i++)
		wire[i] = htonl(words[i]);
	for (unsigned i = 0; i < t->options.ranks; i++)
		if (is_peer(t, i))
			put(t, i, type, wire, count * sizeof(uint32_t));
}

static void end_sending(struct tally *t)
{
	for (unsigned i = 0; i < t->options.ranks; i++) {
		uint32_t wire[KINDS];

		for (int kind = 0; kind < KINDS; kind++)
			wire[kind] = htonl(t->peer[i].sent[kind]);
		if (is_peer(t, i))
			put(t, i, FRAME_END, wire, sizeof(wire));
	}
}

static void tell_account(struct tally *t)
{
	account_close(t);
	to_all(t, FRAME_ACCOUNT, (const uint32_t *)&t->peer[t->options.rank].account, ACCOUNT_WORDS);
}

/* How long nothing has come. */
static int64_t still(const struct tally *t)
{
	return t->clocks.now[MONO] - t->last_new;
}

static enum phase next_phase(struct run *run)
{
	struct tally *t = &run->t;
	int64_t now = t->clocks.now[MONO];

	switch (run->phase) {
	case WAITING:
		if (!all(t, is_ready))
			return WAITING;
		run->next_send = run->next_report = now;
		run->stop_at = now + ns(t->options.seconds);
		return SENDING;
	case SENDING:
		if (!stopped && now < run->stop_at && !any(t, has_ended))
			return SENDING;
		end_sending(t);
		return DRAINING;
	case DRAINING: return all(t, has_ended) && (all(t, all_has_come) || still(t) > ns(t->options.quiet)) ? SETTLING : DRAINING;
	case SETTLING: /* a second copy may be on its way */
		if (still(t) < SETTLE_NS)
			return SETTLING;
		report_missing(t);
		tell_account(t);
		return CLOSING;
	case CLOSING: return all(t, has_told) && all(t, all_is_out) ? OVER : CLOSING;
	default: return OVER;
	}
}

/* ---- the loop ---------------------------------------------------------------------------------- */

static void wait_for_work(struct run *run)
{
	struct tally *t = &run->t;
	struct pollfd fds[RANKS_MAX + DATAGRAMS];
	int64_t left = run->phase == SENDING ? run->next_send - t->clocks.now[MONO] : TICK_NS;
	struct timespec timeout = { .tv_nsec = left < 0 ? 0 : left > TICK_NS ? TICK_NS : left };
	unsigned n = t->options.ranks;

	for (unsigned i = 0; i < n; i++) {
		const struct stream *s = &t->peer[i].stream;

		fds[i] = (struct pollfd){ .fd = is_peer(t, i) && !s->over ? s->fd : -1,
					  .events = (short)(s->out_size ? POLLIN | POLLOUT : POLLIN) };
	}
	for (unsigned kind = 0; kind < DATAGRAMS; kind++)
		fds[n + kind] = (struct pollfd){ .fd = t->socket[kind], .events = POLLIN };
	if (ppoll(fds, n + DATAGRAMS, &timeout, NULL) < 0 && errno != EINTR)
		die("ppoll: %s", strerror(errno));
}

static void receive_all(struct tally *t)
{
	for (int kind = 0; kind < DATAGRAMS; kind++)
		datagrams_receive(t, (enum kind)kind);
	for (unsigned i = 0; i < t->options.ranks; i++)
		if (is_peer(t, i) && !t->peer[i].stream.over)
			receive_stream(t, i);
}

static void flush_all(struct tally *t)
{
	for (unsigned i = 0; i < t->options.ranks; i++)
		if (is_peer(t, i) && stream_flush(&t->peer[i].stream) < 0)
			die("connection with rank %u: %s", i, strerror(errno));
}

static void look_at_clocks(struct run *run)
{
	struct clocks *c = &run->t.clocks;
	int64_t notable = ns(run->t.options.gap);

	clocks_tick(c);
	if (c->gap[MONO] > notable || c->gap[BOOT] > notable)
		report_gap(&run->t);
	if (run->phase == SENDING && c->now[MONO] >= run->next_report) {
		report_state(&run->t);
		run->next_report = c->now[MONO] + ns(run->t.options.report);
	}
}

static void loop(struct run *run)
{
	run->t.last_new = run->t.clocks.now[MONO];
	to_all(&run->t, FRAME_READY, NULL, 0);
	while (run->phase != OVER) {
		flush_all(&run->t);
		wait_for_work(run);
		look_at_clocks(run);
		receive_all(&run->t);
		if (run->phase == SENDING)
			send_due(run);
		run->phase = next_phase(run);
	}
}

int main(int argc, char **argv)
{
	static struct run run;
	struct sigaction action = { .sa_handler = on_signal };
	struct tally *t = &run.t;
	bool clean;

	options_parse(&t->options, argc, argv);
	own_rank = t->options.rank;
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	t->segments_before = segments_sent_again();
	datagrams_open(t);
	meet(t);
	clocks_tick(&t->clocks);
	loop(&run);
	clean = report_end(t, t->options.rank != 0);
	for (int kind = 0; kind < KINDS; kind++)
		if (t->refused[kind])
			printf("tally %u: %u %s sends were refused by the kernel and made again\n", own_rank, t->refused[kind],
			       kind_names[kind]);
	for (unsigned i = 0; i < t->options.ranks; i++) {
		stream_close(&t->peer[i].stream);
		for (int kind = 0; kind < KINDS; kind++)
			ledger_dispose(&t->peer[i].ledger[kind]);
	}
	return clean ? 0 : 1;
}
