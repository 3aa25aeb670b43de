/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hostpre.c - fermata-hostpre, for HOST_PRE_EXEC: this host's virtual machine of the job.
 *
 * Exit 1 lets LSF try the job on other hosts; 99 (LSF: the job exits) is for what
 * would fail there as well, such as an image that does not exist.
 */
#include "config.h"

#include "plugins/lsf/member.h"

int main(int argc, char **argv)
{
	static const struct lsf_host_program program = {
		.name = "fermata-hostpre",
		.usage = "usage: fermata-hostpre [--always] [--all-hosts] [--conf FILE]\n"
			 "\n"
			 "Makes this host's virtual machine of an LSF job: for HOST_PRE_EXEC, as root.\n"
			 "\n"
			 "  --always     for every job, not only those of bsub -a fermata\n"
			 "  --all-hosts  those of all the job's hosts, for PRE_EXEC\n"
			 "  --conf FILE  fermata.conf, if it is elsewhere\n"
			 "  --help       this text\n",
		.run = lsf_member_create,
		.for_good = 99,
	};

	return lsf_host_main(&program, argc, argv);
}
