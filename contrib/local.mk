# SPDX-License-Identifier: GPL-2.0-or-later
EXTRA_DIST += contrib/check contrib/dependencies contrib/install-dependencies contrib/quickstart contrib/site-configure \
	contrib/examples/heat.c contrib/examples/heat.sbatch contrib/examples/records.c contrib/examples/records.sbatch \
	contrib/images/build contrib/images/fermata-init contrib/images/init contrib/images/packages.mpi
EXTRA_DIST += contrib/lsf/lsb.applications contrib/lsf/lsb.queues contrib/lsf/lsf.conf contrib/lsf/lsf.sudoers
include contrib/systemd/local.mk

# tally is compiled again into the lab's guests (contrib/images/build --tally); here for its test.
tally_sources = \
	contrib/examples/tally/account.c contrib/examples/tally/clocks.c contrib/examples/tally/clocks.h \
	contrib/examples/tally/datagrams.c contrib/examples/tally/ledger.c contrib/examples/tally/ledger.h \
	contrib/examples/tally/meet.c contrib/examples/tally/message.c contrib/examples/tally/options.c \
	contrib/examples/tally/options.h contrib/examples/tally/report.c contrib/examples/tally/stream.c \
	contrib/examples/tally/stream.h contrib/examples/tally/tally.c contrib/examples/tally/tally.h
check_PROGRAMS += contrib/examples/tally/tally
contrib_examples_tally_tally_SOURCES = $(tally_sources)
EXTRA_DIST += contrib/examples/tally.sbatch
dist_check_SCRIPTS += tests/tally/tally_test.py
TESTS += tests/tally/tally_test.py
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/tally_ledger_test
TESTS += tests/unit/tally_ledger_test
tests_unit_tally_ledger_test_SOURCES = tests/unit/tally_ledger_test.c contrib/examples/tally/ledger.c
tests_unit_tally_ledger_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_tally_ledger_test_LDADD = $(CMOCKA_LIBS)
endif
