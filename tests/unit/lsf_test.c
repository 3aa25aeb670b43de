/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lsf_test.c - what the LSF programs read: the environment, bsub's files, -k, the job's command, their own file. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "plugins/lsf/checkpoint.h"
#include "plugins/lsf/chkpnt_option.h"
#include "plugins/lsf/command.h"
#include "plugins/lsf/hosts.h"
#include "plugins/lsf/job.h"
#include "plugins/lsf/parm.h"

static struct fm_error err;
static char dir[] = "/tmp/fermata-lsf-test.XXXXXX";

static int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	return fm_remove_tree(dir, &err);
}

static char *in_dir(const char *name, const char *content, size_t size)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	assert_int_equal(fm_file_write(path, 0644, content, size, &err), 0);
	return path;
}

/* ---- job ---------------------------------------------------------------------------------- */

/* Every pair that is taken has a number of its own, and no number of an element is that of a job. */
static void numbers(void **state)
{
	static const uint32_t ids[] = { 1, 2, 999999, 1048575 }, indexes[] = { 0, 1, 2, 1000, 2047 };
	uint32_t seen[20], number;
	size_t count = 0;

	for (size_t i = 0; i < 4; i++)
		for (size_t j = 0; j < 5; j++) {
			assert_int_equal(lsf_job_number(ids[i], indexes[j], &number, &err), 0);
			assert_true(indexes[j] ? number >= LSF_ARRAY_FLAG : number == ids[i]);
			for (size_t k = 0; k < count; k++)
				assert_int_not_equal(seen[k], number);
			seen[count++] = number;
		}
	assert_int_equal(lsf_job_number(2147483646, 0, &number, &err), 0);
	assert_int_equal(lsf_job_number(1048576, 1, &number, &err), -1);
	assert_int_equal(lsf_job_number(1, 2048, &number, &err), -1);
	assert_int_equal(lsf_job_number(LSF_ARRAY_FLAG, 0, &number, &err), -1);
}

static void environment(void **state)
{
	static const char *const bad[] = { "", "0", "-1", "12x", " 12", "+1", "99999999999", "1 2" };
	struct lsf_job job;

	unsetenv("LSB_JOBID");
	assert_int_equal(lsf_job_read(&job, &err), -1);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		setenv("LSB_JOBID", bad[i], 1);
		assert_int_equal(lsf_job_read(&job, &err), -1);
		assert_int_equal(err.code, FM_USAGE);
	}
	setenv("LSB_JOBID", "123", 1);
	unsetenv("LSB_JOBINDEX");
	unsetenv("LSB_CHKPNT_DIR");
	unsetenv("LSB_RESTART");
	assert_int_equal(lsf_job_read(&job, &err), 0);
	assert_string_equal(job.name, "123");
	assert_string_equal(job.chkpnt_dir, "");
	assert_false(job.restart);
	setenv("LSB_JOBINDEX", "4", 1);
	setenv("LSB_CHKPNT_DIR", "/ckpt/123.4", 1);
	setenv("LSB_RESTART", "Y", 1);
	assert_int_equal(lsf_job_read(&job, &err), 0);
	assert_string_equal(job.name, "123[4]");
	assert_string_equal(job.chkpnt_dir, "/ckpt/123.4");
	assert_true(job.restart);
	setenv("LSB_JOBINDEX", "four", 1);
	assert_int_equal(lsf_job_read(&job, &err), -1);
}

/* ---- hosts --------------------------------------------------------------------------------- */

static void check_hosts(const char *mcpu, const char *list, const char *self, const char *expected)
{
	struct lsf_hosts hosts;
	char text[256] = "";

	unsetenv("LSB_MCPU_HOSTS");
	unsetenv("LSB_HOSTS");
	if (mcpu)
		setenv("LSB_MCPU_HOSTS", mcpu, 1);
	if (list)
		setenv("LSB_HOSTS", list, 1);
	if (!expected) {
		assert_int_equal(lsf_hosts_read(&hosts, self, &err), -1);
	} else {
		assert_int_equal(lsf_hosts_read(&hosts, self, &err), 0);
		for (size_t i = 0; i < hosts.count; i++)
			snprintf(text + strlen(text), sizeof text - strlen(text), "%s:%u ", hosts.names[i], hosts.slots[i]);
		assert_string_equal(text, expected);
	}
	lsf_hosts_dispose(&hosts);
}

static void host_lists(void **state)
{
	check_hosts("hB 2 hA 4 ", "hX hX", "hA", "hB:2 hA:4 ");
	check_hosts("hB 2 hA 4 hB 1", NULL, "hA", "hB:3 hA:4 ");
	check_hosts(NULL, "hB hB hA", "hA", "hB:2 hA:1 ");
	check_hosts("b.site.org 1 a.site.org 2", NULL, "a", "b:1 a:2 ");
	check_hosts("b.site.org 1 a.site.org 2", NULL, "a.site.org", "b.site.org:1 a.site.org:2 ");
	check_hosts("ab.site.org 1", NULL, "a", "ab.site.org:1 ");
	check_hosts(NULL, NULL, "a", NULL);
	check_hosts("", NULL, "a", NULL);
	check_hosts("hA", NULL, "a", NULL);
	check_hosts("hA two", NULL, "a", NULL);
	check_hosts("hA 0", NULL, "a", NULL);
	check_hosts("hA -1", NULL, "a", NULL);
}

/* ---- bsub's files ------------------------------------------------------------------------------ */

static void parm_files(void **state)
{
	static const char text[] = "LSB_SUB_QUEUE=\"normal\"\nLSB_SUB_EXCLUSIVE=Y\nLSB_SUB_CHKPNT_DIR=SUB_RESET\n"
				   "LSB_SUB_COMMAND_LINE=\"echo \\\"a\nLSB_SUB_QUEUE=b\\\" \\\\\"\n\nLSB_SUB_NUM_PROCESSORS=4\n";
	struct parm parm;
	FM_AUTO_FREE char *again = NULL;
	size_t size;
	FILE *f;

	assert_int_equal(parm_read(&parm, in_dir("parm", text, strlen(text)), &err), 0);
	assert_string_equal(parm_get(&parm, "LSB_SUB_QUEUE"), "normal");
	assert_string_equal(parm_get(&parm, "LSB_SUB_EXCLUSIVE"), "Y");
	assert_string_equal(parm_get(&parm, "LSB_SUB_COMMAND_LINE"), "echo \"a\nLSB_SUB_QUEUE=b\" \\\\");
	assert_string_equal(parm_get(&parm, "LSB_SUB_NUM_PROCESSORS"), "4");
	assert_null(parm_get(&parm, "LSB_SUB_CHKPNT_DIR"));
	assert_null(parm_get(&parm, "LSB_SUB_APP"));
	parm_dispose(&parm);
	f = open_memstream(&again, &size);
	assert_int_equal(parm_write(f, "NAME", "a \"b\" c", &err), 0);
	fclose(f);
	assert_string_equal(again, "NAME=\"a \\\"b\\\" c\"\n");
}

/* Every text that is cut off, and every one with a byte changed, is read or refused, and never more. */
static void parm_damage(void **state)
{
	static const char text[] = "A=\"x \\\" y\"\nB=SUB_RESET\nC=12\nD=\"two\nlines\"\n";
	static const char wild[] = "a stray line\nA=\"echo \"a b\"\"\nB=\"ends in \\\"\nC=\"not closed\n";
	struct parm parm;

	for (size_t i = 0; i < sizeof text; i++) {
		char *damaged = test_malloc(sizeof text);

		memcpy(damaged, text, sizeof text);
		parm_read(&parm, in_dir("parm", damaged, i), &err);
		parm_dispose(&parm);
		for (int c = 0; c < 256; c += 5) {
			damaged[i] = (char)c;
			if (!parm_read(&parm, in_dir("parm", damaged, sizeof text - 1), &err))
				parm_get(&parm, "D");
			parm_dispose(&parm);
		}
		test_free(damaged);
	}
	assert_int_equal(parm_read(&parm, in_dir("parm", wild, strlen(wild)), &err), 0);
	assert_string_equal(parm_get(&parm, "A"), "echo \"a b\"");
	assert_string_equal(parm_get(&parm, "B"), "ends in \\");
	assert_string_equal(parm_get(&parm, "C"), "not closed\n");
	parm_dispose(&parm);
	assert_int_equal(parm_read(&parm, "/no/such/file", &err), -1);
	parm_dispose(&parm);
}

static void chkpnt_options(void **state)
{
	struct chkpnt_option o;

	assert_int_equal(chkpnt_option_parse(&o, "/ckpt init=5 30 method=fermata", &err), 0);
	assert_string_equal(o.dir, "/ckpt");
	assert_string_equal(o.method, "fermata");
	assert_int_equal(o.init_minutes, 5);
	assert_int_equal(o.minutes, 30);
	assert_int_equal(chkpnt_option_parse(&o, "  ckpt\tmethod=a_b-1  ", &err), 0);
	assert_string_equal(o.dir, "ckpt");
	assert_int_equal(o.minutes, 0);
	assert_int_equal(chkpnt_option_parse(&o, "/c 1 init=1 init=2", &err), -1);
	assert_int_equal(chkpnt_option_parse(&o, "/c method=a/b", &err), -1);
	assert_int_equal(chkpnt_option_parse(&o, "", &err), -1);
}

/* ---- the job's command --------------------------------------------------------------------------- */

static void check_command(const char *const args[], const char *script, const char *const words[])
{
	struct command c;
	size_t n = 0;

	assert_int_equal(command_make(&c, (char **)(uintptr_t)args, &err), 0);
	assert_int_equal(c.size, strlen(script));
	assert_memory_equal(c.script, script, c.size);
	for (; words[n]; n++)
		assert_string_equal(c.words[n], words[n]);
	assert_null(c.words[n]);
	command_dispose(&c);
}

#define LIST(...) (const char *const[]){ __VA_ARGS__, NULL }

static void commands(void **state)
{
	static const char exec[] = "#!/bin/sh\nexec \"$@\"\n", text[] = "#!/bin/bash\necho \"$1\"\n";
	const char *path = in_dir("job.sh", text, strlen(text));
	char line[256];
	struct command c;
	char *empty[] = { line, NULL };

	check_command(LIST("a.out"), exec, LIST("job", "a.out"));
	check_command(LIST("a.out -x  1"), exec, LIST("job", "a.out", "-x", "1"));
	check_command(LIST("a.out", "-x", "b c", "$d"), exec, LIST("job", "a.out", "-x", "b c", "$d"));
	check_command(LIST("a.out >out; b"), "#!/bin/sh\na.out >out; b\n", LIST("job"));
	check_command(LIST("echo 'a b'"), "#!/bin/sh\necho 'a b'\n", LIST("job"));
	check_command(LIST(path, "one two"), text, LIST(path, "one two"));
	snprintf(line, sizeof line, "%s one", path);
	check_command(LIST(line), text, LIST(path, "one"));
	check_command(LIST("/bin/sh -c x"), exec, LIST("job", "/bin/sh", "-c", "x")); /* no script: the guest's */
	check_command(LIST("/no/such/file"), exec, LIST("job", "/no/such/file"));
	strcpy(line, "  ");
	assert_int_equal(command_make(&c, empty, &err), -1);
	command_dispose(&c);
}

/* ---- fermata.snapshot -------------------------------------------------------------------------------- */

static void checkpoint_file(void **state)
{
	static const char snapshot[] = "{\"snapshot\":\"12.3\",\"created\":\"2026-01-02T03:04:05Z\",\"bytes\":7,"
				       "\"members\":[{\"node\":\"n1\"},{\"node\":\"n2\"}]}";
	FM_AUTO_JSON struct json_object *o = fm_json_parse(snapshot, strlen(snapshot), &err);
	const struct lsf_job job = { .id = 12, .number = 12, .name = "12" };
	FM_AUTO_FREE char *path = fm_format("%s/fermata.snapshot", dir);
	FM_AUTO_FREE char *good = NULL;
	struct fm_snapshot_id id;
	size_t size, refused = 0;

	assert_int_equal(lsf_checkpoint_read(dir, &id, &err), -1);
	assert_int_equal(err.code, FM_NOT_FOUND);
	assert_int_equal(lsf_checkpoint_write(dir, &job, o, &err), 0);
	assert_int_equal(lsf_checkpoint_read(dir, &id, &err), 0);
	assert_int_equal(id.job, 12);
	assert_int_equal(id.n, 3);
	good = fm_file_read(path, 4096, &size, &err);
	for (size_t i = 0; i + 1 < size; i++) { /* the last one is the line's end */
		FM_AUTO_FREE char *bad = strdup(good);

		assert_int_equal(fm_file_write(path, 0600, good, i, &err), 0);
		assert_int_equal(lsf_checkpoint_read(dir, &id, &err), -1);
		bad[i] ^= 1;
		assert_int_equal(fm_file_write(path, 0600, bad, size, &err), 0);
		refused += lsf_checkpoint_read(dir, &id, &err) != 0;
	}
	assert_int_equal(refused, size - 1);
	assert_int_equal(lsf_checkpoint_clear(dir, &err), 0);
	assert_int_equal(lsf_checkpoint_read(dir, &id, &err), -1);
	assert_int_equal(err.code, FM_NOT_FOUND);
}

static void starts(void **state)
{
	assert_int_equal(lsf_starts_read(dir), 0);
	assert_int_equal(lsf_starts_write(dir, 41, &err), 0);
	assert_int_equal(lsf_starts_read(dir), 41);
	in_dir("fermata.starts", "-3\n", 3);
	assert_int_equal(lsf_starts_read(dir), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),	cmocka_unit_test(environment),	   cmocka_unit_test(host_lists),
		cmocka_unit_test(parm_files),	cmocka_unit_test(parm_damage),	   cmocka_unit_test(chkpnt_options),
		cmocka_unit_test(commands),	cmocka_unit_test(checkpoint_file), cmocka_unit_test(starts),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
