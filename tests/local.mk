# SPDX-License-Identifier: GPL-2.0-or-later
# Unit tests: one cmocka program a file, tests/unit/<noun>_test.c; each part adds
#	check_PROGRAMS += tests/unit/x_test;  TESTS += tests/unit/x_test
