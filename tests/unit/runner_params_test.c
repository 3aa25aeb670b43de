/* SPDX-License-Identifier: GPL-2.0-or-later */
/* runner_params_test.c - what tells the guest who it is, and what its programs then see. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "agent/runner/job_env.h"
#include "agent/runner/params.h"
#include "agent/runner/xenstore.h"
#include "common/io.h"

#define TOKEN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define GOOD                                                                                                       \
	"{\"job\":12,\"rank\":1,\"uid\":1000,\"gid\":100,\"gids\":[100,27],\"user\":\"ada\",\"home\":\"/home/ada\"," \
	"\"nodes\":[{\"name\":\"n1\",\"ip\":\"10.78.0.1\"},{\"name\":\"n2.site.org\",\"ip\":\"10.78.0.2\"}],"          \
	"\"ip\":\"10.78.0.2\",\"prefix\":16,\"port\":7777,\"token\":\"" TOKEN "\",\"incarnation\":2}"

static struct fm_error err;

static void good_params(void **state)
{
	struct params params;

	assert_int_equal(params_parse(&params, GOOD, strlen(GOOD), &err), 0);
	assert_int_equal(params.job, 12);
	assert_int_equal(params.rank, 1);
	assert_int_equal(params.gid_count, 2);
	assert_int_equal(params.gids[1], 27);
	assert_int_equal(params.token[1], 0x11);
	assert_int_equal(params.ip.s_addr, inet_addr("10.78.0.2"));
	assert_ptr_equal(params_node(&params, "n1"), &params.nodes[0]);
	assert_ptr_equal(params_node(&params, "n2"), &params.nodes[1]);
	assert_ptr_equal(params_node(&params, "n2.site.org"), &params.nodes[1]);
	assert_ptr_equal(params_node(&params, "localhost"), &params.nodes[1]);
	assert_ptr_equal(params_node(&params, "10.78.0.1"), &params.nodes[0]);
	assert_null(params_node(&params, "n"));
	assert_null(params_node(&params, "10.78.0.9"));
	params_dispose(&params);
}

/* GOOD with one piece replaced */
static void expect_refused(const char *from, const char *to, const char *named)
{
	const char *at = strstr(GOOD, from);
	char *text;
	struct params params;

	assert_non_null(at);
	text = fm_format("%.*s%s%s", (int)(at - GOOD), GOOD, to, at + strlen(from));
	assert_int_equal(params_parse(&params, text, strlen(text), &err), -1);
	if (!strstr(err.text, named))
		fail_msg("'%s' does not name '%s'", err.text, named);
	params_dispose(&params);
	free(text);
}

static void bad_params(void **state)
{
	expect_refused("\"uid\":1000", "\"uid\":-1", "uid");
	expect_refused("\"uid\":1000", "\"uid\":4294967295", "uid");
	expect_refused("\"rank\":1", "\"rank\":2", "rank");
	expect_refused("\"user\":\"ada\"", "\"user\":\"a:0:0\"", "user");
	expect_refused("\"user\":\"ada\"", "\"user\":\"a\\nroot::0:0\"", "user");
	expect_refused("\"home\":\"/home/ada\"", "\"home\":\"home\"", "home");
	expect_refused("\"name\":\"n1\"", "\"name\":\"n1 evil\"", "name");
	expect_refused("\"ip\":\"10.78.0.1\"", "\"ip\":\"10.78\"", "ip");
	expect_refused("\"prefix\":16", "\"prefix\":33", "prefix");
	expect_refused("\"port\":7777", "\"port\":0", "port");
	expect_refused("\"gids\":[100,27]", "\"gids\":[\"x\"]", "gids");
	expect_refused(TOKEN, "00", "token");
	expect_refused("\"job\":12,", "", "job");
	expect_refused("\"nodes\":[", "\"nodes\":[3,", "nodes");
}

/* ---- environment --------------------------------------------------------------------- */

static char **build(char **sent, uid_t uid)
{
	static const struct job_env_paths paths = { "/run/x/fermata-rsh", "/run/x/runner.sock" };
	struct params params = { .uid = uid, .user = (char *)"ada", .home = (char *)"/home/ada" };

	return job_env_build(sent, &params, &paths, &err);
}

static void environment(void **state)
{
	char *sent[] = { (char *)"SLURM_JOB_ID=12", (char *)"PATH=/opt/bin", (char *)"UCX_TCP_KEEPIDLE=10s",
			 (char *)"OMPI_MCA_btl=tcp,self", (char *)"HYDRA_LAUNCHER=ssh", (char *)"TMPDIR=/no/such/dir",
			 (char *)"nonsense", (char *)"PATHOLOGY=1", NULL };
	char **env = build(sent, 1000);

	assert_string_equal(job_env_get(env, "SLURM_JOB_ID"), "12");
	assert_string_equal(job_env_get(env, "PATH"), "/opt/bin");
	assert_string_equal(job_env_get(env, "UCX_TCP_KEEPIDLE"), "inf"); /* else: wrong data after a long hold */
	assert_string_equal(job_env_get(env, "OMPI_MCA_btl"), "tcp,self");
	assert_string_equal(job_env_get(env, "HYDRA_LAUNCHER"), "rsh");
	assert_string_equal(job_env_get(env, "HYDRA_LAUNCHER_EXEC"), "/run/x/fermata-rsh");
	assert_string_equal(job_env_get(env, "OMPI_MCA_plm_rsh_agent"), "/run/x/fermata-rsh");
	assert_string_equal(job_env_get(env, "OMPI_MCA_plm"), "rsh");
	assert_string_equal(job_env_get(env, JOB_ENV_SOCKET), "/run/x/runner.sock");
	assert_string_equal(job_env_get(env, "HOME"), "/home/ada");
	assert_string_equal(job_env_get(env, "PATHOLOGY"), "1");
	assert_null(job_env_get(env, "TMPDIR"));
	assert_null(job_env_get(env, "OMPI_ALLOW_RUN_AS_ROOT"));
	for (char **e = env; *e; e++)
		assert_non_null(strchr(*e, '='));
	free(env);
	sent[0] = NULL;
	env = build(sent, 0);
	assert_string_equal(job_env_get(env, "OMPI_ALLOW_RUN_AS_ROOT"), "1");
	assert_non_null(strstr(job_env_get(env, "PATH"), "/usr/bin"));
	free(env);
}

/* ---- xenstore, played by a child on the other side of a pty ------------------------------ */

struct message {
	uint32_t type, request, transaction, size;
};

static const struct {
	const char *path, *value;
} store[] = { { "k", "one " }, { "k-1", "two " }, { "k-2", "three" }, { "single", "x" }, { "deep-1", "y" } };

static void serve(int fd)
{
	struct message head;
	char path[256];

	while (fm_read_all(fd, &head, sizeof(head)) == sizeof(head) && head.size < sizeof(path)) {
		const char *answer = "ENOENT";
		size_t size = sizeof("ENOENT");

		if (fm_read_all(fd, path, head.size) != (ssize_t)head.size || path[head.size - 1])
			_exit(1);
		if (head.type != 2)
			_exit(1);
		head.type = 16;
		for (size_t i = 0; i < sizeof(store) / sizeof(*store); i++)
			if (!strcmp(store[i].path, path)) {
				answer = store[i].value;
				size = strlen(answer);
				head.type = 2;
			}
		if (!strcmp(path, "huge"))
			head.size = 1u << 20;
		else
			head.size = (uint32_t)size;
		if (fm_write_all(fd, &head, sizeof(head)) || fm_write_all(fd, answer, size))
			_exit(1);
	}
	_exit(0);
}

static void xenstore(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	struct termios raw;
	char device[64];
	char *value;
	size_t size;
	pid_t pid;

	assert_true(master >= 0 && !grantpt(master) && !unlockpt(master) &&
		    !ptsname_r(master, device, sizeof(device)));
	slave = open(device, O_RDWR | O_NOCTTY);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
	pid = fork();
	if (!pid)
		serve(master);
	value = xenstore_read(device, "k", &size, &err);
	assert_non_null(value);
	assert_string_equal(value, "one two three");
	assert_int_equal(size, 13);
	free(value);
	value = xenstore_read(device, "single", &size, &err);
	assert_string_equal(value, "x");
	free(value);
	assert_null(xenstore_read(device, "none", &size, &err));
	assert_int_equal(err.code, FM_NOT_FOUND);
	assert_null(xenstore_read(device, "huge", &size, &err));
	assert_int_equal(err.code, FM_FAILED);
	assert_null(xenstore_read("/no/such/device", "k", &size, &err));
	assert_non_null(strstr(err.text, "/no/such/device"));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(slave);
	close(master);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_params),
		cmocka_unit_test(bad_params),
		cmocka_unit_test(environment),
		cmocka_unit_test(xenstore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
