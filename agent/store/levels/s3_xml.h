/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * s3_xml.h - an S3 server's XML, element by element, read by expat.
 *
 * A document type is refused, so there are no entities; depth and the length of
 * a text are bounded.
 */
#ifndef FM_STORE_LEVEL_S3_XML_H
#define FM_STORE_LEVEL_S3_XML_H

#include <stddef.h>

#include "common/error.h"

/*
 * An element has ended: its name, its parent's ("" for the root) and the text
 * directly in it.  -1 with err filled ends the reading.
 */
typedef int (*s3_xml_element)(void *arg, const char *parent, const char *name, const char *text,
			      struct fm_error *err);

/* FM_FAILED when it is not XML, or not all of it. */
int s3_xml_read(const char *text, size_t size, s3_xml_element element, void *arg, struct fm_error *err);

#endif
