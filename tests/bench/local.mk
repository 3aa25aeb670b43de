# SPDX-License-Identifier: GPL-2.0-or-later
# make bench-cut: what a cut costs. Not part of check: it takes long and wants a quiet machine. Each part writes a table
# (.md) and its numbers (.json) with machine and date to tests/bench/results.
BENCH_RESULTS = $(abs_top_srcdir)/tests/bench/results
bench_cut_parts = bench-cut-lab bench-cut-cluster bench-cut-model
bench-cut: $(bench_cut_parts)
bench-cut-lab: all
	$(srcdir)/tests/bench/cut-lab --build $(abs_top_builddir) --output $(BENCH_RESULTS)
bench-cut-cluster: all tests/cluster/sim_guest
	$(srcdir)/tests/bench/cut-cluster --build $(abs_top_builddir) --output $(BENCH_RESULTS)
# Fed with what cut-cluster has measured last.
bench-cut-model: bench-cut-cluster
	$(srcdir)/tests/bench/cut-model --output $(BENCH_RESULTS)
.PHONY: bench-cut bench-cut-lab bench-cut-cluster bench-cut-model
EXTRA_DIST += tests/bench/cut-lab tests/bench/cut-cluster tests/bench/cut-model

# make bench-store: what the page store costs, beside what people use otherwise.
check_PROGRAMS += tests/bench/store_image tests/bench/store_try
tests_bench_store_image_SOURCES = tests/bench/store_image.c tests/unit/xenstream_sample.c tests/unit/xenstream_sample.h
tests_bench_store_image_LDADD = libfermata.la
tests_bench_store_try_SOURCES = tests/bench/store_try.c
tests_bench_store_try_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CRYPTO_CFLAGS)
tests_bench_store_try_LDADD = libworker.la libfm_store.la $(CRYPTO_LIBS)
bench-store: tests/bench/store_image tests/bench/store_try
	$(srcdir)/tests/bench/store --build $(abs_top_builddir) --output $(BENCH_RESULTS) $(BENCH_STORE)
.PHONY: bench-store
EXTRA_DIST += tests/bench/README.md tests/bench/store tests/bench/store_pages

# make bench-parity: what copies, XOR and Reed-Solomon cost.
check_PROGRAMS += tests/bench/parity_try
tests_bench_parity_try_SOURCES = tests/bench/parity_try.c
tests_bench_parity_try_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(XXHASH_CFLAGS)
tests_bench_parity_try_LDADD = libfm_parity.la $(CRYPTO_LIBS) $(XXHASH_LIBS)
bench-parity: tests/bench/parity_try
	$(srcdir)/tests/bench/parity --build $(abs_top_builddir) --output $(BENCH_RESULTS)
.PHONY: bench-parity
EXTRA_DIST += tests/bench/parity

# make bench-across: alike members that are saved at the same time.
check_PROGRAMS += tests/bench/across_try
tests_bench_across_try_SOURCES = tests/bench/across_try.c
tests_bench_across_try_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
tests_bench_across_try_LDADD = libfm_store.la -lpthread
bench-across: all tests/bench/store_image tests/bench/store_try tests/bench/across_try
	$(srcdir)/tests/bench/across --build $(abs_top_builddir) --output $(BENCH_RESULTS)
.PHONY: bench-across
EXTRA_DIST += tests/bench/across

# make bench-tracking: the next snapshot, by hash and of what was written to.
bench-tracking: all
	$(srcdir)/tests/bench/tracking --build $(abs_top_builddir) --output $(BENCH_RESULTS)
.PHONY: bench-tracking
EXTRA_DIST += tests/bench/tracking

# All of them, one after the other: they take turns with nobody.
bench:
	for b in cut store parity across tracking; do $(MAKE) bench-$$b || exit 1; done
.PHONY: bench
