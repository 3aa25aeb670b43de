# SPDX-License-Identifier: GPL-2.0-or-later
# plugins/cli: the command for people.
# Bars, also of the scontrol front.
fermata_progress = \
	plugins/cli/bars.c plugins/cli/bars.h plugins/cli/gather.c plugins/cli/gather.h \
	plugins/cli/progress.c plugins/cli/progress.h plugins/cli/screen.c plugins/cli/screen.h \
	plugins/cli/text.c plugins/cli/text.h
bin_PROGRAMS += fermata
fermata_SOURCES = \
	plugins/cli/main.c plugins/cli/cli.h \
	$(fermata_progress) \
	plugins/cli/create.c plugins/cli/export.c plugins/cli/list.c plugins/cli/pin.c plugins/cli/prune.c \
	plugins/cli/rm.c plugins/cli/show.c \
	plugins/cli/status.c plugins/cli/verify.c \
	plugins/cli/levels.c plugins/cli/levels.h \
	plugins/cli/print.c plugins/cli/print.h \
	plugins/cli/table.c plugins/cli/table.h
fermata_CFLAGS = $(AM_CFLAGS) $(FM_PIE_CFLAGS) $(JSON_CFLAGS) $(SMARTCOLS_CFLAGS) -pthread
fermata_LDFLAGS = $(AM_LDFLAGS) $(FM_PIE_LDFLAGS) -pthread
fermata_LDADD = libfm_store.la libfermata.la $(JSON_LIBS) $(SMARTCOLS_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/cli_bars_test
TESTS += tests/unit/cli_bars_test
tests_unit_cli_bars_test_SOURCES = tests/unit/cli_bars_test.c plugins/cli/bars.c plugins/cli/text.c
tests_unit_cli_bars_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cli_bars_test_LDADD = libfermata.la $(CMOCKA_LIBS)
endif
dist_check_SCRIPTS += tests/cli/progress_test
TESTS += tests/cli/progress_test

# The command against a fake agent with canned answers.
dist_check_SCRIPTS += tests/cli/cli_test
TESTS += tests/cli/cli_test
EXTRA_DIST += tests/cli/fake_agent.py

# bash-completion looks below its own data folder, /usr/share with most prefixes.
bashcompletiondir = $(datadir)/bash-completion/completions
EXTRA_DIST += contrib/completion/fermata.bash
install-data-local: install-bash-completion
install-bash-completion:
	$(MKDIR_P) '$(DESTDIR)$(bashcompletiondir)'
	$(INSTALL_DATA) '$(srcdir)/contrib/completion/fermata.bash' '$(DESTDIR)$(bashcompletiondir)/fermata'
uninstall-local: uninstall-bash-completion
uninstall-bash-completion:
	rm -f '$(DESTDIR)$(bashcompletiondir)/fermata'
.PHONY: install-bash-completion uninstall-bash-completion
dist_check_SCRIPTS += tests/cli/completion_test
TESTS += tests/cli/completion_test

# The command with real agents (tests/cluster/cluster.py).
dist_check_SCRIPTS += tests/cluster/command_test.py
TESTS += tests/cluster/command_test.py
