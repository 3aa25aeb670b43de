/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * s3_reply.c - what an answer means: good, worth another try, or final, and what
 * the user reads.
 *
 * Of an error's XML only Code and Message are shown: the rest has what was
 * signed.  Codes are those of the S3 API's "Error responses".
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/store/levels/s3_private.h"
#include "agent/store/levels/s3_xml.h"

enum advice {
	NOTHING,
	ACCESS_KEY,
	SECRET_KEY,
	TOKEN,
	CLOCK,
	REGION,
};

static const struct error_code {
	const char *code;
	enum s3_verdict verdict;
	enum fm_code fm_code;
	enum advice advice;
} error_codes[] = {
	{ "AccessDenied", S3_FINAL, FM_DENIED, NOTHING },
	{ "AccountProblem", S3_FINAL, FM_DENIED, NOTHING },
	{ "AllAccessDisabled", S3_FINAL, FM_DENIED, NOTHING },
	{ "AuthorizationHeaderMalformed", S3_FINAL, FM_DENIED, REGION },
	{ "BadDigest", S3_FINAL, FM_CORRUPT, NOTHING },
	{ "ExpiredToken", S3_FINAL, FM_DENIED, TOKEN },
	{ "InternalError", S3_AGAIN, FM_FAILED, NOTHING },
	{ "InvalidAccessKeyId", S3_FINAL, FM_DENIED, ACCESS_KEY },
	{ "InvalidSecurity", S3_FINAL, FM_DENIED, SECRET_KEY },
	{ "InvalidToken", S3_FINAL, FM_DENIED, TOKEN },
	{ "NoSuchKey", S3_FINAL, FM_NOT_FOUND, NOTHING },
	{ "NoSuchUpload", S3_FINAL, FM_NOT_FOUND, NOTHING },
	{ "NoSuchBucket", S3_FINAL, FM_FAILED, NOTHING }, /* the place is wrong, not the object */
	{ "OperationAborted", S3_AGAIN, FM_FAILED, NOTHING },
	{ "RequestExpired", S3_FINAL, FM_DENIED, CLOCK },
	{ "RequestTimeTooSkewed", S3_FINAL, FM_DENIED, CLOCK },
	{ "RequestTimeout", S3_AGAIN, FM_TIMEOUT, NOTHING },
	{ "ServiceUnavailable", S3_AGAIN, FM_FAILED, NOTHING },
	{ "SignatureDoesNotMatch", S3_FINAL, FM_DENIED, SECRET_KEY },
	{ "SlowDown", S3_AGAIN, FM_FAILED, NOTHING },
	{ "TokenRefreshRequired", S3_FINAL, FM_DENIED, TOKEN },
	{ "XAmzContentSHA256Mismatch", S3_FINAL, FM_CORRUPT, NOTHING },
	{ NULL, S3_GOOD, FM_OK, NOTHING },
};

struct answer {
	char code[64];
	char message[256];
};

/* No control characters: it goes into logs and onto terminals. */
static void copy_plain(char *to, size_t size, const char *from)
{
	size_t n = 0;

	for (; *from && n + 1 < size; from++)
		to[n++] = (unsigned char)*from < ' ' || *from == 127 ? ' ' : *from;
	to[n] = '\0';
}

static int take_element(void *arg, const char *parent, const char *name, const char *text, struct fm_error *err)
{
	struct answer *a = arg;

	(void)err;
	if (strcmp(parent, "Error") != 0)
		return 0;
	if (!strcmp(name, "Code"))
		copy_plain(a->code, sizeof(a->code), text);
	else if (!strcmp(name, "Message"))
		copy_plain(a->message, sizeof(a->message), text);
	return 0;
}

/* What is to be looked at, for a refusal that has one cause as a rule. */
static void advise(const struct s3 *s3, enum advice advice, const struct s3_reply *reply, char *text, size_t size)
{
	switch (advice) {
	case ACCESS_KEY:
		snprintf(text, size, " (is access_key in %s right?)", s3->credentials_path);
		break;
	case SECRET_KEY:
		snprintf(text, size, " (is secret_key in %s right?)", s3->credentials_path);
		break;
	case TOKEN:
		snprintf(text, size, " (session_token in %s has expired, or is not valid)", s3->credentials_path);
		break;
	case REGION:
		snprintf(text, size, " (is \"%s\" the bucket's region?)", s3->region);
		break;
	case CLOCK:
		if (reply->date)
			snprintf(text, size, " (this host's clock and the server's are %lld s apart)",
				 llabs((long long)(time(NULL) - reply->date)));
		else
			snprintf(text, size, " (this host's clock and the server's differ)");
		break;
	case NOTHING:
		*text = '\0';
		break;
	}
}

/* Without a code that we know: by the status. */
static struct error_code by_status(long status)
{
	switch (status) {
	case 401:
	case 403:
		return (struct error_code){ NULL, S3_FINAL, FM_DENIED, NOTHING };
	case 404:
		return (struct error_code){ NULL, S3_FINAL, FM_NOT_FOUND, NOTHING };
	case 408:
	case 504:
		return (struct error_code){ NULL, S3_AGAIN, FM_TIMEOUT, NOTHING };
	case 429:
	case 500:
	case 502:
	case 503:
		return (struct error_code){ NULL, S3_AGAIN, FM_FAILED, NOTHING };
	default:
		return (struct error_code){ NULL, S3_FINAL, FM_FAILED, NOTHING };
	}
}

static struct error_code by_code(const char *code, long status)
{
	for (const struct error_code *e = error_codes; e->code; e++)
		if (!strcmp(e->code, code))
			return *e;
	return by_status(status);
}

enum s3_verdict s3_judge(const struct s3 *s3, const struct s3_request *request, const struct s3_reply *reply,
			 struct fm_error *err)
{
	bool success = reply->status >= 200 && reply->status < 300;
	struct answer a = { "", "" };
	struct fm_error ignored;
	struct error_code e;
	char advice[512];

	/* The end of a multipart upload begins its answer before it knows: 200, and an error in the body. */
	if (success && strcmp(request->method, "POST") != 0)
		return S3_GOOD;
	if (reply->size)
		s3_xml_read(reply->text, reply->size, take_element, &a, &ignored);
	if (success && !*a.code)
		return S3_GOOD;
	e = by_code(a.code, reply->status);
	if (e.fm_code == FM_NOT_FOUND && !*a.code) {
		fm_fail(err, FM_NOT_FOUND, "no such object (HTTP 404)");
		return S3_FINAL;
	}
	advise(s3, e.advice, reply, advice, sizeof(advice));
	fm_fail(err, e.fm_code, "the server says HTTP %ld%s%s%s%s%s", reply->status, *a.code ? " " : "", a.code,
		*a.message ? ": " : "", a.message, advice);
	return e.verdict;
}

enum s3_verdict s3_judge_transfer(CURLcode code, const char *detail, struct fm_error *err)
{
	const char *why = *detail ? detail : curl_easy_strerror(code);

	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		fm_fail(err, FM_TIMEOUT, "%s", why);
		return S3_AGAIN;
	case CURLE_PARTIAL_FILE:
		fm_fail(err, FM_FAILED, "the answer was cut off: %s", why);
		return S3_AGAIN;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		fm_fail(err, FM_FAILED, "%s", why);
		return S3_AGAIN;
	case CURLE_PEER_FAILED_VERIFICATION:
		fm_fail(err, FM_DENIED, "the server cannot be trusted: %s", why);
		return S3_FINAL;
	default:
		fm_fail(err, FM_FAILED, "%s", why);
		return S3_FINAL;
	}
}

void s3_reply_dispose(struct s3_reply *reply)
{
	free(reply->text);
	*reply = (struct s3_reply){ 0 };
}
