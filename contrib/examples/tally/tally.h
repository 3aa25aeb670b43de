/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tally.h - what the parts of tally share; tally.c says what it does. */
#ifndef TALLY_H
#define TALLY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "clocks.h"
#include "ledger.h"
#include "stream.h"

#define RANKS_MAX 32
#define TALLY_ETHERTYPE 0x88B6 /* IEEE's second "local experimental" one */
#define MESSAGE_MAX 1400       /* a frame's payload */

enum kind { RAW, UDP, TCP };
#define KINDS 3
#define DATAGRAMS 2 /* RAW and UDP: the kinds with a socket that can overflow */
extern const char *const kind_names[KINDS];

struct options {
	unsigned rank, ranks;
	char *host[RANKS_MAX];
	const char *interface;
	uint16_t port;
	unsigned size;    /* bytes of a message */
	double rate;      /* messages a second, to each peer, of each kind */
	double seconds;   /* of sending; by MONOTONIC */
	double quiet;     /* seconds without anything new: what has not come by then is lost */
	double report;    /* seconds between two lines about the state */
	double gap;       /* seconds; a longer stop gets a line */
	double wait;      /* seconds for the peers to appear */
	int receive_room; /* bytes of a receiving socket's buffer; 0: all we can get */
};

/* What a rank says about itself when all has come: received[] is of what the others sent it. */
struct account {
	uint32_t came[RANKS_MAX][KINDS], doubled[RANKS_MAX][KINDS], reordered[RANKS_MAX][KINDS], damaged[RANKS_MAX][KINDS];
	uint32_t sent[RANKS_MAX][KINDS];
	uint32_t dropped[DATAGRAMS];   /* by its own full sockets */
	uint32_t tx_dropped, rx_dropped; /* by its interface, of anybody's frames */
	uint32_t retransmits;          /* of tally's connections */
	uint32_t segments_again;       /* of the whole machine, since the start */
	uint32_t largest_us[CLOCKS];
};
#define ACCOUNT_WORDS (sizeof(struct account) / sizeof(uint32_t))

struct peer {
	struct stream stream;
	struct in_addr ip;
	uint8_t mac[6];
	uint32_t sent[KINDS];
	struct ledger ledger[KINDS];
	bool ready, ended, told; /* its READY, END, ACCOUNT have come */
	uint32_t sends[KINDS];   /* said by its END */
	struct account account;
};

struct tally {
	struct options options;
	struct clocks clocks;
	struct peer peer[RANKS_MAX]; /* our own is unused but for `account` */
	int socket[DATAGRAMS];
	unsigned interface_index;
	uint8_t mac[6];
	uint32_t refused[KINDS]; /* sends the kernel did not take; they are not counted as sent, the number is used again */
	uint32_t strangers;      /* what came and is no message of ours */
	uint32_t segments_before;
	int64_t last_new; /* MONOTONIC, when something last came that counts */
};

void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- message.c: a numbered message --------------------------------------------- */

void message_fill(uint8_t *message, unsigned size, enum kind kind, unsigned from, unsigned to, uint32_t number);
/* Who sent it, or -1: not ours. *sound_r: its content is what was sent. */
int message_read(const uint8_t *message, unsigned size, enum kind kind, const struct options *o, uint32_t *number_r,
		 bool *sound_r);
#define MESSAGE_MIN 16

/* ---- datagrams.c: the raw and the UDP socket ------------------------------------- */

void datagrams_open(struct tally *t);
bool datagram_send(struct tally *t, enum kind kind, unsigned to, const uint8_t *message);
void datagrams_receive(struct tally *t, enum kind kind);
uint32_t datagrams_dropped(const struct tally *t, enum kind kind);

/* ---- meet.c: one connection with every other rank ---------------------------------- */

void meet(struct tally *t);

/* ---- account.c, report.c --------------------------------------------------------------- */

/* A message of one of our peers has come. */
void take(struct tally *t, enum kind kind, const uint8_t *message, unsigned size);
uint32_t retransmits(const struct tally *t); /* of our connections */
uint32_t segments_sent_again(void);          /* of the machine */
void account_close(struct tally *t);         /* fills in our own */
void report_state(const struct tally *t);
void report_gap(const struct tally *t);
void report_missing(const struct tally *t); /* which numbers have not come, of all peers */
/* Prints a line a pair and kind and the verdict; all ranks' accounts have come. Returns whether the network is clean. */
bool report_end(const struct tally *t, bool quietly);

#endif
