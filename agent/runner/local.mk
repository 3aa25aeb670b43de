# SPDX-License-Identifier: GPL-2.0-or-later
# fermata-runner: static, since it is PID 1 of guests that may have no library
# at all.  The parts of common/ it needs are compiled into it: libfermata.la
# brings libraries that have no static form.
fermata_runner_protocol = \
	agent/runner/frames.c agent/runner/frames.h \
	agent/runner/proof.c agent/runner/protocol.h \
	agent/runner/request.c
fermata_runner_relay = \
	agent/runner/client.c agent/runner/client.h \
	agent/runner/relay.c agent/runner/relay.h \
	agent/runner/relay_io.c agent/runner/relay_io.h

pkglibexec_PROGRAMS += agent/runner/fermata-runner
agent_runner_fermata_runner_SOURCES = \
	$(fermata_runner_protocol) $(fermata_runner_relay) \
	agent/runner/cgroup.c agent/runner/cgroup.h \
	agent/runner/connection.c agent/runner/connection.h \
	agent/runner/freezer.c agent/runner/freezer.h \
	agent/runner/guest.h agent/runner/guest_identity.c agent/runner/guest_mount.c agent/runner/guest_network.c \
	agent/runner/job_env.c agent/runner/job_env.h \
	agent/runner/loop.c agent/runner/loop.h \
	agent/runner/main.c \
	agent/runner/params.c agent/runner/params.h \
	agent/runner/peer.c agent/runner/peer.h \
	agent/runner/rsh.c agent/runner/rsh.h \
	agent/runner/runner.h \
	agent/runner/server.c agent/runner/server.h \
	agent/runner/spawn.c agent/runner/spawn.h \
	agent/runner/spool.c agent/runner/spool.h \
	agent/runner/task.c agent/runner/task.h \
	agent/runner/task_io.c agent/runner/task_io.h \
	agent/runner/xenstore.c agent/runner/xenstore.h \
	common/error.c common/io.c common/json.c common/log.c
agent_runner_fermata_runner_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CRYPTO_CFLAGS) -ffunction-sections -fdata-sections
agent_runner_fermata_runner_LDFLAGS = $(AM_LDFLAGS) -all-static -Wl,--gc-sections
agent_runner_fermata_runner_LDADD = $(JSON_LIBS) $(CRYPTO_LIBS)

# fermata-rsh is the same program under another name
install-exec-hook: install-fermata-rsh
install-fermata-rsh:
	$(MKDIR_P) $(DESTDIR)$(pkglibexecdir)
	cd $(DESTDIR)$(pkglibexecdir) && rm -f fermata-rsh && $(LN_S) fermata-runner fermata-rsh
uninstall-hook: uninstall-fermata-rsh
uninstall-fermata-rsh:
	rm -f $(DESTDIR)$(pkglibexecdir)/fermata-rsh
.PHONY: install-fermata-rsh uninstall-fermata-rsh

dist_check_SCRIPTS += tests/runner/runner_test
TESTS += tests/runner/runner_test
EXTRA_DIST += tests/runner/agent.py tests/runner/cutter.py

if HAVE_CMOCKA
runner_tests = tests/unit/runner_protocol_test tests/unit/runner_spool_test tests/unit/runner_params_test \
	tests/unit/runner_freezer_test
check_PROGRAMS += $(runner_tests)
TESTS += $(runner_tests)
tests_unit_runner_protocol_test_SOURCES = tests/unit/runner_protocol_test.c $(fermata_runner_protocol)
tests_unit_runner_protocol_test_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_runner_protocol_test_LDADD = libfermata.la $(CRYPTO_LIBS) $(CMOCKA_LIBS)
tests_unit_runner_spool_test_SOURCES = tests/unit/runner_spool_test.c agent/runner/spool.c
tests_unit_runner_spool_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_runner_spool_test_LDADD = $(CMOCKA_LIBS)
tests_unit_runner_params_test_SOURCES = tests/unit/runner_params_test.c \
	agent/runner/job_env.c agent/runner/params.c agent/runner/proof.c agent/runner/xenstore.c
tests_unit_runner_freezer_test_SOURCES = tests/unit/runner_freezer_test.c \
	agent/runner/cgroup.c agent/runner/freezer.c agent/runner/loop.c agent/runner/xenstore.c
tests_unit_runner_freezer_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_runner_freezer_test_LDADD = libfermata.la $(CMOCKA_LIBS)
tests_unit_runner_params_test_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CRYPTO_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_runner_params_test_LDADD = libfermata.la $(JSON_LIBS) $(CRYPTO_LIBS) $(CMOCKA_LIBS)
endif
