# SPDX-License-Identifier: GPL-2.0-or-later
# fermatad. What it is made of, beside main.c, is a convenience library, so that unit tests link it.
noinst_LTLIBRARIES += libagent.la
libagent_la_SOURCES = \
	agent/agent.h \
	agent/child.c agent/child.h \
	agent/claims.c agent/claims.h agent/claims_limits.h \
	agent/compact.c agent/compact.h \
	agent/copier.c agent/copier.h \
	agent/cut_inject.c agent/cut_inject.h agent/hypervisor/sim_inject.c agent/hypervisor/sim.h \
	agent/cutter.c agent/cutter.h agent/cutter_do.c agent/cutter_private.h \
	agent/disk/check.c agent/disk/disk.h \
	agent/domains.c agent/domains.h \
	agent/drain.c agent/drain.h \
	agent/fence.c agent/fence.h \
	agent/forward.c agent/forward.h \
	agent/group.c agent/group.h agent/group_plan.c \
	agent/guest.c agent/guest.h agent/guest_private.h agent/guest_steps.c \
	agent/job.c agent/job.h agent/job_record.c \
	agent/job_drop.c agent/job_drop.h \
	agent/link.c agent/link.h \
	agent/local_disk.c agent/local_disk.h agent/local_round.c \
	agent/manifest_build.c agent/manifest_build.h \
	agent/message.c agent/message.h \
	agent/notify.c agent/notify.h \
	agent/peers.c agent/peers.h \
	agent/periodic.c agent/periodic.h \
	agent/plan.c agent/plan.h agent/prune.c agent/prune.h \
	agent/recover.c agent/recover.h \
	agent/routes.c agent/routes.h agent/routes_job.c agent/routes_snapshot.c \
	agent/routes_status.c \
	agent/server.c agent/server.h \
	agent/snapshot.c agent/snapshot.h agent/snapshot_recover.c \
	agent/spec.c agent/spec.h \
	agent/store_query.c agent/store_query.h \
	agent/task.c agent/task.h \
	agent/trim.c agent/trim.h \
	agent/tracker.c agent/tracker.h \
	agent/tree.c agent/tree.h agent/tree_link.c agent/tree_private.h \
	agent/watch.c agent/watch.h \
	agent/worker_client.c agent/worker_client.h
libagent_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CURL_CFLAGS) $(MHD_CFLAGS) $(EVENT_CFLAGS) $(SYSTEMD_CFLAGS)

sbin_PROGRAMS += fermatad
fermatad_SOURCES = agent/main.c
fermatad_CFLAGS = $(AM_CFLAGS) $(FM_PIE_CFLAGS) $(JSON_CFLAGS) $(CURL_CFLAGS) $(EVENT_CFLAGS)
fermatad_LDFLAGS = $(AM_LDFLAGS) $(FM_PIE_LDFLAGS)
fermatad_LDADD = libagent.la libcut.la libgate.la libfm_local.la libfm_copies.la libfm_store.la libfermata.la \
	$(JSON_LIBS) $(CURL_LIBS) $(MHD_LIBS) $(EVENT_LIBS) $(SYSTEMD_LIBS)

# Real agents on loopback with simulated domains; they say why when they cannot run (exit 77).
cluster_tests = \
	tests/cluster/abort_test.py \
	tests/cluster/across_test.py \
	tests/cluster/compact_test.py \
	tests/cluster/daemon_test.py \
	tests/cluster/deferred_test.py \
	tests/cluster/disk_test.py \
	tests/cluster/drain_test.py \
	tests/cluster/fault_test.py \
	tests/cluster/group_test.py \
	tests/cluster/levels_test.py \
	tests/cluster/local_test.py \
	tests/cluster/local_verify_test.py \
	tests/cluster/network_test.py \
	tests/cluster/restore_test.py \
	tests/cluster/store_fault_test.py \
	tests/cluster/tracking_test.py \
	tests/cluster/tree_test.py
dist_check_SCRIPTS += $(cluster_tests)
TESTS += $(cluster_tests)
EXTRA_DIST += tests/cluster/alike.py tests/cluster/cluster.py tests/cluster/disks.py tests/cluster/network.py
# A store's disk that breaks.
if HAVE_FUSE
check_PROGRAMS += tests/cluster/faultfs
tests_cluster_faultfs_CFLAGS = $(AM_CFLAGS) $(FUSE_CFLAGS) -Wno-pedantic
tests_cluster_faultfs_LDADD = $(FUSE_LIBS)
endif

# The process behind a simulated domain.
check_PROGRAMS += tests/cluster/sim_guest
tests_cluster_sim_guest_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
tests_cluster_sim_guest_LDADD = $(JSON_LIBS)

# The states that fault_test.py strikes at.
check_PROGRAMS += tests/cluster/cut_states
tests_cluster_cut_states_CFLAGS = $(AM_CFLAGS)
tests_cluster_cut_states_LDADD = libcut.la
