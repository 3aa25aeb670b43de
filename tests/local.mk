# SPDX-License-Identifier: GPL-2.0-or-later
# Unit tests: one cmocka program a file, tests/unit/<noun>_test.c; each part adds
#	check_PROGRAMS += tests/unit/x_test;  TESTS += tests/unit/x_test
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/common_test
TESTS += tests/unit/common_test
tests_unit_common_test_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_common_test_LDADD = libfermata.la $(JSON_LIBS) $(CMOCKA_LIBS)
endif
include tests/lab/local.mk
include tests/model/local.mk
include tests/slurm/local.mk
include tests/fuzz/local.mk
include tests/bench/local.mk
