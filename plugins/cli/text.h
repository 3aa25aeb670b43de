/* SPDX-License-Identifier: GPL-2.0-or-later */
/* text.h - numbers and times for people.  Strings returned are the caller's to free; NULL without memory. */
#ifndef FM_CLI_TEXT_H
#define FM_CLI_TEXT_H

#include <stdint.h>

char *text_size(int64_t bytes);        /* "34.1 MiB" */
char *text_ms(double ms);              /* "57 ms", "1.25 s", "3 min 20 s" */
char *text_seconds(double seconds);    /* "3 d 4 h", "12 s" */
char *text_time(const char *utc);      /* "2026-01-31T12:00:00Z" to local "2026-01-31 13:00:00"; else as it is */
char *text_plain(const char *text);    /* control characters replaced by '?': it may come from another user */

#endif
