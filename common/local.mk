# SPDX-License-Identifier: GPL-2.0-or-later
# common: libfermata, linked into every program; position independent, since
# the SPANK plug-in lives inside Slurm's processes.
noinst_LTLIBRARIES += libfermata.la
libfermata_la_SOURCES = \
	common/auth.c common/auth.h \
	common/cleanup.h \
	common/conf.c common/conf.h \
	common/conf_parse.c common/conf_parse.h \
	common/protect.c common/protect.h \
	common/digest.c common/digest.h \
	common/duration.c common/duration.h \
	common/error.c common/error.h \
	common/hex.c common/hex.h \
	common/hostlist.c common/hostlist.h \
	common/http.c common/http.h \
	common/image.c \
	common/io.c common/io.h \
	common/json.c common/json.h \
	common/level_spec.c common/level_spec.h \
	common/log.c common/log.h \
	common/snapshot_id.c common/snapshot_id.h
libfermata_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CURL_CFLAGS) $(CRYPTO_CFLAGS) $(MUNGE_CFLAGS)
libfermata_la_LIBADD = $(JSON_LIBS) $(CURL_LIBS) $(CRYPTO_LIBS) $(MUNGE_LIBS)
libfermata_la_LDFLAGS = $(AM_LDFLAGS)
