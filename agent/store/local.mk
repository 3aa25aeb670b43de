# SPDX-License-Identifier: GPL-2.0-or-later
# agent/store: what is on disk; linked into the agent and the worker.
noinst_LTLIBRARIES += libfm_key.la libfm_store.la
libfm_key_la_SOURCES = \
	agent/store/blob.c \
	agent/store/job_key.c \
	agent/store/key.h agent/store/key_format.h agent/store/key_private.h \
	agent/store/seal.c agent/store/seal.h \
	agent/store/site_key.c
libfm_key_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
libfm_key_la_LIBADD = libfermata.la $(CRYPTO_LIBS)
libfm_key_la_LDFLAGS = $(AM_LDFLAGS)

libfm_store_la_SOURCES = \
	agent/store/access.c agent/store/access.h \
	agent/store/describe.c \
	agent/store/disk_map.c agent/store/disk_map.h \
	agent/store/file.c \
	agent/store/folder.c agent/store/folder.h \
	agent/store/manifest.c agent/store/manifest.h \
	agent/store/pin.c agent/store/pin.h \
	agent/store/retain.c agent/store/retain.h \
	agent/store/retain_plan.c agent/store/retain_plan.h \
	agent/store/schema.c agent/store/schema.h \
	agent/store/secret.c agent/store/secret.h \
	agent/store/skeleton.c agent/store/skeleton.h \
	agent/store/store.c agent/store/store.h \
	agent/store/stream.h agent/store/stream_reader.c agent/store/stream_writer.c \
	agent/store/sweep.c agent/store/sweep.h
libfm_store_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CRYPTO_CFLAGS)
libfm_store_la_LIBADD = libfm_key.la libfm_pages.la libxenstream.la libfermata.la $(JSON_LIBS) $(CRYPTO_LIBS) -lm
libfm_store_la_LDFLAGS = $(AM_LDFLAGS)

if HAVE_CMOCKA
store_tests = tests/unit/store_test tests/unit/store_stream_test tests/unit/store_manifest_test \
	tests/unit/store_crash_test tests/unit/secret_test tests/unit/key_test tests/unit/job_key_test tests/unit/retain_test \
	tests/unit/sweep_test tests/unit/sweep_beside_test tests/unit/sweep_crash_test
check_PROGRAMS += $(store_tests)
TESTS += $(store_tests)
check_LTLIBRARIES = libfm_store_fixture.la
libfm_store_fixture_la_SOURCES = tests/unit/store_fixture.c tests/unit/store_fixture.h $(xenstream_sample)
libfm_store_fixture_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CMOCKA_CFLAGS)
libfm_store_fixture_la_LIBADD = libfm_copies.la libfm_store.la $(JSON_LIBS) $(CMOCKA_LIBS)
tests_unit_store_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_store_test_LDADD = libfm_store_fixture.la
tests_unit_store_stream_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_store_stream_test_LDADD = libfm_key_fixture.la
tests_unit_store_manifest_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_store_manifest_test_LDADD = libfm_store_fixture.la
tests_unit_store_crash_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_store_crash_test_LDADD = libfm_store_fixture.la
tests_unit_store_crash_test_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=write,--wrap=fsync,--wrap=rename,--wrap=mkdir,--wrap=mkostemp \
	-Wl,--wrap=unlink,--wrap=unlinkat,--wrap=rmdir,--wrap=close
check_LTLIBRARIES += libfm_key_fixture.la
libfm_key_fixture_la_SOURCES = tests/unit/key_fixture.c tests/unit/key_fixture.h
libfm_key_fixture_la_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
libfm_key_fixture_la_LIBADD = libfm_store_fixture.la
tests_unit_key_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_key_test_LDADD = libfm_key_fixture.la $(CRYPTO_LIBS)
tests_unit_secret_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_secret_test_LDADD = libfm_key_fixture.la
tests_unit_job_key_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_job_key_test_LDADD = libfm_key_fixture.la
tests_unit_job_key_test_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=write,--wrap=fsync,--wrap=link,--wrap=unlink,--wrap=mkostemp
# A job's pages and its snapshots; libfm_pages_fixture.la is in pages/local.mk.
check_LTLIBRARIES += libfm_sweep_fixture.la
libfm_sweep_fixture_la_SOURCES = tests/unit/sweep_fixture.c tests/unit/sweep_fixture.h
libfm_sweep_fixture_la_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
libfm_sweep_fixture_la_LIBADD = libfm_pages_fixture.la
tests_unit_retain_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_retain_test_LDADD = libfm_sweep_fixture.la
tests_unit_sweep_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_sweep_test_LDADD = libfm_sweep_fixture.la
tests_unit_sweep_beside_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_sweep_beside_test_LDADD = libfm_sweep_fixture.la
tests_unit_sweep_crash_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_sweep_crash_test_LDADD = libfm_sweep_fixture.la
tests_unit_sweep_crash_test_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=write,--wrap=fsync,--wrap=rename,--wrap=unlink,--wrap=unlinkat,--wrap=rmdir,--wrap=close,--wrap=mkostemp
endif
