# SPDX-License-Identifier: GPL-2.0-or-later
# fermatad. What it is made of, beside main.c, is a convenience library, so that unit tests link it.
noinst_LTLIBRARIES += libagent.la
libagent_la_SOURCES = \
	agent/agent.h \
	agent/child.c agent/child.h \
	agent/notify.c agent/notify.h \
	agent/peers.c agent/peers.h \
	agent/server.c agent/server.h \
	agent/spec.c agent/spec.h
libagent_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CURL_CFLAGS) $(MHD_CFLAGS) $(EVENT_CFLAGS) $(SYSTEMD_CFLAGS)
libagent_la_LIBADD = libfermata.la $(JSON_LIBS) $(CURL_LIBS) $(MHD_LIBS) $(EVENT_LIBS) $(SYSTEMD_LIBS)

sbin_PROGRAMS += fermatad
fermatad_SOURCES = agent/main.c agent/routes.c agent/routes.h agent/job.h
fermatad_CFLAGS = $(AM_CFLAGS) $(FM_PIE_CFLAGS) $(JSON_CFLAGS) $(CURL_CFLAGS) $(EVENT_CFLAGS)
fermatad_LDFLAGS = $(AM_LDFLAGS) $(FM_PIE_LDFLAGS)
fermatad_LDADD = libagent.la
