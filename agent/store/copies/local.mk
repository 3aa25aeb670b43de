# SPDX-License-Identifier: GPL-2.0-or-later
# agent/store/copies: a job's snapshots on the levels behind StoreDir; for workers and tasks.
noinst_LTLIBRARIES += libfm_copies.la
libfm_copies_la_SOURCES = \
	agent/store/copies/contents.c agent/store/copies/contents.h \
	agent/store/copies/copy.c agent/store/copies/copy.h \
	agent/store/copies/copy_plan.c agent/store/copies/copy_private.h \
	agent/store/copies/fetch.c agent/store/copies/fetch.h \
	agent/store/copies/fetch_newest.c agent/store/copies/fetch_private.h \
	agent/store/copies/fetch_snapshot.c \
	agent/store/copies/inventory.c agent/store/copies/inventory.h \
	agent/store/copies/listing.c agent/store/copies/listing.h \
	agent/store/copies/record.c agent/store/copies/record.h \
	agent/store/copies/site.c agent/store/copies/site.h \
	agent/store/copies/trim.c agent/store/copies/trim.h \
	agent/store/copies/verify.c agent/store/copies/verify.h \
	agent/store/copies/verify_level.c agent/store/copies/verify_private.h
libfm_copies_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CRYPTO_CFLAGS)
libfm_copies_la_LIBADD = libfm_levels.la libfm_store.la
libfm_copies_la_LDFLAGS = $(AM_LDFLAGS)

# Real agents and S3: Swift on loopback, and a server that does harm. tests/cluster/levels_test.py has directories.
dist_check_SCRIPTS += tests/levels/copies_test.py
TESTS += tests/levels/copies_test.py

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/copies_test
TESTS += tests/unit/copies_test
tests_unit_copies_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_copies_test_LDADD = libfm_sweep_fixture.la libfm_copies.la
endif
