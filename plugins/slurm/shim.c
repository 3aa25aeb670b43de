/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shim.c - fermata-shim: stands on the node for a task that runs in the guest.
 *
 * slurmstepd starts it in the task's place, as the job's user.  It asks the
 * agent where the guest is, starts the task there or attaches to the one the
 * restored guest already has, and is then that task to Slurm: its output, its
 * input, its signals, its end.  A lost connection is made again, at the byte
 * where it stopped, for as long as the agent says that there is a guest.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/runner/client.h"
#include "agent/runner/relay.h"
#include "common/cleanup.h"
#include "common/conf.h"
#include "common/io.h"
#include "plugins/slurm/shim_place.h"

#define CONNECT_MS 10000
#define PAUSE_FIRST_MS 100
#define PAUSE_MAX_MS 5000
#define PING_MS 15000
#define LOST_MS 60000
#define NO_ANSWER_MS (10 * 60000) /* nobody at all: the node is no longer what it was */
#define EXIT_NO_GUEST 1

static const char usage[] =
	"usage: fermata-shim --task ID [--job N] [--script FILE] -- COMMAND [ARGUMENT...]\n"
	"\n"
	"Runs COMMAND in the virtual machine of this node's job, or attaches to it if it already runs there.\n"
	"\n"
	"  --task ID          the task's name in the guest: batch, or STEP.TASK\n"
	"  --script FILE      COMMAND is a script; this is its content\n"
	"  --job N            the job's number; default: what SLURM_JOB_ID says\n"
	"  --connect A:P      instead of asking the agent: the guest's runner is there\n"
	"  --token-file FILE  with --connect: the job's token\n"
	"  --help             this text\n"
	"\n"
	"The exit code is the command's; 1 with a line on stderr when there is no guest.\n";

struct shim {
	const char *task, *script, *number, *connect, *token_file;
	char **argv;
	uint32_t job;
	char *who;
	struct fm_conf conf;
	struct shim_place place;
	struct fm_request request;
	struct fm_relay *relay;
};

static int parse_options(int argc, char **argv, struct shim *shim)
{
	static const struct option names[] = {
		{ "task", required_argument, NULL, 't' },    { "script", required_argument, NULL, 's' },
		{ "connect", required_argument, NULL, 'c' }, { "token-file", required_argument, NULL, 'f' },
		{ "job", required_argument, NULL, 'j' },     { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "+h", names, NULL)) != -1) {
		switch (c) {
		case 't': shim->task = optarg; break;
		case 's': shim->script = optarg; break;
		case 'j': shim->number = optarg; break;
		case 'c': shim->connect = optarg; break;
		case 'f': shim->token_file = optarg; break;
		case 'h': fputs(usage, stdout); exit(0);
		default: fputs(usage, stderr); return -1;
		}
	}
	if (!shim->task || !*shim->task || strlen(shim->task) > FM_TASK_ID_MAX || optind >= argc ||
	    !shim->connect != !shim->token_file) {
		fputs(usage, stderr);
		return -1;
	}
	shim->argv = argv + optind;
	return 0;
}

/* ---- what is asked for ----------------------------------------------------------------- */

static int read_job_id(struct shim *shim, struct fm_error *err)
{
	const char *text = shim->number ? shim->number : getenv("SLURM_JOB_ID");
	char *end;
	unsigned long job;

	if (!text && shim->connect)
		text = "0";
	errno = 0;
	job = text ? strtoul(text, &end, 10) : 0;
	if (!text || !*text || *end || errno || job > UINT32_MAX)
		return fm_fail(err, FM_USAGE, "%s is not a job's number", shim->number ? "--job" : "SLURM_JOB_ID");
	shim->job = (uint32_t)job;
	shim->who = fm_format("fermata: job %u", shim->job);
	return shim->who ? 0 : fm_fail(err, FM_FAILED, "out of memory");
}

static int make_request(struct shim *shim, struct fm_error *err)
{
	static char cwd[PATH_MAX];
	struct fm_request *request = &shim->request;

	snprintf(request->id, sizeof(request->id), "%s", shim->task);
	unsetenv("FERMATA_CONF"); /* ours, not the job's */
	request->argv = shim->argv;
	request->env = environ;
	request->cwd = getcwd(cwd, sizeof(cwd)) ? cwd : NULL;
	request->umask = umask(0);
	umask(request->umask);
	if (!shim->script)
		return 0;
	request->script = fm_file_read(shim->script, FM_SCRIPT_MAX, &request->script_size, err);
	return request->script ? 0 : -1;
}

/* ---- connections ------------------------------------------------------------------------- */

static enum shim_verdict find(struct shim *shim, struct fm_error *err)
{
	if (shim->connect)
		return shim_place_fixed(&shim->place, shim->connect, shim->token_file, err) ? SHIM_NEVER :
											       SHIM_HERE;
	return shim_place_find(&shim->place, &shim->conf, shim->job, err);
}

/* A connected and proved way to the runner. */
static enum shim_verdict reach(struct shim *shim, struct fm_frames *frames, struct fm_error *err)
{
	enum shim_verdict verdict = find(shim, err);

	if (verdict != SHIM_HERE)
		return verdict;
	if (!fm_client_connect(frames, shim->place.address, shim->place.port, shim->place.token, CONNECT_MS, err))
		return SHIM_HERE;
	if (err->code == FM_DENIED || err->code == FM_INCOMPATIBLE || err->code == FM_USAGE)
		return SHIM_NEVER;
	return shim->connect ? SHIM_SILENT : SHIM_WAIT;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until the task has ended: 0; or it cannot be had: -1. */
static int relay_task(struct shim *shim, struct fm_error *err)
{
	struct fm_frames frames;
	long pause = PAUSE_FIRST_MS;
	int64_t heard = now_ms();

	for (;;) {
		enum shim_verdict verdict = reach(shim, &frames, err);
		uint64_t progress = fm_relay_progress(shim->relay);

		if (verdict == SHIM_NEVER || (verdict == SHIM_SILENT && now_ms() - heard > NO_ANSWER_MS))
			return -1;
		if (verdict == SHIM_HERE) {
			enum fm_relay_result result = fm_relay_run(shim->relay, &frames, err);

			if (result != FM_RELAY_LOST)
				return result == FM_RELAY_EXITED ? 0 : -1;
			if (fm_relay_progress(shim->relay) != progress)
				pause = PAUSE_FIRST_MS;
		}
		if (verdict != SHIM_SILENT)
			heard = now_ms();
		fm_relay_pause(shim->relay, pause);
		pause = pause * 2 < PAUSE_MAX_MS ? pause * 2 : PAUSE_MAX_MS;
	}
}

static int prepare(struct shim *shim, struct fm_error *err)
{
	if (read_job_id(shim, err) || (!shim->connect && fm_conf_load(&shim->conf, NULL, err)) ||
	    make_request(shim, err))
		return -1;
	shim->relay = fm_relay_create(&shim->request, shim->who, err);
	if (!shim->relay)
		return -1;
	fm_relay_set_keepalive(shim->relay, PING_MS, LOST_MS);
	return 0;
}

int main(int argc, char **argv)
{
	struct shim shim = { 0 };
	struct fm_error err;

	fm_relay_guard_fds();
	if (parse_options(argc, argv, &shim))
		return FM_USAGE;
	prctl(PR_SET_DUMPABLE, 0); /* the token is in this memory */
	if (prepare(&shim, &err) || relay_task(&shim, &err)) {
		fprintf(stderr, "%s: %s\n", shim.who ? shim.who : "fermata", err.text);
		return EXIT_NO_GUEST;
	}
	fm_relay_end_like(fm_relay_exit(shim.relay));
}
