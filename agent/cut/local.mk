# SPDX-License-Identifier: GPL-2.0-or-later
# The cut's two machines: pure, so that tests link them alone.
noinst_LTLIBRARIES += libcut.la
libcut_la_SOURCES = agent/cut/lead.c agent/cut/lead.h agent/cut/member.c agent/cut/member.h
libcut_la_CFLAGS = $(AM_CFLAGS)

if HAVE_CMOCKA
cut_tests = tests/unit/cut_lead_test tests/unit/cut_member_test tests/unit/cut_group_test
check_PROGRAMS += $(cut_tests)
TESTS += $(cut_tests)
tests_unit_cut_lead_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cut_lead_test_LDADD = libcut.la $(CMOCKA_LIBS)
tests_unit_cut_member_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cut_member_test_LDADD = libcut.la $(CMOCKA_LIBS)
tests_unit_cut_group_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cut_group_test_LDADD = libcut.la $(CMOCKA_LIBS)
endif
