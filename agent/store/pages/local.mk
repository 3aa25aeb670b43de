# SPDX-License-Identifier: GPL-2.0-or-later
# agent/store/pages: pages in packs; linked into the worker.
noinst_LTLIBRARIES += libfm_pages.la
libfm_pages_la_SOURCES = \
	agent/store/pages/cache.c agent/store/pages/cache.h \
	agent/store/pages/claimed.c agent/store/pages/claimed.h \
	agent/store/pages/codec.c agent/store/pages/codec.h \
	agent/store/pages/format.h \
	agent/store/pages/hash.c agent/store/pages/hash.h agent/store/pages/hash_ipsec.c \
	agent/store/pages/maintain.c \
	agent/store/pages/map.c agent/store/pages/map.h \
	agent/store/pages/map_file.c agent/store/pages/map_runs.c agent/store/pages/map_seal.c \
	agent/store/pages/needed.c agent/store/pages/needed_once.c agent/store/pages/needed_private.h \
	agent/store/pages/pack.c agent/store/pages/pack.h agent/store/pages/pack_open.c \
	agent/store/pages/pack_finish.c agent/store/pages/pack_write.c \
	agent/store/pages/pack_write.h agent/store/pages/pack_write_private.h \
	agent/store/pages/pages.h \
	agent/store/pages/place.c agent/store/pages/place.h \
	agent/store/pages/read_job.c agent/store/pages/read_job.h \
	agent/store/pages/reader.c \
	agent/store/pages/seen.c agent/store/pages/seen.h \
	agent/store/pages/sources.c \
	agent/store/pages/store.c agent/store/pages/store_private.h agent/store/pages/sweep.c \
	agent/store/pages/writer.c agent/store/pages/writer_private.h agent/store/pages/writer_threads.c
libfm_pages_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CRYPTO_CFLAGS) $(ZSTD_CFLAGS) $(LZ4_CFLAGS) $(XXHASH_CFLAGS)
libfm_pages_la_LIBADD = libfm_key.la libfermata.la $(CRYPTO_LIBS) $(ZSTD_LIBS) $(LZ4_LIBS) $(XXHASH_LIBS) -lpthread
libfm_pages_la_LDFLAGS = $(AM_LDFLAGS)

if HAVE_CMOCKA
pages_tests = tests/unit/pages_test tests/unit/pages_claims_test tests/unit/pages_damage_test tests/unit/pages_crash_test \
	tests/unit/pages_crypt_test tests/unit/pages_format_test
check_PROGRAMS += $(pages_tests)
TESTS += $(pages_tests)
check_LTLIBRARIES += libfm_pages_fixture.la
libfm_pages_fixture_la_SOURCES = tests/unit/pages_fixture.c tests/unit/pages_fixture.h
libfm_pages_fixture_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CMOCKA_CFLAGS)
libfm_pages_fixture_la_LIBADD = libfm_store_fixture.la libfm_pages.la
tests_unit_pages_test_CFLAGS = $(libfm_pages_fixture_la_CFLAGS)
tests_unit_pages_test_LDADD = libfm_pages_fixture.la
tests_unit_pages_claims_test_CFLAGS = $(libfm_pages_fixture_la_CFLAGS)
tests_unit_pages_claims_test_LDADD = libfm_pages_fixture.la -lpthread
tests_unit_pages_damage_test_CFLAGS = $(libfm_pages_fixture_la_CFLAGS)
tests_unit_pages_damage_test_LDADD = libfm_pages_fixture.la
tests_unit_pages_crypt_test_CFLAGS = $(libfm_pages_fixture_la_CFLAGS)
tests_unit_pages_crypt_test_LDADD = libfm_pages_fixture.la $(CRYPTO_LIBS)
tests_unit_pages_crash_test_CFLAGS = $(libfm_pages_fixture_la_CFLAGS)
tests_unit_pages_crash_test_LDADD = libfm_pages_fixture.la
tests_unit_pages_crash_test_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=write,--wrap=fsync,--wrap=rename,--wrap=unlink,--wrap=close,--wrap=mkostemp
tests_unit_pages_format_test_CFLAGS = $(libfm_pages_fixture_la_CFLAGS) \
	-DFM_TEST_PAGE='"$(abs_top_srcdir)/man/fermata-store.5.scd"'
tests_unit_pages_format_test_LDADD = libfm_pages_fixture.la $(CRYPTO_LIBS) $(ZSTD_LIBS)
endif
