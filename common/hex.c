/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hex.c - see hex.h. */
#include "config.h"

#include "common/hex.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

void fm_hex(const void *bytes, size_t size, char *text_r)
{
	const unsigned char *b = bytes;

	for (size_t i = 0; i < size; i++) {
		text_r[2 * i] = digits[b[i] >> 4];
		text_r[2 * i + 1] = digits[b[i] & 15];
	}
	text_r[2 * size] = '\0';
}

static int value_of(char digit)
{
	const char *at = digit ? strchr(digits, digit) : NULL;

	return at ? (int)(at - digits) : -1;
}

bool fm_unhex(const char *text, size_t length, void *bytes_r, size_t size)
{
	unsigned char *b = bytes_r;

	if (length != 2 * size)
		return false;
	for (size_t i = 0; i < size; i++) {
		int high = value_of(text[2 * i]), low = value_of(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		b[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}
