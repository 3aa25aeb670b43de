# SPDX-License-Identifier: GPL-2.0-or-later
# plugins/slurm: the SPANK plug-in, its helper, the scontrol front.
EXTRA_DIST += %D%/spank_fermata.lds
if WITH_SLURM
spankdir = $(SLURM_PLUGIN_DIR)
spank_LTLIBRARIES = spank_fermata.la
# Only what it needs of common, not libfermata: its libraries do not belong into
# every sbatch and slurmstepd.  Slurm's symbols are the host process's.
spank_fermata_la_SOURCES = \
	%D%/spank_fermata.c \
	%D%/helper_run.c %D%/helper_run.h \
	%D%/marker.c %D%/marker.h \
	%D%/node.c %D%/node.h \
	%D%/options.c %D%/options.h \
	%D%/sbatch.c %D%/sbatch.h \
	%D%/site.c %D%/site.h \
	%D%/submit.c %D%/submit.h \
	%D%/task.c %D%/task.h \
	common/duration.c common/error.c common/snapshot_id.c
spank_fermata_la_CFLAGS = $(AM_CFLAGS)
spank_fermata_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared \
	-Wl,--version-script=$(srcdir)/%D%/spank_fermata.lds
spank_fermata_la_DEPENDENCIES = $(srcdir)/%D%/spank_fermata.lds

pkglibexec_PROGRAMS += fermata-slurm
fermata_slurm_SOURCES = \
	%D%/fermata_slurm.c %D%/compat.h \
	%D%/allocation.c %D%/allocation.h \
	%D%/lookup.c %D%/lookup.h \
	%D%/marker.c %D%/marker.h \
	%D%/member.c %D%/member.h
fermata_slurm_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(FM_PIE_CFLAGS)
fermata_slurm_LDFLAGS = $(AM_LDFLAGS) $(FM_PIE_LDFLAGS)
fermata_slurm_LDADD = libfermata.la $(JSON_LIBS) -lslurm

# The scontrol front is in libexec; a site puts it before Slurm's own on its users' PATH:
#	make install-scontrol-front scontrol_front_dir=/usr/local/bin
pkglibexec_PROGRAMS += scontrol
scontrol_SOURCES = \
	%D%/front.c %D%/compat.h \
	%D%/checkpoint.c %D%/checkpoint.h \
	%D%/checkpoint_ops.c %D%/checkpoint_ops.h \
	%D%/real.c %D%/real.h \
	%D%/slurm_job.c %D%/slurm_job.h \
	%D%/snapshot_wait.c %D%/snapshot_wait.h \
	$(fermata_progress)
scontrol_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(FM_PIE_CFLAGS) -pthread
scontrol_LDFLAGS = $(AM_LDFLAGS) $(FM_PIE_LDFLAGS) -pthread
scontrol_LDADD = libfermata.la $(JSON_LIBS) -lslurm
endif

# The shim needs nothing of Slurm but its environment.
pkglibexec_PROGRAMS += fermata-shim
fermata_shim_SOURCES = \
	%D%/shim.c \
	%D%/shim_place.c %D%/shim_place.h \
	$(fermata_runner_protocol) $(fermata_runner_relay)
fermata_shim_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CRYPTO_CFLAGS) $(FM_PIE_CFLAGS)
fermata_shim_LDFLAGS = $(AM_LDFLAGS) $(FM_PIE_LDFLAGS)
fermata_shim_LDADD = libfermata.la $(JSON_LIBS) $(CRYPTO_LIBS)

scontrol_front_dir = /usr/local/bin
install-scontrol-front:
	$(MKDIR_P) '$(DESTDIR)$(scontrol_front_dir)'
	ln -sf '$(pkglibexecdir)/scontrol' '$(DESTDIR)$(scontrol_front_dir)/scontrol'
uninstall-scontrol-front:
	rm -f '$(DESTDIR)$(scontrol_front_dir)/scontrol'
.PHONY: install-scontrol-front uninstall-scontrol-front
