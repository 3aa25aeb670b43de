/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * s3.h - a level that is a bucket of a server that speaks Amazon's S3 protocol:
 * AWS, Ceph RGW, MinIO, OpenStack Swift, …
 *
 * By libcurl, signed with AWS Signature Version 4 (CURLOPT_AWS_SIGV4), path
 * style.  An object's key is "<prefix>/<name>"; it carries its SHA-256 as
 * x-amz-meta-fermata-sha256.  What is sent is signed with its hash, so the
 * server refuses other bytes.  Larger objects are uploaded in parts.
 *
 * Errors that may pass (500, 502, 503, 504, 429, SlowDown, a connection that
 * fails, a transfer that stands still or is cut off) are tried again; refusals
 * never are.
 */
#ifndef FM_STORE_LEVEL_S3_H
#define FM_STORE_LEVEL_S3_H

#include "agent/store/levels/level.h"
#include "agent/store/levels/retry.h"

/* 0 anywhere: the default in brackets. */
struct s3_tuning {
	struct retry_policy retry;  /* 6 tries, pauses from 500 ms to 20 s, 300 s in all */
	int64_t connect_ms;         /* [10000] */
	int64_t stall_s;            /* [60] fewer than 1 KiB/s (throttled: 1 byte/s) for so long is a stall */
	uint64_t multipart_bytes;   /* [64 MiB] larger objects are uploaded in parts */
	uint64_t part_bytes;        /* [64 MiB] of this size, or larger ones so that there are 1000 at most; AWS: from 5 MiB on */
	const struct level_clock *clock; /* [real] of the pauses; must outlive the level */
};

struct s3_config {
	const char *endpoint;    /* "https://s3.example.org" or with ":port"; http:// is taken, too */
	const char *bucket;      /* must exist */
	const char *region;      /* "us-east-1" */
	const char *prefix;      /* of all keys, "" or "site/fermata"; as a level's name */
	const char *credentials; /* path, see credentials.h; read once, here */
	const char *ca_file;     /* PEM certificates to trust in place of the system's; NULL: the system's */
	bool tls_any;            /* do not verify the server's certificate: for tests alone */
	struct s3_tuning tuning;
};

/* Strings are copied. Nothing is asked of the server yet: level_check() does. */
struct level *level_open_s3(const struct s3_config *config, struct fm_error *err);

#endif
