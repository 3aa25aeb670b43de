/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hex.h - bytes as lower-case hexadecimal digits, and back. */
#ifndef FM_HEX_H
#define FM_HEX_H

#include <stdbool.h>
#include <stddef.h>

/* text_r: 2 × size digits and a NUL. */
void fm_hex(const void *bytes, size_t size, char *text_r);
/* false: the text's `length` characters are not 2 × size lower-case digits; bytes_r is undefined then. */
bool fm_unhex(const char *text, size_t length, void *bytes_r, size_t size);

#endif
