/* SPDX-License-Identifier: GPL-2.0-or-later */
/* protect_test - what Protect=, Racks= and LocalDir= may say, and that a mistake is named. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/protect.h"

static void kinds(void **state)
{
	static const struct {
		const char *text;
		unsigned k, m;
	} good[] = {
		{ "none", 0, 0 }, { "partner", 1, 1 }, { "xor:1", 1, 1 }, { "xor:4", 4, 1 }, { "xor:64", 64, 1 },
		{ "rs:4+2", 4, 2 }, { "rs:64+16", 64, 16 },
	};
	static const char *const bad[] = {
		"", "None", "partner:2", "xor", "xor:", "xor:0", "xor:65", "xor:4+1", "xor:4x", "rs:4", "rs:4+", "rs:4+0", "rs:0+2",
		"rs:4+17", "rs:65+2", "rs:4+2 ", "rs:4+2+1", "xor:-1", "xor:100", "raid",
	};
	struct fm_error err;
	unsigned k, m;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (fm_protect_parse(good[i].text, &k, &m, &err))
			fail_msg("%s: %s", good[i].text, err.text);
		assert_int_equal(k, good[i].k);
		assert_int_equal(m, good[i].m);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (fm_protect_parse(bad[i], &k, &m, &err) == 0)
			fail_msg("\"%s\" is taken", bad[i]);
		assert_int_equal(err.code, FM_USAGE);
		assert_non_null(strstr(err.text, "Protect="));
	}
}

/* The text as a fermata.conf: its code, FM_OK when it is fine. */
static enum fm_code load(const char *text, struct fm_conf *conf, struct fm_error *err)
{
	char path[] = "/tmp/fm-protect-XXXXXX";
	FM_AUTO_CLOSE int fd = mkstemp(path);
	int rc;

	assert_true(fd >= 0);
	assert_int_equal(fm_write_all(fd, text, strlen(text)), 0);
	err->code = FM_OK;
	rc = fm_conf_load(conf, path, err);
	unlink(path);
	return rc ? err->code : FM_OK;
}

static void racks(void **state)
{
	struct fm_conf conf;
	struct fm_error err;
	char rack[16];

	(void)state;
	assert_int_equal(load("Racks=left:n[1-3],x  right:n[04-06]\n", &conf, &err), FM_OK);
	assert_string_equal(fm_rack_of(&conf, "n2", rack, sizeof(rack)), "left");
	assert_string_equal(fm_rack_of(&conf, "x", rack, sizeof(rack)), "left");
	assert_string_equal(fm_rack_of(&conf, "n05", rack, sizeof(rack)), "right");
	assert_string_equal(fm_rack_of(&conf, "n5", rack, sizeof(rack)), "");
	assert_string_equal(fm_rack_of(&conf, "left", rack, sizeof(rack)), "");
	fm_conf_dispose(&conf);
}

static void refused(void **state)
{
	static const struct {
		const char *text, *names;
	} bad[] = {
		{ "Protect=partner\n", "needs LocalDir" },
		{ "LocalDir=local\n", "not an absolute path" },
		{ "LocalDir=/a\nStoreDir=/a\n", "one folder" },
		{ "LocalDir=/a\nLocalPort=6830\n", "LocalPort" },
		{ "LocalDir=/a\nLocalPort=6831\n", "LocalPort" },
		{ "LocalDir=/a\nFlush=perhaps\n", "Flush" },
		{ "LocalDir=/a\nProtect=rs:2\n", "rs:2" },
		{ "Racks=r1\n", "r1" },
		{ "Racks=:n1\n", ":n1" },
		{ "Racks=r1:n[1-\n", "Racks" },
		{ "Bandwidth=fast\n", "Bandwidth" },
	};
	struct fm_conf conf;
	struct fm_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (load(bad[i].text, &conf, &err) != FM_USAGE || !strstr(err.text, bad[i].names))
			fail_msg("%s: %s", bad[i].text, err.code ? err.text : "taken");
		fm_conf_dispose(&conf);
	}
	assert_int_equal(load("LocalDir=/a\nProtect=rs:4+2\nBandwidth=100M\nFlush=no\n", &conf, &err), FM_OK);
	assert_int_equal(conf.bandwidth, 100u << 20);
	assert_int_equal(conf.local_port, 6832);
	fm_conf_dispose(&conf);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(racks),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
