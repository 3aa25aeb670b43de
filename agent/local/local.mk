# SPDX-License-Identifier: GPL-2.0-or-later
# agent/local: packs on the nodes' own disks, and their copies on other nodes; for helper processes of the agent.
noinst_LTLIBRARIES += libfm_local.la
libfm_local_la_SOURCES = \
	agent/local/bundle.c agent/local/bundle.h \
	agent/local/check.c agent/local/check.h \
	agent/local/flush.c \
	agent/local/list.c \
	agent/local/make.c \
	agent/local/obtain.c agent/local/obtain.h agent/local/obtain_private.h agent/local/obtain_get.c \
	agent/local/place.c agent/local/place.h \
	agent/local/probe.c agent/local/probe.h \
	agent/local/reconstruct.c \
	agent/local/placement.c agent/local/placement.h \
	agent/local/records.c agent/local/records.h \
	agent/local/remote.c agent/local/remote.h \
	agent/local/serve.c agent/local/serve.h \
	agent/local/state.c agent/local/state.h \
	agent/local/survey.c agent/local/survey.h agent/local/survey_private.h agent/local/survey_bring.c \
	agent/local/survey_code.c agent/local/survey_levels.c agent/local/survey_repair.c \
	agent/local/tidy.c agent/local/tidy.h \
	agent/local/undone.c \
	agent/local/verify_local.c agent/local/verify_local.h \
	agent/local/work.h
libfm_local_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CURL_CFLAGS) $(MHD_CFLAGS) $(CRYPTO_CFLAGS)
libfm_local_la_LIBADD = libfm_parity.la libfm_levels.la libfm_store.la libfermata.la $(JSON_LIBS) $(CURL_LIBS) $(MHD_LIBS) -lpthread
libfm_local_la_LDFLAGS = $(AM_LDFLAGS)

if HAVE_CMOCKA
local_tests = tests/unit/local_test tests/unit/protect_test
check_PROGRAMS += $(local_tests)
TESTS += $(local_tests)
tests_unit_local_test_CFLAGS = $(libfm_store_fixture_la_CFLAGS)
tests_unit_local_test_LDADD = libfm_sweep_fixture.la libfm_local.la
tests_unit_local_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=unlinkat
tests_unit_protect_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_protect_test_LDADD = libfermata.la $(CMOCKA_LIBS)
endif
