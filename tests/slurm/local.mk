# SPDX-License-Identifier: GPL-2.0-or-later
# tests/slurm: run by contrib/check, and by hand: tests/slurm/run --build DIR [TEST…]
EXTRA_DIST += %D%/run %D%/cluster.sh %D%/headers %D%/guests \
	%D%/agents.test %D%/front.test %D%/options.test
