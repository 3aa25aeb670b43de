/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rsh.c - see rsh.h.
 *
 * What mpirun starts its ranks through.  The words of the command are joined by
 * spaces and given to a shell over there, as rsh and ssh do: quoting is the
 * caller's.  The command gets this process's environment and folder, as srun
 * would do it.
 */
#include "config.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/runner/client.h"
#include "agent/runner/job_env.h"
#include "agent/runner/relay.h"
#include "agent/runner/rsh.h"
#include "common/cleanup.h"

#define EXIT_NO_CONNECTION 255
#define CONNECT_MS 30000
#define DEFAULT_SOCKET "/run/fermata/runner.sock"

static const char usage[] =
	"usage: fermata-rsh [-l USER] [-n] [options of rsh and ssh, ignored] [USER@]HOST COMMAND...\n"
	"\n"
	"Run a command on another node of this job, as the job's user. stdin, stdout, stderr,\n"
	"signals and the exit code are passed on. The words of COMMAND are joined by spaces and\n"
	"given to a shell there. HOST is a name in the job's node list.\n"
	"\n"
	"  -l USER    must be the job's user\n"
	"  -n         stdin is /dev/null\n"
	"  -h, --help this text\n"
	"\n"
	"For mpirun: OMPI_MCA_plm_rsh_agent, HYDRA_LAUNCHER_EXEC (set in every job).\n";

struct call {
	const char *user;
	const char *host;
	char *command;
};

static int parse_options(int argc, char **argv, struct call *call)
{
	/* taken and ignored: flags without and with a value, of rsh and ssh */
	static const char plain[] = "xXntTqvdfk46aAKCY";
	static const char valued[] = "lpoiFecSmDLRb";
	int at = 1;

	for (; at < argc && argv[at][0] == '-' && argv[at][1]; at++) {
		char flag = argv[at][1];

		if (!strcmp(argv[at], "--"))
			return at + 1;
		if (flag == 'h' || !strcmp(argv[at], "--help"))
			return -1;
		if (strchr(valued, flag)) {
			const char *value = argv[at][2] ? argv[at] + 2 : at + 1 < argc ? argv[++at] : NULL;

			if (!value)
				return -1;
			if (flag == 'l')
				call->user = value;
			continue;
		}
		for (const char *p = argv[at] + 1; *p; p++) {
			if (!strchr(plain, *p))
				return -1;
			if (*p == 'n' && (close(STDIN_FILENO), open("/dev/null", O_RDONLY)) != STDIN_FILENO)
				return -1;
		}
	}
	return at;
}

static char *join(char **words)
{
	size_t size = 1;
	char *text, *p;

	for (char **w = words; *w; w++)
		size += strlen(*w) + 1;
	p = text = malloc(size);
	if (!text)
		return NULL;
	for (char **w = words; *w; w++)
		p += sprintf(p, "%s%s", w == words ? "" : " ", *w);
	*p = 0;
	return text;
}

static int parse(int argc, char **argv, struct call *call)
{
	int at = parse_options(argc, argv, call);
	char *host;

	if (at < 0 || at + 1 >= argc)
		return -1;
	host = strrchr(argv[at], '@');
	if (host) {
		*host++ = 0;
		call->user = argv[at];
	} else {
		host = argv[at];
	}
	call->host = host;
	call->command = join(argv + at + 1);
	return call->command ? 0 : -1;
}

static int fail(const struct call *call, const char *text)
{
	fprintf(stderr, "fermata-rsh: %s: %s\n", call->host, text);
	return EXIT_NO_CONNECTION;
}

static int run(struct call *call, const char *cwd)
{
	char *argv[] = { call->command, NULL };
	struct fm_request request = {
		.flags = FM_REQUEST_EPHEMERAL | FM_REQUEST_SHELL,
		.argv = argv,
		.env = environ,
		.cwd = (char *)cwd,
	};
	const char *path = getenv(JOB_ENV_SOCKET);
	struct fm_frames frames;
	struct fm_relay *relay;
	struct fm_error err;

	request.umask = umask(0);
	umask(request.umask);
	if (fm_client_connect_rsh(&frames, path ? path : DEFAULT_SOCKET, call->host, CONNECT_MS, &err))
		return fail(call, err.text);
	relay = fm_relay_create(&request, "fermata-rsh", &err);
	if (!relay)
		return fail(call, err.text);
	if (fm_relay_run(relay, &frames, &err) != FM_RELAY_EXITED)
		return fail(call, err.text);
	if (fm_relay_exit(relay)->kind == FM_EXIT_SIGNAL)
		return 128 + fm_relay_exit(relay)->value; /* as a shell says it */
	return fm_relay_exit(relay)->value;
}

int rsh_main(int argc, char **argv)
{
	struct call call = { 0 };
	char cwd[PATH_MAX];
	const char *user = getenv("USER");

	fm_relay_guard_fds();
	if (parse(argc, argv, &call)) {
		bool asked = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));

		fputs(usage, asked ? stdout : stderr);
		return asked ? 0 : 2;
	}
	if (call.user && user && strcmp(call.user, user) != 0)
		return fail(&call, "only the job's own user can be had there");
	return run(&call, getcwd(cwd, sizeof(cwd)) ? cwd : "");
}
