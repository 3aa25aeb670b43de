# SPDX-License-Identifier: GPL-2.0-or-later
# agent/xenstream: the stream of a saved Xen domain, as pages and the rest. Pure but for memory.
noinst_LTLIBRARIES += libxenstream.la
libxenstream_la_SOURCES = \
	agent/xenstream/fold.c agent/xenstream/fold.h \
	agent/xenstream/format.h \
	agent/xenstream/image.c agent/xenstream/image.h \
	agent/xenstream/order.c agent/xenstream/order.h \
	agent/xenstream/parser.c agent/xenstream/parser.h \
	agent/xenstream/pfn_table.c agent/xenstream/pfn_table.h \
	agent/xenstream/writer.c agent/xenstream/writer.h
libxenstream_la_CFLAGS = $(AM_CFLAGS)
libxenstream_la_LIBADD = libfermata.la
libxenstream_la_LDFLAGS = $(AM_LDFLAGS)

if HAVE_CMOCKA
xenstream_tests = tests/unit/xenstream_parser_test tests/unit/xenstream_fold_test tests/unit/xenstream_image_test
check_PROGRAMS += $(xenstream_tests)
TESTS += $(xenstream_tests)
xenstream_sample = tests/unit/xenstream_sample.c tests/unit/xenstream_sample.h tests/unit/xenstream_restored.c
tests_unit_xenstream_parser_test_SOURCES = tests/unit/xenstream_parser_test.c $(xenstream_sample)
tests_unit_xenstream_parser_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_xenstream_parser_test_LDADD = libxenstream.la $(CMOCKA_LIBS)
tests_unit_xenstream_parser_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
xenstream_shop = $(xenstream_sample) tests/unit/xenstream_shop.c tests/unit/xenstream_shop.h
tests_unit_xenstream_fold_test_SOURCES = tests/unit/xenstream_fold_test.c $(xenstream_shop)
tests_unit_xenstream_fold_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_xenstream_fold_test_LDADD = libxenstream.la $(CMOCKA_LIBS)
tests_unit_xenstream_image_test_SOURCES = tests/unit/xenstream_image_test.c $(xenstream_shop)
tests_unit_xenstream_image_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_xenstream_image_test_LDADD = libxenstream.la $(CMOCKA_LIBS)

# By hand, on streams of real domains.
check_PROGRAMS += tests/unit/xenstream_try
tests_unit_xenstream_try_SOURCES = tests/unit/xenstream_try.c $(xenstream_sample)
tests_unit_xenstream_try_CFLAGS = $(AM_CFLAGS)
tests_unit_xenstream_try_CPPFLAGS = $(AM_CPPFLAGS) -DRESTORED_PFNS=0x400000
tests_unit_xenstream_try_LDADD = libxenstream.la
endif
