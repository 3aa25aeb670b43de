/* SPDX-License-Identifier: GPL-2.0-or-later */
/* io.h - whole reads and writes, and files that appear whole or not at all. */
#ifndef FM_IO_H
#define FM_IO_H

#include <stddef.h>
#include <sys/types.h>

#include "error.h"

/* Write all of it, or -1 with errno. */
int fm_write_all(int fd, const void *data, size_t size);
/* Read up to size bytes until EOF; the count, or -1 with errno. */
ssize_t fm_read_all(int fd, void *data, size_t size);

/* The file's content with a NUL after it; FM_NOT_FOUND when missing, FM_CORRUPT when larger than max. Caller frees. */
char *fm_file_read(const char *path, size_t max, size_t *size_r, struct fm_error *err);

/* Atomic and durable: temp file beside it, fsync, rename, fsync of the directory. */
int fm_file_write(const char *path, mode_t mode, const void *data, size_t size, struct fm_error *err);

int fm_fsync_dir(const char *path, struct fm_error *err);
/* mkdir -p; new folders get mode. */
int fm_mkdir_all(const char *path, mode_t mode, struct fm_error *err);
/* rm -r of one folder, fd-relative, follows no symlink. A missing one is fine. */
int fm_remove_tree(const char *path, struct fm_error *err);

char *fm_format(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* asprintf; NULL without memory */

#endif
