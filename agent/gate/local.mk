# SPDX-License-Identifier: GPL-2.0-or-later
# gate: libgate, linked into fermatad. The kernel's programs are compiled by clang and embedded by bpftool.
noinst_LTLIBRARIES += libgate.la
libgate_la_SOURCES = \
	agent/gate/driver.h \
	agent/gate/gate.c agent/gate/gate.h agent/gate/gate_map.h \
	agent/gate/marker.c agent/gate/marker.h \
	agent/gate/none.c \
	agent/gate/queue.c agent/gate/queue.h \
	agent/gate/release.c \
	agent/gate/sim.c agent/gate/sim.h \
	agent/gate/sim_link.c \
	agent/gate/sim_net.c agent/gate/sim_net.h \
	agent/gate/sim_private.h
libgate_la_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(CRYPTO_CFLAGS) $(BPF_CFLAGS)
libgate_la_LIBADD = libfermata.la $(EVENT_LIBS) $(CRYPTO_LIBS)
libgate_la_LDFLAGS = $(AM_LDFLAGS)

gate_bpf_sources = \
	agent/gate/bpf.c \
	agent/gate/bpf_port.c agent/gate/bpf_port.h \
	agent/gate/device.c agent/gate/device.h \
	agent/gate/tap.c agent/gate/tap.h \
	agent/gate/window.c agent/gate/window.h
if WITH_BPF
libgate_la_SOURCES += $(gate_bpf_sources)
libgate_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_builddir)/agent/gate
libgate_la_LIBADD += $(BPF_LIBS)
BUILT_SOURCES += agent/gate/gate.skel.h
agent/gate/libgate_la-bpf.lo agent/gate/libgate_la-bpf_port.lo: agent/gate/gate.skel.h
else
libgate_la_SOURCES += agent/gate/bpf_stub.c
endif
EXTRA_DIST += $(gate_bpf_sources) agent/gate/bpf_stub.c agent/gate/gate.bpf.c
CLEANFILES += agent/gate/gate.bpf.o agent/gate/gate.skel.h

# -g: maps with a lock need the type information. asm/ headers are in the host's own folder on Debian.
agent/gate/gate.bpf.o: agent/gate/gate.bpf.c agent/gate/gate_map.h
	$(AM_V_CC)$(MKDIR_P) agent/gate && $(BPF_CLANG) -target bpf -g -O2 -Wall -Werror \
		-idirafter /usr/include/$(host_cpu)-linux-gnu -I$(srcdir)/agent/gate \
		-c $(srcdir)/agent/gate/gate.bpf.c -o $@

agent/gate/gate.skel.h: agent/gate/gate.bpf.o
	$(AM_V_GEN)$(BPFTOOL) gen skeleton agent/gate/gate.bpf.o name gate_bpf > $@.tmp && mv $@.tmp $@

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/gate_test
TESTS += tests/unit/gate_test
tests_unit_gate_test_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_gate_test_LDADD = libgate.la libfermata.la $(EVENT_LIBS) $(CMOCKA_LIBS)
endif

# Needs root and its own namespaces; says why when it cannot (exit 77).
if WITH_BPF
check_PROGRAMS += tests/gate/gate_net_test
TESTS += tests/gate/gate_net_test
tests_gate_gate_net_test_SOURCES = \
	tests/gate/gate_net_test.c \
	tests/gate/gatebed.c tests/gate/gatebed.h \
	tests/gate/marker_tests.c \
	tests/gate/netbed.c tests/gate/netbed.h
tests_gate_gate_net_test_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
tests_gate_gate_net_test_LDADD = libgate.la libfermata.la $(EVENT_LIBS)

# tests/lab/t/gate runs these two in an emulated Xen host and in its guests.
check_PROGRAMS += tests/gate/gate_try tests/gate/traffic
tests_gate_gate_try_SOURCES = tests/gate/gate_try.c
tests_gate_gate_try_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
tests_gate_gate_try_LDADD = libgate.la libfermata.la $(EVENT_LIBS)
tests_gate_traffic_SOURCES = tests/gate/traffic.c
tests_gate_traffic_LDFLAGS = $(AM_LDFLAGS) -all-static
endif
EXTRA_DIST += tests/gate/gate_net_test.c tests/gate/gatebed.c tests/gate/gatebed.h tests/gate/marker_tests.c \
	tests/gate/netbed.c tests/gate/netbed.h tests/gate/gate_try.c \
	tests/gate/traffic.c tests/lab/t/gate
