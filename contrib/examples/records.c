/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * records.c - write numbered records to a disk and look all the time whether it has what this process remembers.
 *
 *	records FOLDER [RATE]
 *
 * FOLDER/records has a fixed number of slots; record i goes to slot i mod SLOTS, with a checksum. Every eighth is synced,
 * the others are not. Now and then the slots are read past the page cache and must hold the last record of each that was
 * written, and no later one: a disk that is older than this process's memory lacks records, one that is newer has records
 * that it has not written yet, which is what a restore with the wrong disk looks like. Beside it files come and go, so
 * that the file system's own structures change; their names must be those that are remembered, too.
 *
 * It ends on SIGUSR1 with a verdict, "clean" or "damaged", on the last line; or with 1 as soon as something is wrong.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 1024u
#define SYNC_EACH 8u
#define LOOK_EACH 256u
#define FILES 16u

struct record {
	uint64_t number; /* from 1; all zeros: none */
	uint64_t word[510];
	uint64_t sum;
};
_Static_assert(sizeof(struct record) == 4096, "a block");

static volatile sig_atomic_t ended;
static uint64_t number; /* of the last record */
static uint64_t looks;

static void on_signal(int signal)
{
	ended = 1;
}

static void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void wrong(const char *fmt, ...)
{
	va_list ap;

	printf("verdict damaged at=%llu ", (unsigned long long)number);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	exit(1);
}

static uint64_t mix(uint64_t x) /* splitmix64 */
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static void fill(struct record *r, uint64_t i)
{
	r->number = i;
	r->sum = i;
	for (size_t k = 0; k < sizeof(r->word) / sizeof(*r->word); k++) {
		r->word[k] = mix(i * 512 + k);
		r->sum = mix(r->sum ^ r->word[k]);
	}
}

/* The last record that went to that slot; 0: none yet. */
static uint64_t last_of(unsigned slot)
{
	uint64_t i = number / SLOTS * SLOTS + slot;

	return i <= number ? i : i >= SLOTS ? i - SLOTS : 0;
}

static void look_at_records(const char *path)
{
	static struct record want, *got;
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC); /* what is dirty of it is written before it is read */

	if (!got && posix_memalign((void **)&got, 4096, sizeof(*got)))
		wrong("no memory");
	if (fd < 0)
		wrong("%s: %s", path, strerror(errno));
	for (unsigned slot = 0; slot < SLOTS; slot++) {
		uint64_t i = last_of(slot);

		if (pread(fd, got, sizeof(*got), (off_t)slot * (off_t)sizeof(*got)) != sizeof(*got))
			wrong("slot %u: %s", slot, strerror(errno));
		memset(&want, 0, sizeof(want));
		if (i)
			fill(&want, i);
		if (memcmp(got, &want, sizeof(want)) != 0)
			wrong("slot %u has record %llu, not %llu", slot, (unsigned long long)got->number, (unsigned long long)i);
	}
	close(fd);
}

static void look_at_files(const char *folder, uint64_t newest)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	unsigned found = 0;
	uint64_t i;
	char rest;

	while (dir && (entry = readdir(dir))) {
		unsigned long long at;

		if (sscanf(entry->d_name, "file-%llu%c", &at, &rest) != 1)
			continue;
		if (at > newest || at + FILES <= newest)
			wrong("there is a file-%llu, and the last is file-%llu", at, (unsigned long long)newest);
		found++;
	}
	i = newest < FILES ? newest : FILES;
	if (!dir || found != i)
		wrong("%u files are there, not %llu", found, (unsigned long long)i);
	closedir(dir);
}

/* file-1, file-2, …: the newest FILES of them. */
static void turn_files(const char *folder, uint64_t i)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/file-%llu", folder, (unsigned long long)i);
	f = fopen(path, "wx");
	if (!f || fprintf(f, "file %llu\n", (unsigned long long)i) < 0 || fclose(f) != 0)
		wrong("%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/file-%llu", folder, (unsigned long long)(i - FILES));
	if (i > FILES && unlink(path) < 0)
		wrong("%s: %s", path, strerror(errno));
}

static int begin(const char *path)
{
	static const struct record none;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	for (unsigned slot = 0; fd >= 0 && slot < SLOTS; slot++)
		if (write(fd, &none, sizeof(none)) != sizeof(none))
			wrong("%s: %s", path, strerror(errno));
	if (fd < 0 || fsync(fd) < 0)
		wrong("%s: %s", path, strerror(errno));
	return fd;
}

static void one_more(int fd)
{
	static struct record r;

	fill(&r, ++number);
	if (pwrite(fd, &r, sizeof(r), (off_t)(number % SLOTS) * (off_t)sizeof(r)) != sizeof(r))
		wrong("write: %s", strerror(errno));
	if (number % SYNC_EACH == 0 && fdatasync(fd) < 0)
		wrong("fdatasync: %s", strerror(errno));
}

static void tell(uint64_t synced)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	printf("records at=%lld.%03ld last=%llu synced=%llu looks=%llu\n", (long long)now.tv_sec, now.tv_nsec / 1000000,
	       (unsigned long long)number, (unsigned long long)synced, (unsigned long long)looks);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const struct sigaction action = { .sa_handler = on_signal };
	long rate = argc > 2 ? atol(argv[2]) : 200;
	char path[256];
	int fd;

	if (argc < 2 || rate < 1) {
		fprintf(stderr, "usage: records FOLDER [RECORDS-PER-SECOND]\n");
		return 2;
	}
	sigaction(SIGUSR1, &action, NULL);
	snprintf(path, sizeof(path), "%s/records", argv[1]);
	fd = begin(path);
	while (!ended) {
		struct timespec pause = { 0, 999999999 / rate };

		one_more(fd);
		if (number % SYNC_EACH == 0)
			turn_files(argv[1], number / SYNC_EACH);
		if (number % LOOK_EACH == 0) {
			look_at_records(path);
			look_at_files(argv[1], number / SYNC_EACH);
			looks++;
		}
		if (number % (SYNC_EACH * 8) == 0)
			tell(number);
		nanosleep(&pause, NULL);
	}
	look_at_records(path);
	look_at_files(argv[1], number / SYNC_EACH);
	printf("verdict clean last=%llu looks=%llu\n", (unsigned long long)number, (unsigned long long)looks + 1);
	return 0;
}
