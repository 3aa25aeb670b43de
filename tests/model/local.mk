# SPDX-License-Identifier: GPL-2.0-or-later
# The cut's protocol, every state of it: SPIN; says why when it cannot run (exit 77).
dist_check_SCRIPTS += tests/model/model_test
TESTS += tests/model/model_test
EXTRA_DIST += tests/model/cut.pml
