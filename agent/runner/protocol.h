/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * protocol.h - what the runner inside a guest and its clients say to each other.
 * Shared by fermata-runner, fermata-shim and fermata-rsh.
 *
 * A connection carries frames: one byte type, four bytes length of the payload
 * (big endian, at most FM_FRAME_MAX), the payload.  All numbers are big endian.
 *
 *	server                            client
 *	HELLO version nonce          →
 *	                             ←    AUTH nonce mac
 *	WELCOME mac                  →                        (or ERROR text, then the end)
 *	                             ←    START part …, START (empty)
 *	TASK flags starts stdin      →
 *	OUTPUT stream offset data    →
 *	                             ←    ACK stream offset    the client has printed up to there
 *	                             ←    STDIN offset data    no data: the end of the input
 *	ACK 0 offset                 →                         the task's stdin took up to there;
 *	                                                       FM_STDIN_GONE: it takes no more
 *	                             ←    SIGNAL sequence number
 *	ACK 3 sequence               →
 *	EXIT kind value              →                         after the last OUTPUT
 *	                             ←    CLOSE stream         nobody reads it any more: as if a pipe broke
 *	                             ←    DONE                 all is printed; the task may be forgotten
 *	PING ↔ PONG                                            any time after START
 *
 * Every byte of a task's streams has an offset, counted from the task's start,
 * so a client that lost its connection says from where it wants to go on.
 * Neither side sends more than FM_WINDOW bytes of a stream beyond what the
 * other has acknowledged.
 *
 * Authentication: both sides prove that they hold the job's token by an
 * HMAC-SHA256 over both nonces; the two macs differ in their label, so neither
 * can be reflected.  The frames that follow are not protected further: the
 * guests' network is the job's own.  A token's holder acts as the job's user.
 *
 * The unix socket inside the guest needs no token (the kernel says who is
 * there).  Its first frame is RSH host; READY or ERROR answers, and from then
 * on the connection is one with that host's runner, after WELCOME.
 */
#ifndef FM_RUNNER_PROTOCOL_H
#define FM_RUNNER_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

#define FM_PROTOCOL_VERSION 1
#define FM_FRAME_MAX 65536u /* payload */
#define FM_FRAME_HEADER 5u
#define FM_FRAME_MAX_UNAUTHENTICATED 256u
#define FM_WINDOW (256u * 1024)
#define FM_STDIN_GONE UINT64_MAX
#define FM_OUTPUT_MAX (32u * 1024) /* data in one OUTPUT or STDIN frame */

#define FM_NONCE_SIZE 32
#define FM_TOKEN_SIZE 32
#define FM_MAC_SIZE 32

#define FM_TASK_ID_MAX 63
#define FM_REQUEST_MAX (24u * 1024 * 1024)
#define FM_SCRIPT_MAX (16u * 1024 * 1024)
#define FM_STRINGS_MAX (4u * 1024 * 1024) /* argv, and env, each */
#define FM_PATH_MAX 4096

enum fm_frame_type {
	FM_FRAME_HELLO = 1,
	FM_FRAME_AUTH,
	FM_FRAME_WELCOME,
	FM_FRAME_ERROR,  /* u8 enum fm_code, text */
	FM_FRAME_START,
	FM_FRAME_TASK,   /* u8 FM_TASK_*, u64 first kept byte of stdout, of stderr, u64 stdin taken */
	FM_FRAME_OUTPUT, /* u8 stream (1 or 2), u64 offset, data */
	FM_FRAME_ACK,    /* u8 stream, u64 offset */
	FM_FRAME_STDIN,  /* u64 offset, data */
	FM_FRAME_SIGNAL, /* u64 sequence (from 1), u8 number */
	FM_FRAME_EXIT,   /* u8 enum fm_exit_kind, u8 value */
	FM_FRAME_DONE,
	FM_FRAME_PING,
	FM_FRAME_PONG,
	FM_FRAME_RSH,    /* host; unix socket only */
	FM_FRAME_READY,
	FM_FRAME_CLOSE,  /* u8 stream */
};

/* TASK's flags */
#define FM_TASK_EXISTED 1      /* attached, not started */
#define FM_TASK_STDIN_CLOSED 2 /* it reads no more */

enum fm_stream { FM_STDIN = 0, FM_STDOUT = 1, FM_STDERR = 2, FM_SIGNALS = 3 };

enum fm_exit_kind { FM_EXIT_CODE = 0, FM_EXIT_SIGNAL = 1 };

struct fm_exit {
	enum fm_exit_kind kind;
	uint8_t value;
};

/* START's flags */
#define FM_REQUEST_STDIN_NULL 1   /* stdin is /dev/null */
#define FM_REQUEST_MERGE 2        /* stderr is the same file as stdout: one stream, in order */
#define FM_REQUEST_EPHEMERAL 4    /* lives as long as the connection (rsh); no id */
#define FM_REQUEST_MUST_EXIST 8   /* a reconnect: never start it anew */
#define FM_REQUEST_FRESH 16       /* a new client: output from the first kept byte, `from` is ignored */
#define FM_REQUEST_SHELL 32       /* argv[0] is a command line for /bin/sh -c */

/* Start the task or attach to the one of that id. Strings are owned when decoded. */
struct fm_request {
	char id[FM_TASK_ID_MAX + 1]; /* [A-Za-z0-9._-]+; "" with FM_REQUEST_EPHEMERAL */
	uint32_t flags;
	uint64_t client;             /* random: tells a reconnect from another client */
	uint64_t from[3];            /* [FM_STDOUT], [FM_STDERR]: first byte wanted */
	mode_t umask;
	char **argv;                 /* NULL-terminated */
	char **env;                  /* NULL-terminated, "NAME=value" */
	char *cwd;                   /* "" = the home */
	char *script;                /* content put in argv[0]'s place; NULL when none */
	size_t script_size;
};

/* The blob START frames carry; caller frees. NULL: a bound was passed (err says which). */
uint8_t *fm_request_encode(const struct fm_request *request, size_t *size_r, struct fm_error *err);
/* Every bound is checked; dispose in any case. */
int fm_request_decode(struct fm_request *request, const uint8_t *data, size_t size, struct fm_error *err);
void fm_request_dispose(struct fm_request *request);

/* 64 hex digits */
int fm_token_parse(const char *hex, uint8_t token_r[FM_TOKEN_SIZE], struct fm_error *err);

/* RFC 2104 with SHA-256; key at most 64 bytes. */
void fm_hmac_sha256(const uint8_t *key, size_t key_size, const void *data, size_t size,
		    uint8_t mac_r[FM_MAC_SIZE]);

enum fm_side { FM_SIDE_SERVER, FM_SIDE_CLIENT };

/* What `side` sends to prove that it holds the token. */
void fm_auth_mac(const uint8_t token[FM_TOKEN_SIZE], enum fm_side side,
		 const uint8_t server_nonce[FM_NONCE_SIZE], const uint8_t client_nonce[FM_NONCE_SIZE],
		 uint8_t mac_r[FM_MAC_SIZE]);
/* In constant time. */
bool fm_mac_equal(const uint8_t a[FM_MAC_SIZE], const uint8_t b[FM_MAC_SIZE]);
/* The kernel's randomness; aborts when there is none (a nonce must not be guessable). */
void fm_random(void *buf, size_t size);

static inline void fm_put_u32(uint8_t *p, uint32_t v)
{
	for (int i = 3; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static inline void fm_put_u64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static inline uint32_t fm_get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t fm_get_u64(const uint8_t *p)
{
	return (uint64_t)fm_get_u32(p) << 32 | fm_get_u32(p + 4);
}

#endif
