/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire.h - the frames of a cut between two agents, as bytes.  Pure.
 *
 *	0  magic "FmC1"     4  size of all of it     8  type, round, flags (8, 8, 16 bits)
 *	12 job   16 n       20 from   24 to (ranks)  28 number (64 bits)
 *	36 body …           size-32  HMAC-SHA256 over everything before it
 *
 * All numbers are big-endian.  The number counts the frames that `from` sent to
 * `to` in this snapshot, from 1: with it, the ranks and the snapshot under the HMAC, a
 * frame is good once, in one place.
 *
 *	OPEN    an order, the first on this way: body = order, then a MUNGE
 *	        credential that only root can decode: wire_grant_format()
 *	ORDER   body = order          ANSWER  body = answer
 *	END     no body: the snapshot is over, the key can be forgotten
 *	REFUSAL body = text: why the OPEN that came is not obeyed, before the connection is
 *	        closed.  Proven by nothing, so worth no more than the closing.
 */
#ifndef FM_CUT_WIRE_H
#define FM_CUT_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "agent/cut/reduce.h"
#include "common/error.h"

#define WIRE_KEY 32
#define WIRE_MAC 32
#define WIRE_HEADER 36
#define WIRE_SMALL (16u << 10) /* no order is larger */
#define WIRE_TEXT_MAX 767u
/* An answer for so many members. */
#define WIRE_ANSWER_MAX(members) (WIRE_SMALL + (members) * (CUT_ENTRY_MAX + 1))

enum wire_type { WIRE_OPEN = 1, WIRE_ORDER, WIRE_ANSWER, WIRE_END, WIRE_REFUSAL };

struct wire_frame {
	enum wire_type type;
	enum cut_round round; /* not with END */
	uint32_t job, n;
	uint32_t from, to;
	uint64_t number;
	const uint8_t *body; /* in the frame's bytes */
	size_t size;
};

struct wire_order {
	uint32_t within_ms; /* the answer is awaited so long */
	uint32_t lease_ms;  /* gate: of the gates */
	uint32_t arity;     /* of the tree */
	uint32_t members;
	char *credential;   /* OPEN: with a NUL; the decoder's is the caller's to free. else NULL */
};

struct wire_answer {
	bool yes;
	enum fm_code code; /* of a no */
	uint32_t rank;     /* whose */
	char text[WIRE_TEXT_MAX + 1];
	struct cut_sum sum; /* of a yes; the decoder's is the caller's to dispose */
};

/* How long the frame is that begins so; 0: more bytes are needed to tell. -1: no frame begins so. */
int wire_size(const uint8_t *data, size_t have, size_t *size_r);
/* A whole frame; nothing of it is proven by this. FM_USAGE: malformed. */
int wire_decode(struct wire_frame *frame_r, const uint8_t *data, size_t size, struct fm_error *err);
bool wire_proven(const uint8_t *data, size_t size, const uint8_t key[WIRE_KEY]);
int wire_decode_order(struct wire_order *order_r, const struct wire_frame *frame, struct fm_error *err);
int wire_decode_answer(struct wire_answer *answer_r, const struct wire_frame *frame, struct fm_error *err);

/* The whole frame with its HMAC, the caller frees; body and size of `frame` are not looked at. NULL: out of memory. */
uint8_t *wire_encode_order(const struct wire_frame *frame, const struct wire_order *order,
			   const uint8_t key[WIRE_KEY], size_t *size_r);
uint8_t *wire_encode_answer(const struct wire_frame *frame, const struct wire_answer *answer,
			    const uint8_t key[WIRE_KEY], size_t *size_r);
uint8_t *wire_encode_end(const struct wire_frame *frame, const uint8_t key[WIRE_KEY], size_t *size_r);

uint8_t *wire_encode_refusal(const struct wire_frame *frame, const char *text, size_t *size_r);
void wire_refusal_text(const struct wire_frame *frame, char text_r[WIRE_TEXT_MAX + 1]);

/* What an OPEN's credential holds: the key, and what for: "cut JOB.N FROM TO KEY". */
#define WIRE_GRANT_MAX 160
void wire_grant_format(char text_r[WIRE_GRANT_MAX], const struct wire_frame *frame, const uint8_t key[WIRE_KEY]);
/* FM_DENIED when it is for something else. */
int wire_grant_parse(const char *text, size_t size, const struct wire_frame *frame, uint8_t key_r[WIRE_KEY],
		     struct fm_error *err);

#endif
