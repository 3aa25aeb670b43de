/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main.c - fermata-runner: the guest's PID 1 and the job's runner; under the
 * name fermata-rsh its small client, under the name poweroff what tells it to.
 *
 * As PID 1: mount, read the parameters from xenstore, become the job's node,
 * serve; SIGUSR1, SIGUSR2 (what busybox's halt and poweroff send) and SIGTERM
 * switch the machine off.  Otherwise (tests) nothing of the machine is touched.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/runner/freezer.h"
#include "agent/runner/guest.h"
#include "agent/runner/rsh.h"
#include "agent/runner/runner.h"
#include "agent/runner/server.h"
#include "agent/runner/task.h"
#include "agent/runner/xenstore.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"

#define SPOOL_DEFAULT (8u * 1024 * 1024)
#define SPOOL_MIN (128u * 1024)
#define NAME_RSH "fermata-rsh"
#define NAME_POWER_OFF "poweroff"
#define PARAMS_KEY "fermata/params"
#define PARAMS_WAIT_MS 60000
#define PARAMS_POLL_MS 100

static const char usage[] =
	"usage: fermata-runner [options]\n"
	"\n"
	"Runs a job's programs inside its virtual machine. As PID 1 it takes its parameters from\n"
	"xenstore and sets the machine up.\n"
	"\n"
	"  --params FILE    the parameters, instead of xenstore's\n"
	"  --run-dir DIR    socket and scripts (/run/fermata)\n"
	"  --rsh PATH       fermata-rsh, as the job's programs find it (a link in the run dir)\n"
	"  --interface IF   the guest's interface (eth0)\n"
	"  --spool BYTES    kept of each of a task's outputs (8388608)\n"
	"  --xenstore DEV   the host's word to freeze the job comes from there (/dev/xen/xenbus without --params)\n"
	"  --guest          set the machine up even when this is not PID 1\n"
	"  --help           this text\n"
	"\n"
	"fermata-runner rsh … is fermata-rsh.\n";

struct options {
	const char *params, *run_dir, *rsh, *interface, *xenstore;
	size_t spool;
	bool guest;
};

static struct runner runner;

static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{ "params", required_argument, NULL, 'p' },    { "run-dir", required_argument, NULL, 'd' },
		{ "rsh", required_argument, NULL, 'r' },       { "interface", required_argument, NULL, 'i' },
		{ "spool", required_argument, NULL, 's' },     { "guest", no_argument, NULL, 'g' },
		{ "xenstore", required_argument, NULL, 'x' },  { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", names, NULL)) != -1) {
		switch (c) {
		case 'p': options->params = optarg; break;
		case 'd': options->run_dir = optarg; break;
		case 'r': options->rsh = optarg; break;
		case 'i': options->interface = optarg; break;
		case 's': options->spool = strtoul(optarg, NULL, 10); break;
		case 'g': options->guest = true; break;
		case 'x': options->xenstore = optarg; break;
		case 'h': fputs(usage, stdout); exit(0);
		default: fputs(usage, stderr); return -1;
		}
	}
	/* the kernel gives PID 1 words of its command line that it does not know: no reason to die */
	if (optind < argc && getpid() != 1) {
		fprintf(stderr, "fermata-runner: '%s'?\n%s", argv[optind], usage);
		return -1;
	}
	if (options->spool < SPOOL_MIN) {
		fprintf(stderr, "fermata-runner: --spool: at least %u\n", SPOOL_MIN);
		return -1;
	}
	return 0;
}

/* ---- start ------------------------------------------------------------------------- */

/* 0, 1 and 2 must be taken before anything else is opened. */
static void open_standard(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	if (fd < 0)
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < 3)
		fd = dup(fd);
	if (fd >= 3)
		close(fd);
}

/* The agent writes them before it lets the domain run; a moment's grace costs nothing. */
static int load_from_xenstore(struct params *params, struct fm_error *err)
{
	struct timespec pause = { .tv_nsec = PARAMS_POLL_MS * 1000000L };
	FM_AUTO_FREE char *text = NULL;
	size_t size;

	for (int waited = 0; waited < PARAMS_WAIT_MS; waited += PARAMS_POLL_MS) {
		text = xenstore_read(XENSTORE_DEVICE, PARAMS_KEY, &size, err);
		if (text)
			return params_parse(params, text, size, err) ? fm_context(err, PARAMS_KEY) : 0;
		if (err->code != FM_NOT_FOUND)
			return -1;
		nanosleep(&pause, NULL);
	}
	return -1;
}

/* The runner's own link to itself: whatever the image has, it is found there under that name. */
static int link_self(const struct options *options, const char *name, char path[PATH_MAX], struct fm_error *err)
{
	char self[PATH_MAX];
	ssize_t n;

	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return fm_fail(err, FM_FAILED, "/proc/self/exe: %s", strerror(errno));
	self[n] = 0;
	if (snprintf(path, PATH_MAX, "%s/%s", options->run_dir, name) >= PATH_MAX)
		return fm_fail(err, FM_USAGE, "--run-dir is too long");
	unlink(path);
	if (symlink(self, path))
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	return 0;
}

/* What the kernel starts when the hypervisor asks for an orderly end (xl shutdown). */
static int arrange_power_off(const struct options *options, struct fm_error *err)
{
	char path[PATH_MAX];
	FM_AUTO_CLOSE int fd = open("/proc/sys/kernel/poweroff_cmd", O_WRONLY | O_CLOEXEC);

	if (link_self(options, NAME_POWER_OFF, path, err))
		return -1;
	if (fd >= 0 && fm_write_all(fd, path, strlen(path)))
		fm_warning("poweroff_cmd: %s", strerror(errno)); /* then it has to be destroyed */
	return 0;
}

static int set_up(const struct options *options, struct fm_error *err)
{
	static char rsh[PATH_MAX];
	static char *socket_path;

	runner.guest = options->guest;
	runner.spool_limit = options->spool;
	runner.run_dir = options->run_dir;
	if (options->params ? params_load(&runner.params, options->params, err) :
			      load_from_xenstore(&runner.params, err))
		return -1;
	if (runner.guest && (guest_identity(&runner.params, err) ||
			     guest_network(&runner.params, options->interface, err)))
		return -1;
	if (fm_mkdir_all(options->run_dir, 0755, err) || (runner.guest && arrange_power_off(options, err)))
		return -1;
	if (options->rsh)
		snprintf(rsh, sizeof(rsh), "%s", options->rsh);
	else if (link_self(options, NAME_RSH, rsh, err))
		return -1;
	chmod(options->run_dir, 0755); /* whatever the umask said: the user's programs must get through */
	socket_path = fm_format("%s/runner.sock", options->run_dir);
	if (!socket_path)
		return fm_fail(err, FM_FAILED, "out of memory");
	runner.paths.rsh = rsh;
	runner.paths.socket = socket_path;
	return 0;
}

/* ---- signals ------------------------------------------------------------------------ */

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		task_reaped(&runner, pid, status); /* others were orphans of the job's */
}

static void signals_ready(void *arg, uint32_t events)
{
	struct signalfd_siginfo info;
	const int *fd = arg;

	while (read(*fd, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo == SIGCHLD)
			reap();
		else
			loop_stop(runner.loop);
}

static int watch_signals(int *fd, struct fm_error *err)
{
	static const int wanted[] = { SIGCHLD, SIGTERM, SIGINT, SIGUSR1, SIGUSR2 };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		sigaddset(&set, wanted[i]);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	*fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (*fd < 0 || !watch_create(runner.loop, *fd, EPOLLIN, signals_ready, fd))
		return fm_fail(err, FM_FAILED, "signalfd: %s", strerror(errno));
	return 0;
}

/* ---- main ------------------------------------------------------------------------------ */

/* A guest without one runs its job all the same; a snapshot of it says so. */
static struct freezer *watch_for_cuts(const struct options *options)
{
	const char *device = options->xenstore ? options->xenstore : options->params ? NULL : XENSTORE_DEVICE;
	struct fm_error err;
	struct freezer *freezer = device ? freezer_create(runner.loop, device, &err) : NULL;

	if (device && !freezer)
		fm_warning("the job cannot be frozen for a cut: %s", err.text);
	return freezer;
}

static int serve(const struct options *options, struct fm_error *err)
{
	struct freezer *freezer;
	struct server *server;
	int signals, rc;

	runner.loop = loop_create();
	if (!runner.loop)
		return fm_fail(err, FM_FAILED, "epoll: %s", strerror(errno));
	if (watch_signals(&signals, err) || set_up(options, err))
		return -1;
	server = server_create(&runner, err);
	if (!server)
		return -1;
	freezer = watch_for_cuts(options);
	fm_info("job=%u rank=%u of %zu ready, port %u", runner.params.job, runner.params.rank,
		runner.params.node_count, runner.params.port);
	rc = loop_run(runner.loop);
	if (rc)
		fm_fail(err, FM_FAILED, "epoll: %s", strerror(errno));
	freezer_destroy(freezer);
	server_destroy(server);
	return rc;
}

int main(int argc, char **argv)
{
	struct options options = { .run_dir = "/run/fermata", .interface = "eth0", .spool = SPOOL_DEFAULT };
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	struct fm_error err = { 0 };
	int rc;

	if (!strcmp(name, NAME_RSH))
		return rsh_main(argc, argv);
	if (!strcmp(name, NAME_POWER_OFF))
		return kill(1, SIGUSR2) ? FM_FAILED : 0;
	if (argc > 1 && !strcmp(argv[1], "rsh"))
		return rsh_main(argc - 1, argv + 1);
	options.guest = getpid() == 1;
	if (parse_options(argc, argv, &options))
		return FM_USAGE;
	fm_log_init("fermata-runner", FM_LOG_INFO);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	rc = options.guest ? guest_mount(&err) : 0;
	open_standard();
	rc = rc || serve(&options, &err);
	if (rc)
		fm_err("%s", err.text);
	if (getpid() == 1)
		guest_power_off();
	return rc ? FM_FAILED : 0;
}
