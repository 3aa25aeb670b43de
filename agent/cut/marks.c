/* SPDX-License-Identifier: GPL-2.0-or-later */
/* marks.c - see marks.h. */
#include "agent/cut/marks.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define LABEL "fermata marker\n"
#define SAID 16 /* bytes before the HMAC */

int marks_init(struct marks *m, uint32_t job, uint32_t n, unsigned rank, unsigned members, const uint8_t key[MARK_KEY])
{
	*m = (struct marks){ .job = job, .n = n, .rank = rank, .members = members, .missing = members - 1 };
	memcpy(m->key, key, MARK_KEY);
	m->seen = calloc(members, sizeof(*m->seen));
	if (!m->seen)
		return -1;
	m->seen[rank] = true;
	return 0;
}

void marks_dispose(struct marks *m)
{
	OPENSSL_cleanse(m->key, sizeof(m->key));
	free(m->seen);
	m->seen = NULL;
}

static int fill(const struct marks *m, unsigned from, unsigned to, uint8_t mark_r[MARK_SIZE])
{
	const uint32_t said[SAID / 4] = { htonl(m->job), htonl(m->n), htonl(from), htonl(to) };
	uint8_t text[sizeof(LABEL) - 1 + SAID], mac[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	memcpy(text, LABEL, sizeof(LABEL) - 1);
	memcpy(text + sizeof(LABEL) - 1, said, SAID);
	if (!HMAC(EVP_sha256(), m->key, MARK_KEY, text, sizeof(text), mac, &size) || size < MARK_SIZE - SAID)
		return -1;
	memcpy(mark_r, said, SAID);
	memcpy(mark_r + SAID, mac, MARK_SIZE - SAID);
	return 0;
}

int marks_make(const struct marks *m, unsigned to, uint8_t mark_r[MARK_SIZE])
{
	return fill(m, m->rank, to, mark_r);
}

enum marks_result marks_take(struct marks *m, const void *mark, size_t size, unsigned *from_r)
{
	uint8_t want[MARK_SIZE];
	uint32_t from;

	if (size != MARK_SIZE)
		return MARKS_FALSE;
	memcpy(&from, (const uint8_t *)mark + 8, sizeof(from));
	from = ntohl(from);
	if (from >= m->members || from == m->rank || fill(m, from, m->rank, want) < 0 ||
	    CRYPTO_memcmp(want, mark, MARK_SIZE) != 0)
		return MARKS_FALSE;
	*from_r = from;
	if (m->seen[from])
		return MARKS_AGAIN;
	m->seen[from] = true;
	m->missing--;
	return MARKS_NEW;
}

unsigned marks_first_missing(const struct marks *m)
{
	unsigned rank = 0;

	while (rank < m->members && m->seen[rank])
		rank++;
	return rank;
}
