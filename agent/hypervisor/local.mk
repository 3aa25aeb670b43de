# SPDX-License-Identifier: GPL-2.0-or-later
# agent/hypervisor: the drivers, used by fermata-worker alone.
noinst_LTLIBRARIES += libhypervisor.la
libhypervisor_la_SOURCES = \
	agent/hypervisor/deaths.c agent/hypervisor/deaths.h \
	agent/hypervisor/hypervisor.c agent/hypervisor/hypervisor.h \
	agent/hypervisor/netback.c agent/hypervisor/netback.h \
	agent/hypervisor/sim.c agent/hypervisor/sim.h \
	agent/hypervisor/sim_guest.c agent/hypervisor/sim_guest.h \
	agent/hypervisor/sim_inject.c \
	agent/hypervisor/sim_pages.c agent/hypervisor/sim_pages.h \
	agent/hypervisor/sim_state.c \
	agent/hypervisor/sim_stream.c \
	agent/hypervisor/xl_file.c agent/hypervisor/xl_file.h
libhypervisor_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(XEN_CFLAGS)
libhypervisor_la_LIBADD = libxenstream.la libfermata.la $(XEN_LIBS)
libhypervisor_la_LDFLAGS = $(AM_LDFLAGS)
xen_sources = \
	agent/hypervisor/xen.c agent/hypervisor/xen.h \
	agent/hypervisor/xen_build.c \
	agent/hypervisor/xen_checkpoint.c agent/hypervisor/xen_save.h \
	agent/hypervisor/xen_config.c \
	agent/hypervisor/xen_log.c \
	agent/hypervisor/xen_quiesce.c \
	agent/hypervisor/xen_save.c \
	agent/hypervisor/xen_store.c \
	agent/hypervisor/xen_track.c agent/hypervisor/xen_track.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/netback_test
TESTS += tests/unit/netback_test
tests_unit_netback_test_SOURCES = tests/unit/netback_test.c
tests_unit_netback_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_netback_test_LDADD = libhypervisor.la libfermata.la $(CMOCKA_LIBS)
endif

if WITH_XEN
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/xen_config_test
TESTS += tests/unit/xen_config_test
tests_unit_xen_config_test_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CMOCKA_CFLAGS) $(XEN_CFLAGS)
tests_unit_xen_config_test_LDADD = libhypervisor.la libfermata.la $(XEN_LIBS) $(CMOCKA_LIBS)
endif
if HAVE_CMOCKA
# The saving files on a Xen that is none.
check_PROGRAMS += tests/unit/xen_checkpoint_test
TESTS += tests/unit/xen_checkpoint_test
tests_unit_xen_checkpoint_test_SOURCES = tests/unit/xen_checkpoint_test.c tests/unit/xen_fake.c tests/unit/xen_fake.h \
	agent/hypervisor/xen_checkpoint.c agent/hypervisor/xen_save.c agent/hypervisor/xen_track.c agent/hypervisor/xl_file.c
tests_unit_xen_checkpoint_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(JSON_CFLAGS) $(XEN_CFLAGS)
tests_unit_xen_checkpoint_test_LDADD = libxenstream.la libfermata.la $(CMOCKA_LIBS)
endif
libhypervisor_la_SOURCES += $(xen_sources)
else
libhypervisor_la_SOURCES += agent/hypervisor/xen_none.c
endif
EXTRA_DIST += tests/unit/xen_checkpoint_test.c tests/unit/xen_fake.c tests/unit/xen_fake.h agent/hypervisor/xen_none.c $(xen_sources) tests/unit/xen_config_test.c
