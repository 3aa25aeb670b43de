/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * job_key.c - a job's key: made once, wrapped, and back.
 *
 * It is made as ".key.XXXXXX", made durable, and then linked to its name: a name that is there is never given anew, so
 * of several that try one wins, and whoever finds the name taken takes what lies there. Once there is a key, all such
 * temporary files are litter: whoever has still one in its hands will find the name taken, or its own file gone, which is
 * the same.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/key_format.h"
#include "agent/store/key_private.h"
#include "agent/store/pages/format.h"
#include "common/cleanup.h"
#include "common/hex.h"
#include "common/io.h"

#define KEY_NAME "key"
#define TEMP_PREFIX ".key."
#define DIGEST_SIZE offsetof(struct disk_key, digest)

static int wrap(const uint8_t data[SEAL_KEY], uint32_t job, const struct site_key *site, struct disk_key *disk_r,
		struct fm_error *err)
{
	const struct seal_bound bound = { disk_r, offsetof(struct disk_key, wrapped) };
	uint8_t key[SEAL_KEY];
	struct seal seal = { 0 };
	int rc;

	*disk_r = (struct disk_key){ .version = DISK_KEY_VERSION, .size = sizeof(*disk_r), .job = job,
				     .cipher = DISK_CIPHER_AES_256_GCM };
	memcpy(disk_r->magic, DISK_KEY_MAGIC, sizeof(disk_r->magic));
	memcpy(disk_r->site, site->id, sizeof(disk_r->site));
	memcpy(disk_r->wrapped, data, SEAL_KEY);
	rc = seal_random(disk_r->salt, SEAL_SALT, err);
	if (rc == 0)
		rc = seal_derive(site->data, DISK_WRAP_PURPOSE, disk_r->salt, key, err);
	if (rc == 0)
		rc = seal_close(&seal, key, 0, &bound, disk_r->wrapped, SEAL_KEY, disk_r->tag, err);
	if (rc == 0 && !EVP_Digest(disk_r, DIGEST_SIZE, disk_r->digest, NULL, EVP_sha256(), NULL))
		rc = fm_fail(err, FM_FAILED, "SHA-256 failed");
	seal_dispose(&seal);
	seal_wipe(key, sizeof(key));
	if (rc < 0)
		seal_wipe(disk_r, sizeof(*disk_r)); /* the key may lie in it as it is */
	return rc;
}

static int disk_check(const struct disk_key *disk, uint32_t job, struct fm_error *err)
{
	uint8_t digest[32];

	if (memcmp(disk->magic, DISK_KEY_MAGIC, sizeof(disk->magic)) != 0)
		return fm_fail(err, FM_CORRUPT, "it does not begin like a job's key");
	if (!EVP_Digest(disk, DIGEST_SIZE, digest, NULL, EVP_sha256(), NULL))
		return fm_fail(err, FM_FAILED, "SHA-256 failed");
	if (memcmp(digest, disk->digest, sizeof(digest)) != 0)
		return fm_fail(err, FM_CORRUPT, "it is damaged: its SHA-256 is wrong");
	if (disk->version != DISK_KEY_VERSION || disk->size != sizeof(*disk) || disk->cipher != DISK_CIPHER_AES_256_GCM)
		return fm_fail(err, FM_INCOMPATIBLE, "its format is version %u, cipher %u; this is for %u and %u",
			       disk->version, disk->cipher, DISK_KEY_VERSION, DISK_CIPHER_AES_256_GCM);
	if (disk->job != job)
		return fm_fail(err, FM_CORRUPT, "it is job %u's, not job %u's", disk->job, job);
	return 0;
}

/* The job's key to data_r. path: for the errors, which name it. */
static int unwrap(const struct disk_key *disk, const char *path, uint32_t job, const struct site_key *site,
		  uint8_t data_r[SEAL_KEY], struct fm_error *err)
{
	const struct seal_bound bound = { disk, offsetof(struct disk_key, wrapped) };
	uint8_t key[SEAL_KEY];
	struct seal seal = { 0 };
	char id[9];
	int rc;

	if (disk_check(disk, job, err) < 0)
		return fm_context(err, "%s", path);
	fm_hex(disk->site, sizeof(disk->site), id);
	if (!site)
		return fm_fail(err, FM_DENIED,
			       "%s is wrapped with site key %s, and there is no KeyFile: job %u is encrypted", path, id, job);
	if (memcmp(disk->site, site->id, sizeof(disk->site)) != 0)
		return fm_fail(err, FM_DENIED, "%s is wrapped with site key %s, KeyFile %s is %s", path, id, site->path,
			       site->id_text);
	memcpy(data_r, disk->wrapped, SEAL_KEY);
	rc = seal_derive(site->data, DISK_WRAP_PURPOSE, disk->salt, key, err);
	if (rc == 0)
		rc = seal_open(&seal, key, 0, &bound, data_r, SEAL_KEY, disk->tag, err);
	seal_dispose(&seal);
	seal_wipe(key, sizeof(key));
	return rc < 0 ? fm_context(err, "%s", path) : 0;
}

static struct pages_key *key_create(uint32_t job, const uint8_t data[SEAL_KEY], struct fm_error *err)
{
	struct pages_key *k = calloc(1, sizeof(*k));
	uint8_t id[SEAL_KEY];

	if (!k) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	k->job = job;
	memcpy(k->data, data, SEAL_KEY);
	if (seal_derive(data, DISK_NAME_PURPOSE, NULL, k->name, err) < 0 ||
	    seal_derive(data, DISK_KEY_ID_PURPOSE, NULL, id, err) < 0) {
		pages_key_free(k);
		return NULL;
	}
	memcpy(k->id, id, sizeof(k->id));
	fm_hex(k->id, sizeof(k->id), k->id_text);
	return k;
}

/* 1: it is there, and in disk_r; 0: it is not; -1. */
static int disk_read(const char *path, struct disk_key *disk_r, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	uint8_t bytes[sizeof(*disk_r) + 1];
	struct stat st;
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return fm_fail(err, FM_FAILED, "cannot open %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fm_fail(err, FM_CORRUPT, "%s is not a plain file", path);
	n = fm_read_all(fd, bytes, sizeof(bytes));
	if (n < 0)
		return fm_fail(err, FM_FAILED, "cannot read %s: %s", path, strerror(errno));
	if ((size_t)n != sizeof(*disk_r))
		return fm_fail(err, FM_CORRUPT, "%s has %s%zd bytes, a job's key has %zu", path,
			       (size_t)n > sizeof(*disk_r) ? "at least " : "", n, sizeof(*disk_r));
	memcpy(disk_r, bytes, sizeof(*disk_r));
	return 1;
}

/* 1: it is there, and in *key_r; 0: it is not; -1. */
static int key_read(const char *path, uint32_t job, const struct site_key *site, struct pages_key **key_r,
		    struct fm_error *err)
{
	uint8_t data[SEAL_KEY];
	struct disk_key disk;
	int there = disk_read(path, &disk, err);

	*key_r = NULL;
	if (there <= 0)
		return there;
	if (unwrap(&disk, path, job, site, data, err) < 0)
		return -1;
	*key_r = key_create(job, data, err);
	seal_wipe(data, sizeof(data));
	return *key_r ? 1 : -1;
}

static char *key_path(const char *folder, struct fm_error *err)
{
	char *path = fm_format("%s/" KEY_NAME, folder);

	if (!path)
		fm_fail(err, FM_FAILED, "out of memory");
	return path;
}

int pages_key_open(const char *folder, uint32_t job, const struct site_key *site, struct pages_key **key_r,
		   struct fm_error *err)
{
	FM_AUTO_FREE char *path = key_path(folder, err);

	*key_r = NULL;
	return path && key_read(path, job, site, key_r, err) >= 0 ? 0 : -1;
}

static bool ends_in(const char *name, const char *suffix)
{
	size_t length = strlen(name), n = strlen(suffix);

	return length > n && strcmp(name + length - n, suffix) == 0;
}

/* Is it too late? What is there was saved as it is, or by a key that is gone. */
static int packs_check(const char *packs, const char *key, struct fm_error *err)
{
	DIR *d = opendir(packs);
	struct dirent *e;
	int rc = 0;

	if (!d && errno == ENOENT)
		return 0;
	if (!d)
		return fm_fail(err, FM_FAILED, "cannot open %s: %s", packs, strerror(errno));
	while (rc == 0 && (e = readdir(d))) {
		struct disk_pack_header h = { 0 };
		FM_AUTO_CLOSE int fd = -1;

		if (!ends_in(e->d_name, ".pack"))
			continue;
		fd = openat(dirfd(d), e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 || fm_read_all(fd, &h, sizeof(h)) < 0 || h.cipher == DISK_CIPHER_NONE)
			rc = fm_fail(err, FM_DENIED,
				     "%s/%s is not encrypted: a job is from its first snapshot on, or never", packs,
				     e->d_name);
		else
			rc = fm_fail(err, FM_DENIED, "%s is missing, and %s/%s is encrypted by it", key, packs, e->d_name);
	}
	closedir(d);
	return rc;
}

/* Best effort: they harm nobody. */
static void litter_remove(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		FM_AUTO_FREE char *path = NULL;

		if (strncmp(e->d_name, TEMP_PREFIX, strlen(TEMP_PREFIX)) != 0)
			continue;
		path = fm_format("%s/%s", folder, e->d_name);
		if (path)
			unlink(path);
	}
	if (d)
		closedir(d);
}

/* Under a name of its own, durable, then linked. Taken already is fine. */
static int disk_link(const struct disk_key *disk, const char *folder, const char *path, struct fm_error *err)
{
	FM_AUTO_FREE char *temp = fm_format("%s/" TEMP_PREFIX "XXXXXX", folder);
	FM_AUTO_CLOSE int fd = -1;
	int rc = 0;

	if (!temp)
		return fm_fail(err, FM_FAILED, "out of memory");
	fd = mkostemp(temp, O_CLOEXEC); /* mode 0600 */
	if (fd < 0)
		return fm_fail(err, FM_FAILED, "cannot create %s: %s", temp, strerror(errno));
	if (fm_write_all(fd, disk, sizeof(*disk)) < 0 || fsync(fd) < 0)
		rc = fm_fail(err, FM_FAILED, "cannot write %s: %s", temp, strerror(errno));
	else if (link(temp, path) < 0 && errno != EEXIST && errno != ENOENT)
		rc = fm_fail(err, FM_FAILED, "cannot link %s to %s: %s", temp, path, strerror(errno));
	unlink(temp);
	return rc;
}

static int key_make(const char *folder, const char *path, uint32_t job, const struct site_key *site,
		    struct fm_error *err)
{
	uint8_t data[SEAL_KEY];
	struct disk_key disk;
	int rc = seal_random(data, sizeof(data), err);

	if (rc == 0)
		rc = wrap(data, job, site, &disk, err);
	seal_wipe(data, sizeof(data));
	return rc == 0 ? disk_link(&disk, folder, path, err) : -1;
}

int pages_key_make(const char *folder, uint32_t job, const struct site_key *site, const char *packs,
		   struct pages_key **key_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = key_path(folder, err);
	int there;

	*key_r = NULL;
	if (!path || fm_mkdir_all(folder, 0700, err) < 0)
		return -1;
	there = key_read(path, job, site, key_r, err);
	if (there == 0) {
		if (packs_check(packs, path, err) < 0 || key_make(folder, path, job, site, err) < 0)
			return -1;
		there = key_read(path, job, site, key_r, err);
		if (there == 0)
			fm_fail(err, FM_FAILED, "%s was removed while it was made", path);
	}
	if (there > 0)
		litter_remove(folder);
	/* Whoever made it may have died before this; what is written by the key must not outlive it. */
	if (there > 0 && fm_fsync_dir(folder, err) == 0)
		return 0;
	pages_key_free(fm_steal_ptr(key_r));
	return -1;
}

int pages_key_rewrap(const char *folder, uint32_t job, const struct site_key *was, const struct site_key *is,
		     struct fm_error *err)
{
	FM_AUTO_FREE char *path = key_path(folder, err);
	struct pages_key *key;
	struct disk_key disk;
	int there, rc;

	if (!path)
		return -1;
	there = key_read(path, job, was, &key, err);
	if (there <= 0)
		return there == 0 ? fm_fail(err, FM_NOT_FOUND, "%s: job %u has no key", path, job) : -1;
	rc = wrap(key->data, job, is, &disk, err);
	pages_key_free(key);
	return rc == 0 ? fm_file_write(path, 0600, &disk, sizeof(disk), err) : -1;
}

void pages_key_free(struct pages_key *k)
{
	if (!k)
		return;
	seal_wipe(k, sizeof(*k));
	free(k);
}

const char *pages_key_id(const struct pages_key *k)
{
	return k->id_text;
}

int pages_key_fits(const struct pages_key *key, bool encrypted, const uint8_t id[8], struct fm_error *err)
{
	char theirs[17];

	fm_hex(id, 8, theirs);
	if (encrypted && !key)
		return fm_fail(err, FM_DENIED, "it is encrypted by key %s, and there is no key", theirs);
	if (!encrypted && key)
		return fm_fail(err, FM_DENIED, "it is not encrypted, and job %u is, by key %s", key->job, key->id_text);
	if (encrypted && memcmp(id, key->id, sizeof(key->id)) != 0)
		return fm_fail(err, FM_DENIED, "it is encrypted by key %s, job %u's is %s", theirs, key->job, key->id_text);
	return 0;
}
