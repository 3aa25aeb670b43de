/* SPDX-License-Identifier: GPL-2.0-or-later */
/* task.c - a task's life: start, signals, end; see task.h. Its streams are in task_io.c. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/runner/cgroup.h"
#include "agent/runner/guest.h"
#include "agent/runner/spawn.h"
#include "agent/runner/task_io.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"

#define LINGER_MS 1000     /* how long output of processes left behind is waited for */
#define STOP_AFTER_MS 2000 /* Slurm's pause between SIGTSTP and SIGSTOP */
#define KILL_AFTER_MS 5000
#define ABANDONED_MS 15000 /* a shim that only lost its connection is back by then */

struct task *task_find(struct runner *runner, const char *id)
{
	for (struct task *task = runner->tasks; task; task = task->next)
		if (!task->ephemeral && !strcmp(task->id, id))
			return task;
	return NULL;
}

bool task_is_over(const struct task *task)
{
	return task->exited && task->stream[0].fd < 0 && task->stream[1].fd < 0;
}

/* ---- start ---------------------------------------------------------------- */

/* The script's content becomes a file of the user's, where nobody else can write. */
static int write_script(struct task *task, const struct fm_request *request, struct fm_error *err)
{
	const struct runner *runner = task->runner;
	FM_AUTO_FREE char *dir = fm_format("%s/%s", runner->run_dir, task->id);
	FM_AUTO_CLOSE int fd = -1;

	task->script_path = fm_format("%s/%s/slurm_script", runner->run_dir, task->id);
	if (!dir || !task->script_path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (mkdir(dir, 0755) && errno != EEXIST)
		return fm_fail(err, FM_FAILED, "%s: %s", dir, strerror(errno));
	fd = open(task->script_path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0700);
	if (fd < 0 || fm_write_all(fd, request->script, request->script_size) ||
	    (geteuid() == 0 && fchown(fd, runner->params.uid, runner->params.gid)))
		return fm_fail(err, FM_FAILED, "%s: %s", task->script_path, strerror(errno));
	return 0;
}

static const char *find_cwd(const struct task *task, const struct fm_request *request)
{
	const struct params *params = &task->runner->params;
	const char *cwd = request->cwd[0] ? request->cwd : params->home;
	struct fm_error err;

	/* the guest has none of the site's folders but what its image brings */
	if (task->runner->guest && cwd[0] == '/' && guest_make_dir(cwd, params->uid, params->gid, &err))
		fm_warning("job=%u task=%s %s", params->job, task->id, err.text);
	return cwd;
}

static int launch(struct task *task, const struct fm_request *request, struct task_pipes *pipes,
		  struct fm_error *err)
{
	struct runner *runner = task->runner;
	static char sh[] = "/bin/sh", dash_c[] = "-c";
	char *shell[] = { sh, dash_c, request->argv[0], NULL };
	FM_AUTO_FREE char **env = job_env_build(request->env, &runner->params, &runner->paths, err);
	struct spawn spawn = {
		.argv = request->flags & FM_REQUEST_SHELL ? shell : request->argv,
		.cwd = find_cwd(task, request),
		.cgroup = task->cgroup[0] ? task->cgroup : NULL,
		.umask = request->umask,
		.in = pipes->in[0],
		.out = pipes->out[1],
		.err = pipes->err[1] >= 0 ? pipes->err[1] : pipes->out[1],
	};
	char *first = request->argv[0];
	int rc;

	if (!env)
		return -1;
	spawn.env = env;
	if (task->script_path)
		request->argv[0] = task->script_path;
	rc = spawn_process(runner, &spawn, &task->pid, err);
	request->argv[0] = first;
	task->group = task->pid;
	return rc;
}

static struct task *task_create(struct runner *runner, const struct fm_request *request)
{
	struct task *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	task->runner = runner;
	task->ephemeral = request->flags & FM_REQUEST_EPHEMERAL;
	task->in = task->stream[0].fd = task->stream[1].fd = -1;
	task->stream[0].task = task->stream[1].task = task;
	if (task->ephemeral)
		snprintf(task->id, sizeof(task->id), "rsh.%u", ++runner->ephemeral_count);
	else
		memcpy(task->id, request->id, sizeof(task->id));
	if (task->ephemeral)
		snprintf(task->cgroup, sizeof(task->cgroup), "rsh"); /* one for all: daemons may stay in it */
	else
		snprintf(task->cgroup, sizeof(task->cgroup), "task.%s", task->id);
	if (!runner->guest || cgroup_create(task->cgroup))
		task->cgroup[0] = 0;
	task->next = runner->tasks;
	runner->tasks = task;
	runner->task_count++;
	return task;
}

struct task *task_start(struct runner *runner, const struct fm_request *request, struct fm_error *err)
{
	struct task_pipes pipes;
	struct task *task;

	if (runner->task_count >= RUNNER_TASKS_MAX) {
		fm_fail(err, FM_BUSY, "%u tasks already", runner->task_count);
		return NULL;
	}
	task = task_create(runner, request);
	if (!task) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	task_pipes_init(&pipes);
	if ((request->script && write_script(task, request, err)) ||
	    task_pipes_open(&pipes, &runner->params, request->flags, err) || launch(task, request, &pipes, err) ||
	    task_pipes_adopt(task, &pipes, err)) {
		if (task->pid > 0)
			kill(-task->group, SIGKILL);
		task_pipes_close(&pipes);
		task_destroy(task);
		return NULL;
	}
	task_pipes_close(&pipes);
	fm_info("job=%u task=%s started, pid %d", runner->params.job, task->id, (int)task->pid);
	return task;
}

void task_destroy(struct task *task)
{
	struct runner *runner = task->runner;

	for (struct task **at = &runner->tasks; *at; at = &(*at)->next)
		if (*at == task) {
			*at = task->next;
			runner->task_count--;
			break;
		}
	timer_cancel(&task->linger);
	timer_cancel(&task->stop);
	timer_cancel(&task->kill);
	task_io_dispose(task);
	if (task->script_path) {
		unlink(task->script_path);
		*strrchr(task->script_path, '/') = 0;
		rmdir(task->script_path);
		free(task->script_path);
	}
	if (task->cgroup[0] && !task->ephemeral)
		cgroup_remove(task->cgroup);
	free(task);
}

/* ---- signals ---------------------------------------------------------------- */

static void stop_due(void *arg)
{
	struct task *task = arg;

	task->stop = NULL;
	if (!task->exited)
		kill(-task->group, SIGSTOP);
}

static void kill_all(struct task *task)
{
	task->killed = true;
	if (task->ephemeral || !task->cgroup[0] || cgroup_kill(task->cgroup))
		kill(-task->group, SIGKILL);
}

void task_signal(struct task *task, uint64_t client, uint64_t sequence, int number)
{
	if (client != task->client) {
		task->client = client;
		task->signal_sequence = 0;
	}
	if (sequence <= task->signal_sequence)
		return;
	task->signal_sequence = sequence;
	if (task->exited || number < 1 || number >= NSIG)
		return;
	/*
	 * The group is an orphaned one (its session has no other), so SIGTSTP's
	 * default does not stop it; do what Slurm does: stop it a moment later.
	 */
	if (number == SIGTSTP && !task->stop)
		task->stop = timer_start(task->runner->loop, STOP_AFTER_MS, stop_due, task);
	if (number == SIGCONT || number == SIGKILL)
		timer_cancel(&task->stop);
	if (number == SIGTERM || number == SIGINT || number == SIGHUP)
		task->told_to_end = true;
	if (number == SIGKILL)
		kill_all(task);
	else
		kill(-task->group, number);
}

static void kill_due(void *arg)
{
	struct task *task = arg;

	task->kill = NULL;
	if (!task->exited)
		kill(-task->group, SIGKILL);
}

static void abandoned_due(void *arg)
{
	struct task *task = arg;

	task->kill = NULL;
	fm_info("job=%u task=%s killed, as its shim was", task->runner->params.job, task->id);
	kill_all(task);
}

void task_attended(struct task *task)
{
	timer_cancel(&task->kill);
}

/*
 * Slurm ends a step with SIGTERM, then SIGKILL; of the latter no shim can tell.
 * One that passed on the first and then is gone was killed.  (The batch task's
 * end is that of the guest.)
 */
void task_left_alone(struct task *task)
{
	if (task->told_to_end && !task->exited && !task->kill && strcmp(task->id, TASK_BATCH) != 0)
		task->kill = timer_start(task->runner->loop, ABANDONED_MS, abandoned_due, task);
}

void task_hang_up(struct task *task)
{
	if (task_is_over(task)) {
		task_destroy(task);
		return;
	}
	kill(-task->group, SIGHUP);
	kill(-task->group, SIGCONT);
	kill(-task->group, SIGTERM);
	task->kill = timer_start(task->runner->loop, KILL_AFTER_MS, kill_due, task);
}

/* ---- end ---------------------------------------------------------------------- */

static void task_over(struct task *task)
{
	timer_cancel(&task->linger);
	timer_cancel(&task->stop);
	timer_cancel(&task->kill);
	if (!task->ephemeral && !task->killed)
		kill_all(task); /* what a script leaves behind ends with it, as in Slurm */
	fm_info("job=%u task=%s over, %s %u", task->runner->params.job, task->id,
		task->exit.kind == FM_EXIT_SIGNAL ? "signal" : "exit code", task->exit.value);
	if (task->connection)
		task->changed(task->connection);
	else if (task->ephemeral)
		task_destroy(task);
}

void task_stream_ended(struct task *task)
{
	if (task_is_over(task))
		task_over(task);
}

/* The process has exited, but others hold its streams open. */
static void linger_due(void *arg)
{
	struct task *task = arg;

	task->linger = NULL;
	if (task->heard || task->stream[0].blocked || task->stream[1].blocked) {
		task->heard = false;
	} else if (!task->killed && !task->ephemeral) {
		kill_all(task);
	} else {
		task_streams_close(task);
		return;
	}
	task->linger = timer_start(task->runner->loop, LINGER_MS, linger_due, task);
}

bool task_reaped(struct runner *runner, pid_t pid, int status)
{
	struct task *task = runner->tasks;

	while (task && task->pid != pid)
		task = task->next;
	if (!task)
		return false;
	task->pid = 0;
	task->exited = true;
	if (WIFSIGNALED(status))
		task->exit = (struct fm_exit){ FM_EXIT_SIGNAL, (uint8_t)WTERMSIG(status) };
	else
		task->exit = (struct fm_exit){ FM_EXIT_CODE, (uint8_t)WEXITSTATUS(status) };
	task->heard = false;
	if (task_is_over(task))
		task_over(task);
	else
		task->linger = timer_start(runner->loop, LINGER_MS, linger_due, task);
	return true;
}
