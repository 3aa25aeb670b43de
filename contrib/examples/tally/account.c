/* SPDX-License-Identifier: GPL-2.0-or-later */
/* account.c - what has come, and what this machine's kernel counted meanwhile. */
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tally.h"

void take(struct tally *t, enum kind kind, const uint8_t *message, unsigned size)
{
	uint32_t number = 0;
	bool sound = false;
	int from = message_read(message, size, kind, &t->options, &number, &sound);

	if (from < 0) {
		t->strangers++;
		return;
	}
	/* its number may be what is damaged: then the true one stays missing as well */
	if (!sound || ledger_take(&t->peer[from].ledger[kind], number) < 0)
		t->peer[from].ledger[kind].damaged++;
	t->last_new = t->clocks.now[MONO];
}

uint32_t retransmits(const struct tally *t)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < t->options.ranks; i++) {
		struct tcp_info info = { 0 };
		socklen_t size = sizeof(info);

		if (i != t->options.rank && getsockopt(t->peer[i].stream.fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0)
			sum += info.tcpi_total_retrans;
	}
	return sum;
}

/* /proc/net/snmp: a line of names, a line of values. */
uint32_t segments_sent_again(void)
{
	char names[1024] = "", values[1024] = "", *n, *v, *save_n = NULL, *save_v = NULL;
	FILE *file = fopen("/proc/net/snmp", "re");
	bool both = false;

	while (file && !both && fgets(names, sizeof(names), file))
		both = strncmp(names, "Tcp:", 4) == 0 && fgets(values, sizeof(values), file);
	if (file)
		fclose(file);
	if (!both)
		die("/proc/net/snmp does not tell of TCP");
	n = strtok_r(names, " \n", &save_n);
	v = strtok_r(values, " \n", &save_v);
	while (n && v && strcmp(n, "RetransSegs") != 0) {
		n = strtok_r(NULL, " \n", &save_n);
		v = strtok_r(NULL, " \n", &save_v);
	}
	if (!n || !v)
		die("/proc/net/snmp does not tell of retransmissions");
	return (uint32_t)strtoul(v, NULL, 10);
}

static uint32_t interface_counter(const struct tally *t, const char *name)
{
	char path[256];
	unsigned long long value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", t->options.interface, name);
	file = fopen(path, "re");
	if (!file)
		return 0; /* a namespace may have another one's /sys */
	if (fscanf(file, "%llu", &value) != 1)
		value = 0;
	fclose(file);
	return (uint32_t)value;
}

void account_close(struct tally *t)
{
	struct account *a = &t->peer[t->options.rank].account;

	for (unsigned i = 0; i < t->options.ranks; i++)
		for (int kind = 0; kind < KINDS; kind++) {
			const struct ledger *l = &t->peer[i].ledger[kind];

			a->came[i][kind] = l->came;
			a->doubled[i][kind] = l->doubled;
			a->reordered[i][kind] = l->reordered;
			a->damaged[i][kind] = l->damaged;
			a->sent[i][kind] = t->peer[i].sent[kind];
		}
	for (int kind = 0; kind < DATAGRAMS; kind++)
		a->dropped[kind] = datagrams_dropped(t, (enum kind)kind);
	a->tx_dropped = interface_counter(t, "tx_dropped");
	a->rx_dropped = interface_counter(t, "rx_dropped");
	a->retransmits = retransmits(t);
	a->segments_again = segments_sent_again() - t->segments_before;
	for (int i = 0; i < CLOCKS; i++) {
		int64_t us = t->clocks.largest[i] / 1000;

		a->largest_us[i] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
	}
}
