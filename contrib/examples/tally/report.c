/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * report.c - tally's lines. Each begins with "tally N", N the rank, but for the
 * table; a program reads them by their key=value words.
 *
 * The verdict is the network's: what a rank's own full socket dropped is shown and
 * is taken off what is missing.
 */
#include <stdio.h>

#include "tally.h"

#define MISSING_LINES 10

struct sums {
	int64_t sent, came, lost, doubled, reordered, damaged;
};

static void print_sums(const char *what, const struct sums *s)
{
	printf("%s sent=%lld received=%lld lost=%lld doubled=%lld reordered=%lld damaged=%lld\n", what, (long long)s->sent,
	       (long long)s->came, (long long)s->lost, (long long)s->doubled, (long long)s->reordered, (long long)s->damaged);
}

void report_state(const struct tally *t)
{
	struct sums s[KINDS] = { 0 };

	for (unsigned i = 0; i < t->options.ranks; i++)
		for (int kind = 0; kind < KINDS; kind++) {
			s[kind].sent += t->peer[i].sent[kind];
			s[kind].came += t->peer[i].ledger[kind].came;
		}
	printf("tally %u at=%.6f", t->options.rank, (double)t->clocks.now[REAL] / 1e9);
	for (int kind = 0; kind < KINDS; kind++)
		printf(" %s=%lld/%lld", kind_names[kind], (long long)s[kind].sent, (long long)s[kind].came);
	printf(" retransmits=%u segments_again=%u\n", retransmits(t), segments_sent_again() - t->segments_before);
	fflush(stdout);
}

void report_gap(const struct tally *t)
{
	const struct clocks *c = &t->clocks;

	printf("tally %u gap at=%.6f boot_ms=%.3f mono_ms=%.3f real_ms=%.3f\n", t->options.rank, (double)c->now[REAL] / 1e9,
	       (double)c->gap[BOOT] / 1e6, (double)c->gap[MONO] / 1e6, (double)c->gap[REAL] / 1e6);
	fflush(stdout);
}

void report_missing(const struct tally *t)
{
	for (unsigned from = 0; from < t->options.ranks; from++)
		for (int kind = 0; kind < KINDS && from != t->options.rank; kind++) {
			const struct peer *peer = &t->peer[from];
			uint32_t at = 0, count;

			for (int lines = 0; lines < MISSING_LINES; lines++) {
				count = ledger_missing(&peer->ledger[kind], at, peer->sends[kind], &at);
				if (!count)
					break;
				printf("tally %u missing pair %u->%u %s %u-%u\n", t->options.rank, from, t->options.rank,
				       kind_names[kind], at, at + count - 1);
				at += count;
			}
		}
	fflush(stdout);
}

static struct sums pair(const struct tally *t, unsigned from, unsigned to, int kind)
{
	const struct account *a = &t->peer[to].account;
	struct sums s = { .sent = t->peer[from].account.sent[to][kind], .came = a->came[from][kind],
			  .doubled = a->doubled[from][kind], .reordered = a->reordered[from][kind],
			  .damaged = a->damaged[from][kind] };

	s.lost = s.sent - s.came;
	return s;
}

static void add(struct sums *sum, const struct sums *s)
{
	sum->sent += s->sent;
	sum->came += s->came;
	sum->lost += s->lost;
	sum->doubled += s->doubled;
	sum->reordered += s->reordered;
	sum->damaged += s->damaged;
}

static void print_rank(const struct tally *t, unsigned rank)
{
	const struct account *a = &t->peer[rank].account;

	printf("rank %u largest_gap_ms boot=%.1f mono=%.1f real=%.1f; tcp retransmits=%u segments_again=%u; "
	       "inside: raw_dropped=%u udp_dropped=%u tx_dropped=%u rx_dropped=%u\n",
	       rank, a->largest_us[BOOT] / 1e3, a->largest_us[MONO] / 1e3, a->largest_us[REAL] / 1e3, a->retransmits,
	       a->segments_again, a->dropped[RAW], a->dropped[UDP], a->tx_dropped, a->rx_dropped);
}

/* What is missing at a rank beyond what it dropped itself is the network's loss. */
static int64_t dropped_inside(const struct tally *t, unsigned to, int kind, int64_t missing)
{
	int64_t dropped = kind < DATAGRAMS ? t->peer[to].account.dropped[kind] : 0;

	return dropped < missing ? dropped : missing;
}

bool report_end(const struct tally *t, bool quietly)
{
	struct sums kinds[KINDS] = { 0 }, all = { 0 };
	int64_t inside = 0;
	bool silent = false, clean;
	char what[64];

	for (int kind = 0; kind < KINDS; kind++)
		for (unsigned to = 0; to < t->options.ranks; to++) {
			int64_t missing = 0, dropped;

			for (unsigned from = 0; from < t->options.ranks; from++) {
				struct sums s = pair(t, from, to, kind);

				if (from == to)
					continue;
				silent = silent || s.sent == 0;
				missing += s.lost > 0 ? s.lost : 0;
				snprintf(what, sizeof(what), "pair %u->%u %s", from, to, kind_names[kind]);
				if (!quietly)
					print_sums(what, &s);
				add(&kinds[kind], &s);
			}
			dropped = dropped_inside(t, to, kind, missing);
			kinds[kind].lost -= dropped;
			inside += dropped;
		}
	for (int kind = 0; kind < KINDS; kind++)
		add(&all, &kinds[kind]);
	clean = !silent && !all.lost && !all.doubled && !all.reordered && !all.damaged;
	if (quietly)
		return clean;
	for (unsigned rank = 0; rank < t->options.ranks; rank++)
		print_rank(t, rank);
	if (inside)
		printf("notice: %lld dropped inside the guests by full sockets, not by the network\n", (long long)inside);
	if (silent)
		printf("notice: between some pair nothing was sent: nothing is shown\n");
	print_sums(clean ? "verdict clean" : "verdict NOT CLEAN", &all);
	fflush(stdout);
	return clean;
}
