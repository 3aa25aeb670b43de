/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xl_file.h - the frame around a domain's libxc stream that makes it a file
 * `xl restore` reads: xl's header with the domain's configuration as JSON, and
 * libxl's stream header and records.
 *
 *	32 bytes  "Xen saved domain, xl format\n \0 \r"
 *	u32 ×4    byte order mark, mandatory flags, optional flags, length of the rest
 *	u32, n    length of the JSON, the JSON with its NUL
 *	-- from here libxl reads --
 *	be64, be32 ×2   "LibxlFmt", version 2, options
 *	u32 ×2    record LIBXC_CONTEXT, length 0; then the libxc stream
 *	u32 ×2    record END, length 0
 *
 * Knows nothing of libxl: pure bytes.  Xen's docs/specs and tools/xl/xl.h.
 */
#ifndef FM_XL_FILE_H
#define FM_XL_FILE_H

#include <stddef.h>

#include "common/error.h"

#define XL_FILE_JSON_MAX ((size_t)1 << 20)

/* Everything up to the libxc stream; caller frees. */
void *xl_file_begin(const char *config_json, size_t *size_r, struct fm_error *err);
#define XL_FILE_END_SIZE 8
extern const unsigned char xl_file_end[XL_FILE_END_SIZE];

/* Read xl's header from fd, to the byte before libxl's; the JSON text, caller
 * frees. FM_CORRUPT; FM_INCOMPATIBLE: of another byte order or with unknown
 * mandatory features. */
char *xl_file_read_header(int fd, struct fm_error *err);

#endif
