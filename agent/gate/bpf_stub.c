/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf_stub.c - says that this build has no eBPF gate (configured --with-bpf=no). */
#include "config.h"

#include "driver.h"

static int stub_setup(struct gate_system *system, struct fm_error *err)
{
	return fm_fail(err, FM_INCOMPATIBLE,
		       "this build has no eBPF gate: configure it --with-bpf=yes, or set Gate=none");
}

const struct gate_driver gate_driver_bpf = {
	.name = "bpf",
	.setup = stub_setup,
};
