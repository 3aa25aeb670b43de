/* SPDX-License-Identifier: GPL-2.0-or-later */
/* s3_xml.c - see s3_xml.h. */
#include "config.h"

#include "agent/store/levels/s3_xml.h"

#include <expat.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 8
#define NAME_MAX_BYTES 64
#define TEXT_MAX 4096

struct reading {
	XML_Parser parser;
	s3_xml_element element;
	void *arg;
	struct fm_error *err;
	bool failed; /* err is filled */
	int depth;
	char names[DEPTH_MAX + 1][NAME_MAX_BYTES]; /* [0] is the root's parent */
	char text[TEXT_MAX];                       /* of the innermost open element */
	size_t length;
};

static void stop(struct reading *r, const char *why)
{
	if (why)
		fm_fail(r->err, FM_FAILED, "%s", why);
	r->failed = true;
	XML_StopParser(r->parser, XML_FALSE);
}

static void on_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *r = data;

	(void)attributes;
	if (r->failed)
		return; /* expat may still call after it was told to stop */
	if (r->depth == DEPTH_MAX || strlen(name) >= NAME_MAX_BYTES) {
		stop(r, "XML deeper or with longer names than an S3 server's");
		return;
	}
	snprintf(r->names[++r->depth], NAME_MAX_BYTES, "%s", name);
	r->length = 0;
}

static void on_text(void *data, const XML_Char *text, int length)
{
	struct reading *r = data;

	if (r->failed)
		return;
	if ((size_t)length >= TEXT_MAX - r->length) {
		if (!strcmp(r->names[1], "Error"))
			return; /* it is about what was signed: nobody asks for that */
		stop(r, "XML with longer texts than an S3 server's");
		return;
	}
	memcpy(r->text + r->length, text, (size_t)length);
	r->length += (size_t)length;
}

static void on_end(void *data, const XML_Char *name)
{
	struct reading *r = data;

	if (r->failed)
		return;
	r->text[r->length] = '\0';
	if (r->element(r->arg, r->names[r->depth - 1], name, r->text, r->err) < 0)
		stop(r, NULL);
	r->depth--;
	r->length = 0;
}

static void on_doctype(void *data, const XML_Char *name, const XML_Char *system_id, const XML_Char *public_id,
		       int internal)
{
	(void)name, (void)system_id, (void)public_id, (void)internal;
	stop(data, "XML with a document type");
}

int s3_xml_read(const char *text, size_t size, s3_xml_element element, void *arg, struct fm_error *err)
{
	struct reading r = { .parser = XML_ParserCreate(NULL), .element = element, .arg = arg, .err = err };

	if (!r.parser)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (size > INT_MAX)
		size = INT_MAX;
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, on_start, on_end);
	XML_SetCharacterDataHandler(r.parser, on_text);
	XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
	if (XML_Parse(r.parser, text ? text : "", (int)size, 1) != XML_STATUS_OK && !r.failed) {
		fm_fail(err, FM_FAILED, "the answer is not XML: line %lu: %s", XML_GetCurrentLineNumber(r.parser),
			XML_ErrorString(XML_GetErrorCode(r.parser)));
		r.failed = true;
	}
	XML_ParserFree(r.parser);
	return r.failed ? -1 : 0;
}
