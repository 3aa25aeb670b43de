# SPDX-License-Identifier: GPL-2.0-or-later
# The lab's three programs are built here so that every build checks them; `lab` builds its own copies, so that it
# also works in a tree that was never configured.
check_PROGRAMS += tests/lab/wire tests/lab/hostd tests/lab/clock
tests_lab_wire_SOURCES = tests/lab/wire.c
tests_lab_hostd_SOURCES = tests/lab/hostd.c
tests_lab_clock_SOURCES = tests/lab/clock.c
dist_check_SCRIPTS += tests/lab/t/wire_test
TESTS += tests/lab/t/wire_test

EXTRA_DIST += tests/lab/README.md tests/lab/lab tests/lab/build-image tests/lab/packages.host tests/lab/modules.host \
	tests/lab/modules.guest tests/lab/initrd-init tests/lab/rc tests/lab/t/bed tests/lab/t/dirtier.c tests/lab/t/registers.c tests/lab/t/runner \
	tests/lab/lib.sh tests/lab/up tests/lab/scenarios tests/lab/exact.sh tests/lab/faults.sh tests/lab/foreign.sh tests/lab/disks.sh tests/lab/tracking.sh tests/lab/tally-cuts tests/lab/store-space \
	tests/lab/etc/passwd tests/lab/etc/profile tests/lab/etc/group tests/lab/etc/hosts tests/lab/etc/nsswitch.conf \
	tests/lab/etc/slurm/slurm.conf tests/lab/etc/slurm/cgroup.conf tests/lab/etc/slurm/plugstack.conf \
	tests/lab/etc/slurm/plugstack.conf.d/fermata.conf tests/lab/etc/fermata/fermata.conf
