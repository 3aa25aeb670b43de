/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pack_open.c - open a pack and believe its index, or say what is wrong with it.
 *
 * From the end: the trailer says where the index is, its digest covers header, index and itself; the id, in the
 * file's name, covers the job and every page's hash. The index is read for that by read(), which reports a bad disk,
 * before it is mapped. Frames have to fill the room between header and index: no byte is outside of all checks.
 */
#include "config.h"

#include "agent/store/pages/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/key_format.h"
#include "agent/store/pages/hash.h"
#include "common/cleanup.h"
#include "common/io.h"

#define PIECE ((size_t)256 << 10)

static int read_exact(int fd, void *data_r, size_t size, uint64_t offset, struct fm_error *err)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pread(fd, (char *)data_r + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fm_fail(err, n < 0 ? FM_FAILED : FM_CORRUPT, "cannot read byte %llu: %s",
				       (unsigned long long)(offset + done), n < 0 ? strerror(errno) : "the file ends");
		done += (size_t)n;
	}
	return 0;
}

static int trailer_check(const struct pack *p, const struct disk_pack_trailer *t, struct fm_error *err)
{
	uint64_t size = (uint64_t)t->frames * sizeof(struct disk_frame) +
			(uint64_t)t->slots * (32 + sizeof(struct disk_order) + sizeof(uint32_t));

	if (memcmp(t->magic, DISK_END_MAGIC, 8) != 0)
		return fm_fail(err, FM_CORRUPT, "it has no trailer: cut short, or never finished");
	if (t->version != DISK_VERSION)
		return fm_fail(err, FM_INCOMPATIBLE, "its format is version %u, this is for %u", t->version,
			       DISK_VERSION);
	if (t->slots == 0 || t->slots > PAGES_PACK_MAX || t->frames > t->slots || t->present > t->slots ||
	    t->index_size != size || t->index_offset % 8 != 0 || t->index_offset < sizeof(struct disk_pack_header) ||
	    p->bytes < size + sizeof(*t) || t->index_offset != p->bytes - size - sizeof(*t))
		return fm_fail(err, FM_CORRUPT, "its trailer's numbers do not fit together");
	if (memcmp(t->id, p->id, 32) != 0)
		return fm_fail(err, FM_CORRUPT, "it is another pack under this one's name");
	return 0;
}

static int header_check(const struct disk_pack_header *h, uint32_t job, struct fm_error *err)
{
	if (memcmp(h->magic, DISK_PACK_MAGIC, 8) != 0)
		return fm_fail(err, FM_CORRUPT, "it does not begin like a pack");
	if (h->version != DISK_VERSION)
		return fm_fail(err, FM_INCOMPATIBLE, "its format is version %u, this is for %u", h->version,
			       DISK_VERSION);
	if (h->job != job)
		return fm_fail(err, FM_CORRUPT, "it is job %u's, not job %u's", h->job, job);
	if (h->header_size != sizeof(*h) || h->page_size != PAGES_SIZE)
		return fm_fail(err, FM_CORRUPT, "its header is damaged");
	return 0;
}

static int digest_check(const struct pack *p, const struct disk_pack_header *h, const struct disk_pack_trailer *t,
			EVP_MD_CTX *context, struct fm_error *err)
{
	FM_AUTO_FREE unsigned char *piece = malloc(PIECE);
	uint8_t digest[32];
	bool ok = piece && EVP_DigestInit_ex(context, EVP_sha256(), NULL) &&
		  EVP_DigestUpdate(context, h, sizeof(*h));

	for (uint64_t at = 0; ok && at < t->index_size; at += PIECE) {
		size_t size = t->index_size - at < PIECE ? (size_t)(t->index_size - at) : PIECE;

		if (read_exact(p->fd, piece, size, t->index_offset + at, err) < 0)
			return -1;
		ok = EVP_DigestUpdate(context, piece, size);
	}
	ok = ok && EVP_DigestUpdate(context, t, offsetof(struct disk_pack_trailer, digest)) &&
	     EVP_DigestFinal_ex(context, digest, NULL);
	if (!ok)
		return fm_fail(err, FM_FAILED, "SHA-256 failed, or out of memory");
	if (memcmp(digest, t->digest, 32) != 0)
		return fm_fail(err, FM_CORRUPT, "its index is damaged: the SHA-256 is wrong");
	return 0;
}

static int index_map(struct pack *p, const struct disk_pack_trailer *t, struct fm_error *err)
{
	uint64_t start = t->index_offset & ~(uint64_t)(sysconf(_SC_PAGESIZE) - 1);
	const char *index;

	p->mapping_size = (size_t)(t->index_offset + t->index_size - start);
	p->mapping = mmap(NULL, p->mapping_size, PROT_READ, MAP_SHARED, p->fd, (off_t)start);
	if (p->mapping == MAP_FAILED) {
		p->mapping = NULL;
		return fm_fail(err, FM_FAILED, "cannot map its index: %s", strerror(errno));
	}
	index = (const char *)p->mapping + (t->index_offset - start);
	p->frames = t->frames;
	p->slots = t->slots;
	p->present = t->present;
	p->frame = (const void *)index;
	index += (size_t)t->frames * sizeof(struct disk_frame);
	p->hash = (const void *)index;
	index += (size_t)t->slots * 32;
	p->order = (const void *)index;
	index += (size_t)t->slots * sizeof(struct disk_order);
	p->location = (const void *)index;
	return 0;
}

/* Frames one behind the other from the header to the index, but for less than 8 bytes of zeros. */
static int frames_check(const struct pack *p, const struct disk_pack_trailer *t, struct fm_error *err)
{
	uint64_t at = sizeof(struct disk_pack_header);
	uint32_t tag = p->sealed ? SEAL_TAG : 0;
	unsigned char rest[8];

	for (uint32_t i = 0; i < p->frames; i++) {
		const struct disk_frame *f = &p->frame[i];

		if (f->offset != at || f->pages == 0 || f->pages > PAGES_FRAME_MAX ||
		    f->stored > f->pages * PAGES_SIZE + tag || f->stored <= tag)
			return fm_fail(err, FM_CORRUPT, "its index is not that of a pack (frame %u)", i);
		at += sizeof(struct disk_frame_header) + f->stored;
		if (at > t->index_offset)
			return fm_fail(err, FM_CORRUPT, "its frame %u reaches into the index", i);
	}
	if (t->index_offset - at >= sizeof(rest))
		return fm_fail(err, FM_CORRUPT, "it has bytes that belong to no frame");
	if (read_exact(p->fd, rest, (size_t)(t->index_offset - at), at, err) < 0)
		return -1;
	for (size_t i = 0; i < t->index_offset - at; i++)
		if (rest[i] != 0)
			return fm_fail(err, FM_CORRUPT, "the byte at %llu should be zero", (unsigned long long)(at + i));
	return 0;
}

static int slots_check(const struct pack *p, struct fm_error *err)
{
	uint32_t present = 0;

	for (uint32_t i = 0; i < p->slots; i++) {
		uint32_t at = p->location[i];

		if (p->order[i].slot >= p->slots)
			return fm_fail(err, FM_CORRUPT, "its index's order is damaged");
		if (at == DISK_ABSENT)
			continue;
		present++;
		if (DISK_LOCATION_FRAME(at) >= p->frames ||
		    DISK_LOCATION_PLACE(at) >= p->frame[DISK_LOCATION_FRAME(at)].pages)
			return fm_fail(err, FM_CORRUPT, "its slot %u is in no frame", i);
	}
	if (present != p->present)
		return fm_fail(err, FM_CORRUPT, "it has %u pages, its trailer says %u", present, p->present);
	return 0;
}

/* What the header says is what was written, when we come here: so it is the key that is wrong, or is not there. */
static int key_check(struct pack *p, const struct disk_pack_header *h, const struct pages_key *key, struct fm_error *err)
{
	if (h->cipher > DISK_CIPHER_AES_256_GCM)
		return fm_fail(err, FM_INCOMPATIBLE, "its cipher is number %u", h->cipher);
	p->sealed = h->cipher == DISK_CIPHER_AES_256_GCM;
	if (pages_key_fits(key, p->sealed, h->key, err) < 0)
		return -1;
	return p->sealed ? seal_derive(key->data, DISK_PACK_PURPOSE, h->salt, p->key, err) : 0;
}

static int load(struct pack *p, const struct pages_key *key, EVP_MD_CTX *context, struct fm_error *err)
{
	struct disk_pack_trailer trailer;
	struct disk_pack_header header;
	uint8_t id[32];
	struct stat st;

	p->fd = open(p->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (p->fd < 0)
		return fm_fail(err, errno == ENOENT ? FM_CORRUPT : FM_FAILED, "%s",
			       errno == ENOENT ? "the pack is missing" : strerror(errno));
	if (fstat(p->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return fm_fail(err, FM_FAILED, "not a file");
	p->bytes = (uint64_t)st.st_size;
	p->device = st.st_dev;
	p->inode = st.st_ino;
	p->written = st.st_mtim;
	if (p->bytes < sizeof(header) + sizeof(trailer))
		return fm_fail(err, FM_CORRUPT, "it is cut short (%llu bytes)", (unsigned long long)p->bytes);
	if (read_exact(p->fd, &header, sizeof(header), 0, err) < 0 ||
	    read_exact(p->fd, &trailer, sizeof(trailer), p->bytes - sizeof(trailer), err) < 0 ||
	    header_check(&header, p->job, err) < 0 || trailer_check(p, &trailer, err) < 0 ||
	    digest_check(p, &header, &trailer, context, err) < 0 || key_check(p, &header, key, err) < 0 ||
	    index_map(p, &trailer, err) < 0 || frames_check(p, &trailer, err) < 0 || slots_check(p, err) < 0 ||
	    pack_id(p->job, p->slots, p->hash, id, err) < 0)
		return -1;
	if (memcmp(id, p->id, 32) != 0)
		return fm_fail(err, FM_CORRUPT, "its pages are not those it is named by");
	return 0;
}

struct pack *pack_open(const char *dir, const uint8_t id[32], uint32_t job, const struct pages_key *key, bool keep_fd,
		       struct fm_error *err)
{
	struct pack *p = calloc(1, sizeof(*p));
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	char hex[65];

	hash_hex(id, hex);
	if (p) {
		p->fd = -1;
		p->job = job;
		memcpy(p->id, id, 32);
		p->path = fm_format("%s/%s" PACK_SUFFIX, dir, hex);
	}
	if (!p || !p->path || !context) {
		fm_fail(err, FM_FAILED, "out of memory");
	} else if (load(p, key, context, err) < 0) {
		fm_context(err, "%s", p->path);
	} else {
		EVP_MD_CTX_free(context);
		if (!keep_fd)
			close(fm_steal_fd(&p->fd));
		return p;
	}
	EVP_MD_CTX_free(context);
	pack_close(p);
	return NULL;
}

bool pack_is_current(const struct pack *p)
{
	struct stat st;

	return lstat(p->path, &st) == 0 && st.st_dev == p->device && st.st_ino == p->inode && (uint64_t)st.st_size == p->bytes &&
	       st.st_mtim.tv_sec == p->written.tv_sec && st.st_mtim.tv_nsec == p->written.tv_nsec;
}

void pack_close(struct pack *p)
{
	if (!p)
		return;
	if (p->mapping)
		munmap(p->mapping, p->mapping_size);
	if (p->fd >= 0)
		close(p->fd);
	free(p->path);
	seal_wipe(p->key, sizeof(p->key));
	free(p);
}
