# SPDX-License-Identifier: GPL-2.0-or-later
# plugins/lsf: the checkpoint method, the esub, and what LSF runs before, around and after a job.
# Nothing of LSF's is needed to build them.  Names with a dot are LSF's: NAME.METHOD.
lsf_common = \
	%D%/agent.c %D%/agent.h \
	%D%/checkpoint.c %D%/checkpoint.h \
	%D%/job.c %D%/job.h \
	%D%/process.c %D%/process.h
lsf_member = \
	%D%/checkpoint.c %D%/checkpoint.h \
	%D%/host_main.c \
	%D%/hosts.c %D%/hosts.h \
	%D%/job.c %D%/job.h \
	%D%/member.c %D%/member.h \
	%D%/process.c %D%/process.h
lsf_cflags = $(AM_CFLAGS) $(JSON_CFLAGS) $(FM_PIE_CFLAGS)
lsf_ldflags = $(AM_LDFLAGS) $(FM_PIE_LDFLAGS)
lsf_ldadd = libfermata.la $(JSON_LIBS)

if WITH_LSF
lsfserverdir = $(LSF_SERVERDIR)
lsfserver_PROGRAMS = echkpnt.fermata erestart.fermata esub.fermata
pkglibexec_PROGRAMS += fermata-hostpre fermata-hostpost fermata-starter
else
check_PROGRAMS += echkpnt.fermata erestart.fermata esub.fermata fermata-hostpre fermata-hostpost fermata-starter
endif

echkpnt_fermata_SOURCES = %D%/echkpnt.c $(lsf_common)
echkpnt_fermata_CFLAGS = $(lsf_cflags)
echkpnt_fermata_LDFLAGS = $(lsf_ldflags)
echkpnt_fermata_LDADD = $(lsf_ldadd)

erestart_fermata_SOURCES = %D%/erestart.c $(lsf_common)
erestart_fermata_CFLAGS = $(lsf_cflags)
erestart_fermata_LDFLAGS = $(lsf_ldflags)
erestart_fermata_LDADD = $(lsf_ldadd)

esub_fermata_SOURCES = %D%/esub.c %D%/chkpnt_option.c %D%/chkpnt_option.h %D%/parm.c %D%/parm.h \
	%D%/checkpoint.c %D%/checkpoint.h %D%/job.c %D%/job.h %D%/process.c %D%/process.h \
	plugins/slurm/lookup.c plugins/slurm/lookup.h
esub_fermata_CFLAGS = $(lsf_cflags)
esub_fermata_LDFLAGS = $(lsf_ldflags)
esub_fermata_LDADD = $(lsf_ldadd)

fermata_starter_SOURCES = %D%/starter.c %D%/command.c %D%/command.h $(lsf_common)
fermata_starter_CFLAGS = $(lsf_cflags)
fermata_starter_LDFLAGS = $(lsf_ldflags)
fermata_starter_LDADD = $(lsf_ldadd)

fermata_hostpre_SOURCES = %D%/hostpre.c $(lsf_member)
fermata_hostpre_CFLAGS = $(lsf_cflags) -pthread
fermata_hostpre_LDFLAGS = $(lsf_ldflags) -pthread
fermata_hostpre_LDADD = $(lsf_ldadd)

fermata_hostpost_SOURCES = %D%/hostpost.c $(lsf_member)
fermata_hostpost_CFLAGS = $(lsf_cflags) -pthread
fermata_hostpost_LDFLAGS = $(lsf_ldflags) -pthread
fermata_hostpost_LDADD = $(lsf_ldadd)

# LSF's side, replayed, with real agents (tests/lsf/README.md).
lsf_tests = tests/lsf/contract_test.py tests/lsf/refused_test.py
dist_check_SCRIPTS += $(lsf_tests)
TESTS += $(lsf_tests)
EXTRA_DIST += tests/lsf/README.md tests/lsf/guest.py tests/lsf/lsf.py
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/lsf_test
TESTS += tests/unit/lsf_test
tests_unit_lsf_test_SOURCES = tests/unit/lsf_test.c \
	%D%/checkpoint.c %D%/chkpnt_option.c %D%/command.c %D%/hosts.c %D%/job.c %D%/parm.c
tests_unit_lsf_test_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_lsf_test_LDADD = libfermata.la $(JSON_LIBS) $(CMOCKA_LIBS)
endif
