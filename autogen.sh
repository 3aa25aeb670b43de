#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# autogen.sh - make configure from a git checkout (needs autoconf, automake, libtool, pkg-config).
set -e
cd "$(dirname "$0")"
mkdir -p build-aux
exec autoreconf --install --force
