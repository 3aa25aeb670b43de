/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hostpost.c - fermata-hostpost, for HOST_POST_EXEC: the job has ended, its virtual machine goes. Snapshots stay. */
#include "config.h"

#include "plugins/lsf/member.h"

int main(int argc, char **argv)
{
	static const struct lsf_host_program program = {
		.name = "fermata-hostpost",
		.usage = "usage: fermata-hostpost [--always] [--all-hosts] [--conf FILE]\n"
			 "\n"
			 "Destroys this host's virtual machine of an LSF job: for HOST_POST_EXEC, as root.\n"
			 "\n"
			 "  --always     for every job, not only those of bsub -a fermata\n"
			 "  --all-hosts  those of all the job's hosts, for POST_EXEC\n"
			 "  --conf FILE  fermata.conf, if it is elsewhere\n"
			 "  --help       this text\n",
		.run = lsf_member_destroy,
	};

	return lsf_host_main(&program, argc, argv);
}
