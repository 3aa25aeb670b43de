# SPDX-License-Identifier: GPL-2.0-or-later
# The cut's machines and its frames: pure, so that tests link them alone.
noinst_LTLIBRARIES += libcut.la
libcut_la_SOURCES = \
	agent/cut/lead.c agent/cut/lead.h \
	agent/cut/marks.c agent/cut/marks.h \
	agent/cut/member.c agent/cut/member.h \
	agent/cut/reduce.c agent/cut/reduce.h \
	agent/cut/shape.h \
	agent/cut/wire.c agent/cut/wire.h
libcut_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
libcut_la_LIBADD = $(CRYPTO_LIBS)

if HAVE_CMOCKA
cut_tests = tests/unit/cut_marks_test tests/unit/cut_lead_test tests/unit/cut_member_test tests/unit/cut_group_test \
	tests/unit/cut_reduce_test tests/unit/cut_wire_test
check_PROGRAMS += $(cut_tests)
TESTS += $(cut_tests)
tests_unit_cut_marks_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cut_marks_test_LDADD = libcut.la $(CMOCKA_LIBS)
tests_unit_cut_lead_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cut_lead_test_LDADD = libcut.la $(CMOCKA_LIBS)
tests_unit_cut_member_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cut_member_test_LDADD = libcut.la $(CMOCKA_LIBS)
tests_unit_cut_group_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cut_group_test_LDADD = libcut.la $(CMOCKA_LIBS)
tests_unit_cut_reduce_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cut_reduce_test_LDADD = libcut.la $(CMOCKA_LIBS)
tests_unit_cut_wire_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cut_wire_test_LDADD = libcut.la libfermata.la $(CMOCKA_LIBS)
endif
