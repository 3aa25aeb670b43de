# SPDX-License-Identifier: GPL-2.0-or-later
# The agent's unit; without libsystemd it is a simple service.
if HAVE_SYSTEMD
unit_type = notify
unit_watchdog = WatchdogSec=60
else
unit_type = simple
unit_watchdog =
endif

systemdsystemunit_DATA = contrib/systemd/fermatad.service
CLEANFILES += contrib/systemd/fermatad.service
EXTRA_DIST += contrib/systemd/fermatad.service.in

contrib/systemd/fermatad.service: contrib/systemd/fermatad.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) contrib/systemd && sed -e 's|@sbindir[@]|$(sbindir)|' -e 's|@type[@]|$(unit_type)|' \
		-e 's|@watchdog[@]|$(unit_watchdog)|' $(srcdir)/contrib/systemd/fermatad.service.in > $@.tmp && mv $@.tmp $@

samplesdir = $(docdir)/examples
dist_samples_DATA = contrib/fermata.conf.sample
