# SPDX-License-Identifier: GPL-2.0-or-later
# agent/store/parity: copies and erasure codes over nodes in different racks.
noinst_LTLIBRARIES += libfm_parity.la
libfm_parity_la_SOURCES = \
	agent/store/parity/code.c agent/store/parity/code.h \
	agent/store/parity/file.c agent/store/parity/file.h \
	agent/store/parity/format.h \
	agent/store/parity/group.c agent/store/parity/group.h \
	agent/store/parity/make.c \
	agent/store/parity/parity.h \
	agent/store/parity/rebuild.c \
	agent/store/parity/sets.c agent/store/parity/sets.h \
	agent/store/parity/shard.c agent/store/parity/shard.h \
	agent/store/parity/shard_write.c \
	agent/store/parity/verify.c
libfm_parity_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(XXHASH_CFLAGS) $(ISAL_CFLAGS)
libfm_parity_la_LIBADD = libfermata.la $(CRYPTO_LIBS) $(XXHASH_LIBS) $(ISAL_LIBS)
libfm_parity_la_LDFLAGS = $(AM_LDFLAGS)

if HAVE_CMOCKA
parity_tests = tests/unit/parity_code_test tests/unit/parity_test tests/unit/parity_damage_test \
	tests/unit/parity_crash_test tests/unit/parity_sets_test tests/unit/parity_format_test
check_PROGRAMS += $(parity_tests)
TESTS += $(parity_tests)
check_LTLIBRARIES += libfm_parity_fixture.la
libfm_parity_fixture_la_SOURCES = tests/unit/parity_fixture.c tests/unit/parity_fixture.h
libfm_parity_fixture_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CMOCKA_CFLAGS)
libfm_parity_fixture_la_LIBADD = libfm_store_fixture.la libfm_parity.la
tests_unit_parity_code_test_CFLAGS = $(libfm_parity_fixture_la_CFLAGS) $(ISAL_CFLAGS)
tests_unit_parity_code_test_LDADD = libfm_parity_fixture.la $(ISAL_LIBS)
tests_unit_parity_test_CFLAGS = $(libfm_parity_fixture_la_CFLAGS)
tests_unit_parity_test_LDADD = libfm_parity_fixture.la
tests_unit_parity_damage_test_CFLAGS = $(libfm_parity_fixture_la_CFLAGS) $(XXHASH_CFLAGS)
tests_unit_parity_damage_test_LDADD = libfm_parity_fixture.la $(XXHASH_LIBS)
tests_unit_parity_crash_test_CFLAGS = $(libfm_parity_fixture_la_CFLAGS)
tests_unit_parity_crash_test_LDADD = libfm_parity_fixture.la
tests_unit_parity_crash_test_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=pwrite,--wrap=pread,--wrap=fsync,--wrap=rename,--wrap=unlink,--wrap=close,--wrap=ftruncate
tests_unit_parity_sets_test_CFLAGS = $(libfm_parity_fixture_la_CFLAGS)
tests_unit_parity_sets_test_LDADD = libfm_parity_fixture.la
tests_unit_parity_format_test_CFLAGS = $(libfm_parity_fixture_la_CFLAGS) $(CRYPTO_CFLAGS) $(XXHASH_CFLAGS) \
	-DFM_TEST_PAGE='"$(abs_top_srcdir)/man/fermata-store.5.scd"'
tests_unit_parity_format_test_LDADD = libfm_parity_fixture.la $(CRYPTO_LIBS) $(XXHASH_LIBS)
endif
