/* SPDX-License-Identifier: GPL-2.0-or-later */
/* common_test.c - what arrives from outside is parsed exactly or refused by name. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/auth.h"
#include "common/cleanup.h"
#include "common/conf.h"
#include "common/level_spec.h"
#include "common/duration.h"
#include "common/hex.h"
#include "common/hostlist.h"
#include "common/io.h"
#include "common/json.h"
#include "common/snapshot_id.h"

static struct fm_error err;
static char dir[] = "/tmp/fermata-common-test.XXXXXX";

static void slurm_durations(void **state)
{
	static const struct { const char *text; int64_t seconds; } good[] = {
		{ "30", 1800 }, { "0", 0 }, { "1:30", 90 }, { "2:00:01", 7201 }, { "1-0", 86400 },
		{ "1-2:3", 86400 + 7200 + 180 }, { "1-2:3:4", 86400 + 7200 + 184 },
	};
	static const char *const bad[] = { "", "-", "x", "1:", ":1", "1:2:3:4", "1-", "1-2:3:4:5", "30m", "-5",
					   "99999999999999999999" };
	int64_t s;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(fm_duration_slurm(good[i].text, &s, &err), 0);
		assert_int_equal(s, good[i].seconds);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(fm_duration_slurm(bad[i], &s, &err), -1);
		assert_int_equal(err.code, FM_USAGE);
	}
}

static void conf_durations(void **state)
{
	int64_t ms;

	assert_int_equal(fm_duration_conf("20ms", &ms, &err), 0);
	assert_int_equal(ms, 20);
	assert_int_equal(fm_duration_conf("2", &ms, &err), 0);
	assert_int_equal(ms, 2000);
	assert_int_equal(fm_duration_conf("5m", &ms, &err), 0);
	assert_int_equal(ms, 300000);
	assert_int_equal(fm_duration_conf("5 m", &ms, &err), -1);
	assert_int_equal(fm_duration_conf("ms", &ms, &err), -1);
	assert_int_equal(fm_duration_conf("1y", &ms, &err), -1);
}

static void check_list(const char *text, const char *expected)
{
	struct fm_hostlist list;
	char joined[512] = "";

	assert_int_equal(fm_hostlist_parse(&list, text, &err), 0);
	for (size_t i = 0; i < list.count; i++) {
		strcat(joined, i ? " " : "");
		strcat(joined, list.names[i]);
	}
	assert_string_equal(joined, expected);
	fm_hostlist_dispose(&list);
}

static void hostlists(void **state)
{
	static const char *const bad[] = { "n[1-3", "n]", "n[]", "n[3-1]", "n[a]", "a,", "a,,b", "a b", "../x",
					   "n[1-99999999]", "n[1-]" };
	struct fm_hostlist list;

	check_list("", "");
	check_list("n1", "n1");
	check_list("n[1-3,07-09],head", "n1 n2 n3 n07 n08 n09 head");
	check_list("r[1-2]n[1-2]-ib", "r1n1-ib r1n2-ib r2n1-ib r2n2-ib");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(fm_hostlist_parse(&list, bad[i], &err), -1);
		fm_hostlist_dispose(&list);
	}
	assert_int_equal(fm_hostlist_parse(&list, "a,b,c", &err), 0);
	assert_int_equal(fm_hostlist_index(&list, "c"), 2);
	assert_int_equal(fm_hostlist_index(&list, "d"), -1);
	fm_hostlist_dispose(&list);
}

static void snapshot_ids(void **state)
{
	static const char *const bad[] = { "", "0", "1.", "1.0", ".1", "1.2.3", "a", "1 ", "-1", "4294967296", "1.x" };
	struct fm_snapshot_id id;
	char text[24];

	assert_int_equal(fm_snapshot_id_parse("1234.3", &id, &err), 0);
	assert_int_equal(id.job, 1234);
	assert_int_equal(id.n, 3);
	fm_snapshot_id_format(&id, text);
	assert_string_equal(text, "1234.3");
	assert_int_equal(fm_snapshot_id_parse("4294967295", &id, &err), 0);
	assert_int_equal(id.n, 0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(fm_snapshot_id_parse(bad[i], &id, &err), -1);
}

static const char *write_conf(const char *text)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/fermata.conf", dir);
	assert_int_equal(fm_file_write(path, 0600, text, strlen(text), &err), 0);
	return path;
}

static void conf_values(void **state)
{
	struct fm_conf conf;
	char address[64];

	assert_int_equal(fm_conf_load(&conf, write_conf("# site\n\nagents = n[1-3]  # all of them\nGateMax=5s\n"
							"NodeName=n1\nNodeAddr=n1=10.0.0.1,n12=10.0.0.12\r\n"),
				      &err), 0);
	assert_string_equal(conf.agents, "n[1-3]");
	assert_int_equal(conf.gate_max_ms, 5000);
	assert_int_equal(conf.port, 6830);
	assert_string_equal(conf.hypervisor, "xen");
	assert_string_equal(fm_conf_node_address(&conf, "n12", address, sizeof address), "10.0.0.12");
	assert_string_equal(fm_conf_node_address(&conf, "n2", address, sizeof address), "n2");
	fm_conf_dispose(&conf);
}

static void conf_error(const char *text, const char *expected)
{
	struct fm_conf conf;

	assert_int_equal(fm_conf_load(&conf, write_conf(text), &err), -1);
	assert_int_equal(err.code, FM_USAGE);
	if (!strstr(err.text, expected))
		fail_msg("\"%s\" does not say \"%s\"", err.text, expected);
	fm_conf_dispose(&conf);
}

static void conf_errors(void **state)
{
	struct fm_conf conf;

	conf_error("Port=6830\nColour=red\n", "fermata.conf:2: unknown key \"Colour\"");
	conf_error("Port=0\n", "fermata.conf:1: Port=0");
	conf_error("Port=1\nPort=2\n", ":2: Port is given twice");
	conf_error("Port\n", "is not Key=Value");
	conf_error("GateMax=soon\n", "GateMax");
	conf_error("Hypervisor=vmware\n", "Hypervisor=vmware");
	conf_error("GuestRanks=100\n", "power of two");
	conf_error("GuestNetwork=10.78.0.1/16\n", "host bits");
	conf_error("Agents=n[1-\n", "Agents");
	assert_int_equal(fm_conf_load(&conf, "/nonexistent/fermata.conf", &err), -1);
	assert_int_equal(err.code, FM_NOT_FOUND);
	fm_conf_dispose(&conf);
}

/* A line each; where it is bad, the error names it. */
static void conf_levels(void **state)
{
	static const char *const bad[][2] = {
		{ "second", "a level is NAME directory:" },
		{ "second /mnt", "\"/mnt\" is no place" },
		{ "second directory:mnt", "not an absolute path" },
		{ "second directory:/mnt region=x", "a directory has no option \"region\"" },
		{ "second directory:/mnt same-filesystem=perhaps", "say yes or no" },
		{ "-x directory:/mnt", "\"-x\" is not the name of a level" },
		{ "store directory:/mnt", "give the level another name" },
		{ "first directory:/mnt", "there is a level of this name already" },
		{ "far s3:ftp://h/b credentials=/k", "is not https://HOST/BUCKET" },
		{ "far s3:https://h credentials=/k", "is not https://HOST/BUCKET" },
		{ "far s3:https://h/ credentials=/k", "is not a bucket" },
		{ "far s3:https://h/b/../c credentials=/k", "is not a prefix" },
		{ "far s3:https://u:p@h/b credentials=/k", "host, bucket and prefix alone" },
		{ "far s3:https://h/b", "credentials=/PATH is missing" },
		{ "far s3:https://h/b credentials=k", "not an absolute path" },
		{ "far s3:https://h/b credentials=/k secret=x", "a bucket has no option \"secret\"" },
		{ "far s3:https://h/b credentials", "is not OPTION=VALUE" },
	};
	struct level_spec spec;
	struct fm_conf conf;

	assert_int_equal(fm_conf_load(&conf, write_conf("Level=a directory:/mnt/a same-filesystem=yes\nBandwidth=100M\n"
							"Level=b s3:https://h:1/b/p/q credentials=/k region=r ca=/c\n"), &err), 0);
	assert_true(conf.levels && conf.levels[0] && conf.levels[1] && !conf.levels[2]);
	assert_true(conf.bandwidth == 100u << 20 && conf.level_retry_ms == 60000);
	assert_int_equal(level_spec_parse(&spec, conf.levels[0], &err), 0);
	assert_true(spec.kind == LEVEL_DIRECTORY && spec.same_filesystem && !strcmp(spec.path, "/mnt/a"));
	level_spec_dispose(&spec);
	assert_int_equal(level_spec_parse(&spec, conf.levels[1], &err), 0);
	assert_true(spec.kind == LEVEL_S3 && !strcmp(spec.endpoint, "https://h:1") && !strcmp(spec.bucket, "b"));
	assert_true(!strcmp(spec.prefix, "p/q") && !strcmp(spec.credentials, "/k") && !strcmp(spec.region, "r") &&
		    !strcmp(spec.ca, "/c"));
	level_spec_dispose(&spec);
	fm_conf_dispose(&conf);
	assert_int_equal(fm_conf_load(&conf, write_conf(""), &err), 0);
	assert_null(conf.levels);
	fm_conf_dispose(&conf);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		FM_AUTO_FREE char *text = fm_format("Level=first directory:/mnt/first\nLevel=%s\n", bad[i][0]);

		conf_error(text, "fermata.conf:2: Level: ");
		conf_error(text, bad[i][1]);
	}
	conf_error("Bandwidth=fast\n", "not a number of bytes");
	conf_error("Bandwidth=100X\n", "not a number of bytes");
	conf_error("Bandwidth=9G\n", "not a number of bytes");
}

static void guest_addresses(void **state)
{
	struct fm_conf conf;
	char ip[16], mac[18], other[16];
	unsigned prefix;

	assert_int_equal(fm_conf_load(&conf, write_conf("GuestNetwork=10.78.0.0/16\n"), &err), 0);
	assert_int_equal(fm_guest_address(&conf, 3, 1, ip, &prefix, mac, &err), 0);
	assert_string_equal(ip, "10.78.3.2");
	assert_string_equal(mac, "00:16:3e:00:03:02");
	assert_int_equal(prefix, 16);
	/* 256 slots of which the last is for the Dom0s: job 255 shares slot 0 */
	assert_int_equal(fm_guest_address(&conf, 254, 0, ip, &prefix, mac, &err), 0);
	assert_string_equal(ip, "10.78.254.1");
	assert_int_equal(fm_guest_address(&conf, 255, 0, other, &prefix, mac, &err), 0);
	assert_string_equal(other, "10.78.0.1");
	assert_int_equal(fm_guest_address(&conf, 1, 255, ip, &prefix, mac, &err), -1);
	fm_conf_dispose(&conf);
}

static void images(void **state)
{
	FM_AUTO_FREE char *image_dir = fm_format("%s/images", dir);
	FM_AUTO_FREE char *one = fm_format("%s/tiny", image_dir), *path = fm_format("%s/image.conf", one);
	FM_AUTO_FREE char *text = fm_format("ImageDir=%s\n", image_dir);
	static const char conf_text[] = "Kernel=vmlinux\nDisk=root.ext4,xvda,r\nDisk=/srv/x,xvdb,w\nMinMemory=64\n";
	struct fm_conf conf;
	struct fm_image image;

	assert_int_equal(fm_conf_load(&conf, write_conf(text), &err), 0);
	assert_int_equal(fm_mkdir_all(one, 0755, &err), 0);
	assert_int_equal(fm_file_write(path, 0644, conf_text, strlen(conf_text), &err), 0);
	assert_int_equal(fm_image_load(&image, &conf, "tiny", &err), 0);
	assert_string_equal(image.kernel + strlen(one), "/vmlinux");
	assert_null(image.initramfs);
	assert_string_equal(image.type, "pvh");
	assert_int_equal(image.disk_count, 2);
	assert_string_equal(image.disks[1].path, "/srv/x");
	assert_string_equal(image.disks[0].vdev, "xvda");
	assert_true(image.disks[0].readonly);
	assert_false(image.disks[1].readonly);
	fm_image_dispose(&image);
	assert_int_equal(fm_image_load(&image, &conf, "none", &err), -1);
	assert_int_equal(err.code, FM_NOT_FOUND);
	assert_int_equal(fm_image_load(&image, &conf, "../tiny", &err), -1);
	assert_int_equal(err.code, FM_USAGE);
	fm_conf_dispose(&conf);
}

static void json_input(void **state)
{
	struct json_object *o = fm_json_parse("{\"a\":1,\"s\":\"x\",\"b\":true}\n", 26, &err), *reply;
	const char *s;
	int64_t n;

	assert_non_null(o);
	assert_int_equal(fm_json_int(o, "a", 0, 5, &n, &err), 0);
	assert_int_equal(fm_json_int(o, "a", 2, 5, &n, &err), -1);
	assert_int_equal(fm_json_int(o, "s", 0, 5, &n, &err), -1);
	assert_non_null(strstr(err.text, "\"s\""));
	assert_int_equal(fm_json_string(o, "gone", &s, &err), -1);
	assert_string_equal(fm_json_string_or(o, "gone", "else"), "else");
	assert_true(fm_json_bool_or(o, "b", false));
	json_object_put(o);
	assert_null(fm_json_parse("[1]", 3, &err));
	assert_null(fm_json_parse("{\"a\":1} x", 9, &err));
	assert_null(fm_json_parse("{\"a\":", 5, &err));
	assert_null(fm_json_parse("", 0, &err));
	fm_fail(&err, FM_BUSY, "job %d", 7);
	reply = fm_json_from_error(&err);
	memset(&err, 0, sizeof err);
	assert_int_equal(fm_json_to_error(reply, &err), -1);
	assert_int_equal(err.code, FM_BUSY);
	assert_string_equal(err.text, "job 7");
	json_object_put(reply);
}

static void files(void **state)
{
	FM_AUTO_FREE char *tree = fm_format("%s/a", dir), *deep = fm_format("%s/a/b/c", dir);
	FM_AUTO_FREE char *file = fm_format("%s/f", deep), *link = fm_format("%s/link", tree);
	FM_AUTO_FREE char *keep = fm_format("%s/keep", dir);
	char *data;
	size_t size;

	assert_int_equal(fm_mkdir_all(deep, 0700, &err), 0);
	assert_int_equal(fm_mkdir_all(keep, 0700, &err), 0);
	assert_int_equal(symlink(keep, link), 0);
	assert_int_equal(fm_file_write(file, 0600, "hello", 5, &err), 0);
	data = fm_file_read(file, 100, &size, &err);
	assert_int_equal(size, 5);
	assert_string_equal(data, "hello");
	free(data);
	assert_null(fm_file_read(file, 4, &size, &err));
	assert_int_equal(err.code, FM_CORRUPT);
	assert_int_equal(fm_remove_tree(tree, &err), 0);
	assert_int_equal(access(tree, F_OK), -1);
	assert_int_equal(access(keep, F_OK), 0); /* not through the link */
	assert_int_equal(fm_remove_tree(tree, &err), 0);
	assert_int_equal(fm_file_write("/nonexistent/x", 0600, "", 0, &err), -1);
}

static void errors_nest(void **state)
{
	fm_fail(&err, FM_TIMEOUT, "no answer");
	fm_context(&err, "job %d", 3);
	assert_string_equal(err.text, "job 3: no answer");
	assert_int_equal(err.code, FM_TIMEOUT);
	fm_fail(&err, FM_FAILED, "again: %s", err.text); /* its own text as an argument */
	assert_string_equal(err.text, "again: job 3: no answer");
}

static void test_hex(void **state)
{
	static const unsigned char bytes[] = { 0x00, 0x9a, 0xff, 0x10 };
	unsigned char back[sizeof(bytes)];
	char text[2 * sizeof(bytes) + 1];

	(void)state;
	fm_hex(bytes, sizeof(bytes), text);
	assert_string_equal(text, "009aff10");
	assert_true(fm_unhex(text, 8, back, 4));
	assert_memory_equal(back, bytes, 4);
	fm_hex(bytes, 0, text);
	assert_string_equal(text, "");
	assert_false(fm_unhex("009aff1", 7, back, 4));
	assert_false(fm_unhex("009aff100", 9, back, 4));
	assert_false(fm_unhex("009AFF10", 8, back, 4));
	assert_false(fm_unhex("009aff1g", 8, back, 4));
	assert_false(fm_unhex("009a\0f10", 8, back, 4));
}

static void hashes(void **state)
{
	char hex[65];

	fm_sha256_hex("abc", 3, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	return fm_remove_tree(dir, &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slurm_durations), cmocka_unit_test(conf_durations), cmocka_unit_test(hostlists),
		cmocka_unit_test(snapshot_ids), cmocka_unit_test(conf_values), cmocka_unit_test(conf_errors), cmocka_unit_test(conf_levels),
		cmocka_unit_test(guest_addresses), cmocka_unit_test(images), cmocka_unit_test(json_input),
		cmocka_unit_test(files), cmocka_unit_test(errors_nest), cmocka_unit_test(test_hex), cmocka_unit_test(hashes),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
