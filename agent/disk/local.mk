# SPDX-License-Identifier: GPL-2.0-or-later
# agent/disk: members' own disks, used by fermata-worker alone.
noinst_LTLIBRARIES += libdisk.la
libdisk_la_SOURCES = \
	agent/disk/check.c \
	agent/disk/disk.c agent/disk/disk.h \
	agent/disk/dm.c agent/disk/dm.h \
	agent/disk/file.c agent/disk/file.h \
	agent/disk/loop.c agent/disk/loop.h \
	agent/disk/reflink.c \
	agent/disk/sim.c \
	agent/disk/thin.c
libdisk_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(DEVMAPPER_CFLAGS)
libdisk_la_LIBADD = libhypervisor.la libfermata.la $(DEVMAPPER_LIBS)
libdisk_la_LDFLAGS = $(AM_LDFLAGS)

if HAVE_CMOCKA
disk_tests = tests/unit/disk_test tests/unit/disk_map_test
check_PROGRAMS += $(disk_tests)
TESTS += $(disk_tests)
tests_unit_disk_test_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_disk_test_LDADD = libdisk.la libhypervisor.la libfermata.la $(JSON_LIBS) $(CMOCKA_LIBS)
tests_unit_disk_map_test_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_disk_map_test_LDADD = libfm_key_fixture.la
endif
