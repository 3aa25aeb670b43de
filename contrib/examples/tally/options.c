/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.c - see options.h. */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage_text[] =
	"usage: tally --rank=N [OPTION...] HOST HOST...\n"
	"Sends numbered raw Ethernet, UDP and TCP messages to all other hosts and counts theirs; the\n"
	"HOSTs are in the order of ranks, each runs one. Exit status 0: nothing lost, doubled, reordered\n"
	"or damaged between any of them; 1: something was, or a rank is gone; 2: usage.\n"
	"\n"
	"  --rank=N          which of the hosts this is (from 0)\n"
	"  --seconds=S       how long to send (60); SIGUSR1 to any rank ends it for all\n"
	"  --rate=R          messages a second to each host, of each kind (20)\n"
	"  --size=BYTES      of a message (200; 16 to 1400)\n"
	"  --report=S        a line about the state every so often (1)\n"
	"  --gap=MS          a line whenever the program stood still for longer (200)\n"
	"  --quiet=S         in the end, what has not come after so long without anything is lost (5)\n"
	"  --wait=S          for the other hosts to appear (60)\n"
	"  --interface=NAME  for the raw frames (eth0)\n"
	"  --port=N          TCP and UDP (7788)\n"
	"  --receive-room=BYTES  of the sockets' buffers (as much as there is)\n"
	"  --help\n"
	"\n"
	"The packet socket needs the capability cap_net_raw.\n";

static void usage(const char *wrong)
{
	if (wrong)
		fprintf(stderr, "tally: %s\n", wrong);
	fputs(usage_text, wrong ? stderr : stdout);
	exit(wrong ? 2 : 0);
}

static double number(const char *text, double least, double most)
{
	char *end;
	double value = strtod(text, &end);
	char complaint[160];

	if (end != text && !*end && value >= least && value <= most)
		return value;
	snprintf(complaint, sizeof(complaint), "\"%.40s\" is not a number from %g to %g", text, least, most);
	usage(complaint);
	return 0;
}

static void hosts(struct options *o, int count, char **names)
{
	if (count < 2 || count > RANKS_MAX)
		usage("give 2 to 32 hosts");
	o->ranks = (unsigned)count;
	for (int i = 0; i < count; i++)
		o->host[i] = names[i];
	if (o->rank >= o->ranks)
		usage("--rank=N is needed, less than the number of hosts");
}

static void option(struct options *o, int c, const char *value)
{
	switch (c) {
	case 'r': o->rank = (unsigned)number(value, 0, RANKS_MAX - 1); break;
	case 's': o->seconds = number(value, 0.1, 1e6); break;
	case 'R': o->rate = number(value, 0.1, 10000); break;
	case 'z': o->size = (unsigned)number(value, MESSAGE_MIN, MESSAGE_MAX); break;
	case 'e': o->report = number(value, 0.01, 1e6); break;
	case 'g': o->gap = number(value, 1, 1e9) / 1e3; break;
	case 'q': o->quiet = number(value, 0.1, 1e6); break;
	case 'w': o->wait = number(value, 0.1, 1e6); break;
	case 'i': o->interface = value; break;
	case 'p': o->port = (uint16_t)number(value, 1, 65535); break;
	case 'b': o->receive_room = (int)number(value, 1, 1 << 28); break;
	case 'h': usage(NULL); break;
	default: usage("unknown option, or one without its value");
	}
}

void options_parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "rank", required_argument, NULL, 'r' },   { "seconds", required_argument, NULL, 's' },
		{ "rate", required_argument, NULL, 'R' },   { "size", required_argument, NULL, 'z' },
		{ "report", required_argument, NULL, 'e' }, { "gap", required_argument, NULL, 'g' },
		{ "quiet", required_argument, NULL, 'q' },  { "wait", required_argument, NULL, 'w' },
		{ "port", required_argument, NULL, 'p' },   { "interface", required_argument, NULL, 'i' },
		{ "help", no_argument, NULL, 'h' },	    { "receive-room", required_argument, NULL, 'b' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){ .rank = RANKS_MAX, .interface = "eth0", .port = 7788, .size = 200, .rate = 20, .seconds = 60,
			       .quiet = 5, .report = 1, .gap = 0.2, .wait = 60 };
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1)
		option(o, c, optarg);
	hosts(o, argc - optind, argv + optind);
}
