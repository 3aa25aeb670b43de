# SPDX-License-Identifier: GPL-2.0-or-later
EXTRA_DIST += contrib/check contrib/dependencies contrib/install-dependencies contrib/quickstart contrib/site-configure \
	contrib/examples/heat.c contrib/examples/heat.sbatch \
	contrib/images/build contrib/images/fermata-init contrib/images/init contrib/images/packages.mpi
include contrib/systemd/local.mk
