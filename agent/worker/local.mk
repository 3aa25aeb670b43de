# SPDX-License-Identifier: GPL-2.0-or-later
# agent/worker: fermata-worker, one operation on one domain.
noinst_LTLIBRARIES += libworker.la
libworker_la_SOURCES = \
	agent/worker/claims.c agent/worker/claims.h \
	agent/worker/control.c agent/worker/control.h \
	agent/worker/copy.c \
	agent/worker/disks.c agent/worker/disks.h \
	agent/worker/feed.c agent/worker/feed.h \
	agent/worker/operations.c agent/worker/operations.h \
	agent/worker/pump.c agent/worker/pump.h \
	agent/worker/request.c agent/worker/request.h \
	agent/worker/restore.c \
	agent/worker/save.c \
	agent/worker/track.c agent/worker/track.h
libworker_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
libworker_la_LIBADD = libfermata.la -lpthread
libworker_la_LDFLAGS = $(AM_LDFLAGS)

pkglibexec_PROGRAMS += fermata-worker
fermata_worker_SOURCES = agent/worker/main.c
fermata_worker_CFLAGS = $(AM_CFLAGS) $(FM_PIE_CFLAGS) $(JSON_CFLAGS)
fermata_worker_LDFLAGS = $(AM_LDFLAGS) $(FM_PIE_LDFLAGS)
fermata_worker_LDADD = libworker.la libdisk.la libhypervisor.la libfm_copies.la libfm_store.la libfermata.la

if HAVE_CMOCKA
worker_tests = tests/unit/worker_disk_test tests/unit/worker_protocol_test tests/unit/worker_pump_test tests/unit/worker_save_test \
	tests/unit/worker_track_test tests/unit/worker_xl_file_test
check_PROGRAMS += $(worker_tests)
TESTS += $(worker_tests)
worker_test_cflags = $(AM_CFLAGS) $(JSON_CFLAGS) $(CMOCKA_CFLAGS) \
	-DFM_TEST_WORKER='"$(abs_top_builddir)/fermata-worker"'
worker_test_ldadd = libworker.la libdisk.la libhypervisor.la libfm_copies.la libfm_store.la libfermata.la $(JSON_LIBS) $(CMOCKA_LIBS)
tests_unit_worker_protocol_test_SOURCES = tests/unit/worker_protocol_test.c \
	tests/unit/worker_process.c tests/unit/worker_process.h
tests_unit_worker_protocol_test_CFLAGS = $(worker_test_cflags)
tests_unit_worker_protocol_test_LDADD = $(worker_test_ldadd)
tests_unit_worker_save_test_SOURCES = tests/unit/worker_save_test.c \
	tests/unit/worker_process.c tests/unit/worker_process.h
tests_unit_worker_save_test_CFLAGS = $(worker_test_cflags)
tests_unit_worker_save_test_LDADD = $(worker_test_ldadd)
tests_unit_worker_disk_test_SOURCES = tests/unit/worker_disk_test.c \
	tests/unit/worker_process.c tests/unit/worker_process.h
tests_unit_worker_disk_test_CFLAGS = $(worker_test_cflags)
tests_unit_worker_disk_test_LDADD = $(worker_test_ldadd)
tests_unit_worker_track_test_SOURCES = tests/unit/worker_track_test.c \
	tests/unit/worker_process.c tests/unit/worker_process.h
tests_unit_worker_track_test_CFLAGS = $(worker_test_cflags)
tests_unit_worker_track_test_LDADD = $(worker_test_ldadd)
tests_unit_worker_pump_test_CFLAGS = $(worker_test_cflags)
tests_unit_worker_pump_test_LDADD = $(worker_test_ldadd)
tests_unit_worker_xl_file_test_CFLAGS = $(worker_test_cflags)
tests_unit_worker_xl_file_test_LDADD = $(worker_test_ldadd)
endif
EXTRA_DIST += tests/lab/t/worker tests/lab/t/worker-host
