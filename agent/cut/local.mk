# SPDX-License-Identifier: GPL-2.0-or-later
# The cut's two machines: pure, so that tests link them alone.
noinst_LTLIBRARIES += libcut.la
libcut_la_SOURCES = agent/cut/lead.c agent/cut/lead.h agent/cut/member.c agent/cut/member.h
libcut_la_CFLAGS = $(AM_CFLAGS)
