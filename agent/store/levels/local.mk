# SPDX-License-Identifier: GPL-2.0-or-later
# agent/store/levels: places that keep copies; for worker processes.
noinst_LTLIBRARIES += libfm_levels.la
libfm_levels_la_SOURCES = \
	agent/store/levels/clock.c agent/store/levels/clock.h \
	agent/store/levels/credentials.c agent/store/levels/credentials.h \
	agent/store/levels/directory.c agent/store/levels/directory.h \
	agent/store/levels/directory_private.h agent/store/levels/directory_tree.c \
	agent/store/levels/driver.h \
	agent/store/levels/level.c agent/store/levels/level.h \
	agent/store/levels/local.c agent/store/levels/local.h \
	agent/store/levels/retry.c agent/store/levels/retry.h \
	agent/store/levels/s3.c agent/store/levels/s3.h agent/store/levels/s3_private.h \
	agent/store/levels/s3_call.c agent/store/levels/s3_list.c agent/store/levels/s3_multipart.c \
	agent/store/levels/s3_object.c agent/store/levels/s3_reply.c \
	agent/store/levels/s3_xml.c agent/store/levels/s3_xml.h \
	agent/store/levels/throttle.c agent/store/levels/throttle.h
libfm_levels_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CURL_CFLAGS) $(CRYPTO_CFLAGS) $(EXPAT_CFLAGS)
libfm_levels_la_LIBADD = libfermata.la $(CURL_LIBS) $(CRYPTO_LIBS) $(EXPAT_LIBS) -lpthread
libfm_levels_la_LDFLAGS = $(AM_LDFLAGS)

# Drives a place by hand, and for the tests below.
check_PROGRAMS += tests/levels/level_try
tests_levels_level_try_CFLAGS = $(AM_CFLAGS)
tests_levels_level_try_LDADD = libfm_levels.la

# The contract over each kind of place (S3: OpenStack Swift on loopback), and an S3 server that does harm.
level_tests = tests/levels/contract_test.py tests/levels/s3_fault_test.py
dist_check_SCRIPTS += $(level_tests)
TESTS += $(level_tests)
EXTRA_DIST += tests/levels/fault_server.py tests/levels/levels.py tests/levels/swift_server.py

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/level_throttle_test tests/unit/level_crash_test
TESTS += tests/unit/level_throttle_test tests/unit/level_crash_test
tests_unit_level_throttle_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_level_throttle_test_LDADD = libfm_levels.la $(CMOCKA_LIBS) -lpthread
tests_unit_level_crash_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_level_crash_test_LDADD = libfm_store_fixture.la libfm_levels.la
tests_unit_level_crash_test_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=write,--wrap=fsync,--wrap=mkdirat,--wrap=renameat,--wrap=close
endif
