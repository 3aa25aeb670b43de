# SPDX-License-Identifier: GPL-2.0-or-later
# man: scdoc sources; the pages go into the tarball, so that a build from it needs no scdoc.
man_pages = \
	man/fermata.1 \
	man/fermata-scontrol.1 \
	man/fermata.conf.5 \
	man/fermata-images.5 \
	man/fermata-lsf.8 \
	man/fermata-snapshot.5 \
	man/fermata-store.5 \
	man/fermata-runner.8 \
	man/fermata-worker.8 \
	man/fermatad.8 \
	man/spank_fermata.8
EXTRA_DIST += \
	man/fermata.1.scd \
	man/fermata-scontrol.1.scd \
	man/fermata.conf.5.scd \
	man/fermata-images.5.scd \
	man/fermata-lsf.8.scd \
	man/fermata-snapshot.5.scd \
	man/fermata-store.5.scd \
	man/fermata-runner.8.scd \
	man/fermata-worker.8.scd \
	man/fermatad.8.scd \
	man/spank_fermata.8.scd

if HAVE_MAN
dist_man_MANS = $(man_pages)
endif

$(man_pages): %: %.scd
	$(AM_V_GEN)$(MKDIR_P) man && $(SCDOC) <'$<' >'$@.tmp' && mv -f '$@.tmp' '$@'

# What the pages say is compared with the programs and tables they describe.
dist_check_SCRIPTS += tests/man/man_test
TESTS += tests/man/man_test
