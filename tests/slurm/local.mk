# SPDX-License-Identifier: GPL-2.0-or-later
# tests/slurm: the plug-in and the scontrol front under a real Slurm on loopback
# (needs root, slurm-wlm, munge; exit 77 with the reason where they are missing).
EXTRA_DIST += %D%/cluster.sh
dist_check_SCRIPTS += %D%/options.test
if WITH_SLURM
TESTS += %D%/options.test
endif
