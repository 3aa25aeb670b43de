/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * site_key.c - the site's key out of its file, if only those who may can read that.
 *
 * The file is judged by what was opened, not by its name: nobody can put another in its place between.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/key_private.h"
#include "common/cleanup.h"
#include "common/hex.h"
#include "common/io.h"

#define FILE_MAX 128u /* bytes; the longest form has 64 */
#define HEX_SIZE (2 * SEAL_KEY)
#define BASE64_SIZE 44u

static int file_open(const char *path, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return fm_fail(err, FM_DENIED, "KeyFile %s: %s", path,
			       errno == ELOOP ? "is a symbolic link" : strerror(errno));
	if (fstat(fd, &st) < 0)
		return fm_fail(err, FM_FAILED, "KeyFile %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fm_fail(err, FM_DENIED, "KeyFile %s is not a plain file", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return fm_fail(err, FM_DENIED, "KeyFile %s belongs to user %u: it has to be root's", path,
			       (unsigned)st.st_uid);
	if ((st.st_mode & 07777 & ~0600u) != 0)
		return fm_fail(err, FM_DENIED, "KeyFile %s has mode %04o: nobody but its owner may use it (chmod 600)",
			       path, (unsigned)st.st_mode & 07777);
	return fm_steal_fd(&fd);
}

static bool hex_parse(const char *text, uint8_t key_r[SEAL_KEY])
{
	for (unsigned i = 0; i < HEX_SIZE; i++) {
		int c = tolower((unsigned char)text[i]);

		if (!isxdigit(c))
			return false;
		key_r[i / 2] = (uint8_t)(key_r[i / 2] << 4 | (c <= '9' ? c - '0' : c - 'a' + 10));
	}
	return true;
}

/* 43 digits and one '=': 32 bytes, and no more. */
static bool base64_parse(const char *text, uint8_t key_r[SEAL_KEY])
{
	uint8_t data[BASE64_SIZE / 4 * 3];
	bool ok = text[BASE64_SIZE - 1] == '=';

	for (unsigned i = 0; ok && i + 1 < BASE64_SIZE; i++)
		ok = isalnum((unsigned char)text[i]) || text[i] == '+' || text[i] == '/';
	ok = ok && EVP_DecodeBlock(data, (const unsigned char *)text, BASE64_SIZE) == (int)sizeof(data);
	if (ok)
		memcpy(key_r, data, SEAL_KEY);
	seal_wipe(data, sizeof(data));
	return ok;
}

static int content_parse(char *text, size_t size, uint8_t key_r[SEAL_KEY], struct fm_error *err)
{
	bool alike = true;

	if (size == SEAL_KEY) {
		memcpy(key_r, text, SEAL_KEY);
	} else {
		size_t length = size;

		while (length > 0 && isspace((unsigned char)text[length - 1]))
			length--;
		if (!(length == HEX_SIZE && hex_parse(text, key_r)) &&
		    !(length == BASE64_SIZE && base64_parse(text, key_r)))
			return fm_fail(err, FM_DENIED,
				       "%s%zu bytes that are no key: it has to be 32 bytes, 64 hexadecimal digits, or "
				       "base64 of 32 bytes",
				       size >= FILE_MAX ? "at least " : "", size);
	}
	for (unsigned i = 1; i < SEAL_KEY; i++)
		alike = alike && key_r[i] == key_r[0];
	return alike ? fm_fail(err, FM_DENIED, "one byte 32 times is no key") : 0;
}

static int content_read(struct site_key *k, int fd, struct fm_error *err)
{
	char text[FILE_MAX];
	ssize_t n = fm_read_all(fd, text, sizeof(text));
	uint8_t hash[32];
	int rc;

	if (n < 0)
		return fm_fail(err, FM_FAILED, "%s", strerror(errno));
	rc = content_parse(text, (size_t)n, k->data, err);
	seal_wipe(text, sizeof(text));
	if (rc < 0)
		return -1;
	if (!EVP_Digest(k->data, SEAL_KEY, hash, NULL, EVP_sha256(), NULL))
		return fm_fail(err, FM_FAILED, "SHA-256 failed");
	memcpy(k->id, hash, sizeof(k->id));
	fm_hex(k->id, sizeof(k->id), k->id_text);
	return 0;
}

struct site_key *site_key_load(const char *path, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = file_open(path, err);
	struct site_key *k;

	if (fd < 0)
		return NULL;
	k = calloc(1, sizeof(*k));
	if (k)
		k->path = strdup(path);
	if (!k || !k->path) {
		fm_fail(err, FM_FAILED, "KeyFile %s: out of memory", path);
	} else if (content_read(k, fd, err) < 0) {
		fm_context(err, "KeyFile %s", path);
	} else {
		return k;
	}
	site_key_free(k);
	return NULL;
}

void site_key_free(struct site_key *k)
{
	if (!k)
		return;
	free(k->path);
	seal_wipe(k, sizeof(*k));
	free(k);
}

const char *site_key_id(const struct site_key *k)
{
	return k->id_text;
}
