# SPDX-License-Identifier: GPL-2.0-or-later
# tests/fuzz: NAME_fuzz.c, a libFuzzer target each; its seeds in seeds/NAME. `make check` replays them (any compiler);
# `make fuzz` fuzzes for FUZZ_SECONDS a target with clang, address and undefined behaviour sanitizers. What that finds is in fuzz/ of
# the build folder: crash-… to be replayed with tests/fuzz/NAME_replay FILE.
FUZZ_SECONDS = 60
fuzz_targets = store xenstream
# What is fuzzed, and so guides the fuzzer, and what only drives it.
xenstream_fuzzed = \
	agent/xenstream/fold.c agent/xenstream/image.c agent/xenstream/order.c agent/xenstream/parser.c \
	agent/xenstream/pfn_table.c agent/xenstream/writer.c
xenstream_fuzz_support = common/error.c \
	tests/fuzz/xenstream_fuzz.c tests/unit/xenstream_restored.c tests/unit/xenstream_sample.c

check_PROGRAMS += tests/fuzz/xenstream_replay
TESTS += tests/fuzz/xenstream_replay
tests_fuzz_xenstream_replay_SOURCES = tests/fuzz/replay.c tests/fuzz/xenstream_fuzz.c \
	tests/unit/xenstream_restored.c tests/unit/xenstream_sample.c tests/unit/xenstream_sample.h
tests_fuzz_xenstream_replay_CPPFLAGS = $(AM_CPPFLAGS) \
	-DFM_FUZZ_SEEDS='"$(abs_top_srcdir)/tests/fuzz/seeds/xenstream"'
tests_fuzz_xenstream_replay_LDADD = libxenstream.la

# What was made by hand, and in found/ what a long run added, minimised (-merge=1).
EXTRA_DIST += tests/fuzz/seeds/xenstream

# Maps and manifests. The packs' own openers are tested by turning every bit (pages_damage_test).
store_fuzzed = agent/store/manifest.c agent/store/schema.c \
	agent/store/pages/map.c agent/store/pages/map_file.c agent/store/pages/map_runs.c agent/store/pages/map_seal.c
check_PROGRAMS += tests/fuzz/store_replay
TESTS += tests/fuzz/store_replay
tests_fuzz_store_replay_SOURCES = tests/fuzz/replay.c tests/fuzz/store_fuzz.c
tests_fuzz_store_replay_CPPFLAGS = $(AM_CPPFLAGS) -DFM_FUZZ_SEEDS='"$(abs_top_srcdir)/tests/fuzz/seeds/store"'
tests_fuzz_store_replay_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CRYPTO_CFLAGS)
tests_fuzz_store_replay_LDADD = libfm_store.la $(CRYPTO_LIBS)
EXTRA_DIST += tests/fuzz/README.md tests/fuzz/seeds/store

if HAVE_LIBFUZZER
fuzz_programs = fuzz/store_fuzz fuzz/xenstream_fuzz
fuzz/store_fuzz: $(store_fuzzed) tests/fuzz/store_fuzz.c libfm_store.la
	$(AM_V_CCLD)$(MKDIR_P) fuzz/support && \
	$(fuzz_cc) $(JSON_CFLAGS) -fsanitize=address -c -o fuzz/support/store_fuzz.o $(srcdir)/tests/fuzz/store_fuzz.c && \
	$(fuzz_cc) $(JSON_CFLAGS) -fsanitize=fuzzer,address,undefined -o $@ $(addprefix $(srcdir)/,$(store_fuzzed)) \
		fuzz/support/store_fuzz.o .libs/libfm_store.a $(JSON_LIBS) $(CRYPTO_LIBS) $(ZSTD_LIBS) $(LZ4_LIBS) $(XXHASH_LIBS) \
		$(MUNGE_LIBS) $(CURL_LIBS) -lm
fuzz_cc = $(FUZZ_CC) -std=gnu11 -g -O2 -fno-omit-frame-pointer -fno-sanitize-recover=all -I$(top_srcdir) -I$(top_builddir)
fuzz/xenstream_fuzz: $(xenstream_fuzzed) $(xenstream_fuzz_support) libxenstream.la tests/unit/xenstream_sample.h
	$(AM_V_CCLD)$(MKDIR_P) fuzz/support && set -e; \
	for f in $(xenstream_fuzz_support); do \
		$(fuzz_cc) -fsanitize=address -c -o fuzz/support/`basename $$f .c`.o $(srcdir)/$$f; \
	done; \
	$(fuzz_cc) -fsanitize=fuzzer,address,undefined -o $@ $(addprefix $(srcdir)/,$(xenstream_fuzzed)) \
		$(addprefix fuzz/support/,$(addsuffix .o,$(notdir $(basename $(xenstream_fuzz_support)))))

# One at a time; each starts from its seeds and what earlier runs found.
fuzz: $(fuzz_programs)
	set -e; for t in $(fuzz_targets); do \
		$(MKDIR_P) fuzz/$$t; \
		fuzz/$${t}_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=10 -rss_limit_mb=2048 \
			-print_final_stats=1 -artifact_prefix=fuzz/ fuzz/$$t $(srcdir)/tests/fuzz/seeds/$$t; \
	done
else
fuzz:
	@echo "fuzz: configure found no clang with libFuzzer (package libclang-rt-dev)" >&2; exit 1
endif
.PHONY: fuzz
clean-local-fuzz:
	rm -rf fuzz
clean-local: clean-local-fuzz
