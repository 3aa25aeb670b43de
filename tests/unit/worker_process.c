/* SPDX-License-Identifier: GPL-2.0-or-later */
/* worker_process.c - see worker_process.h. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

#define WAIT_MS 20000

char *worker_folder(void)
{
	char *folder = strdup("/tmp/worker-test.XXXXXX");

	assert_non_null(folder);
	assert_non_null(mkdtemp(folder));
	return folder;
}

void worker_folder_remove(char *folder)
{
	struct fm_error err;

	assert_int_equal(fm_remove_tree(folder, &err), 0);
	free(folder);
}

void worker_start(struct worker_process *w)
{
	int in[2], out[2];

	memset(w, 0, sizeof(*w));
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	w->pid = fork();
	assert_true(w->pid >= 0);
	if (w->pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execl(FM_TEST_WORKER, "fermata-worker", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	w->in = in[1];
	w->out = out[0];
}

static void send_text(struct worker_process *w, const char *text)
{
	assert_int_equal(fm_write_all(w->in, text, strlen(text)), 0);
	assert_int_equal(fm_write_all(w->in, "\n", 1), 0);
}

void worker_send(struct worker_process *w, const char *fmt, ...)
{
	FM_AUTO_FREE char *text = NULL;
	va_list args;

	va_start(args, fmt);
	assert_true(vasprintf(&text, fmt, args) >= 0);
	va_end(args);
	send_text(w, text);
}

void worker_request(struct worker_process *w, const char *folder, const char *fmt, ...)
{
	FM_AUTO_FREE char *fields = NULL;
	va_list args;

	va_start(args, fmt);
	assert_true(vasprintf(&fields, fmt, args) >= 0);
	va_end(args);
	worker_start(w);
	worker_send(w, "{\"driver\":\"sim\",\"rundir\":\"%s\",%s}", folder, fields);
}

/* Up to the next newline; 0 at the end of file. */
static size_t read_line(struct worker_process *w, char *line)
{
	for (;;) {
		struct pollfd p = { .fd = w->out, .events = POLLIN };
		char *newline = memchr(w->line, '\n', w->used);
		ssize_t n;

		if (newline) {
			size_t length = (size_t)(newline - w->line) + 1;

			memcpy(line, w->line, length);
			line[length - 1] = '\0';
			memmove(w->line, w->line + length, w->used - length);
			w->used -= length;
			return length - 1;
		}
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		n = read(w->out, w->line + w->used, sizeof(w->line) - w->used);
		assert_true(n >= 0);
		if (n == 0)
			return 0;
		w->used += (size_t)n;
	}
}

static struct json_object *read_event(struct worker_process *w)
{
	FM_AUTO_FREE char *line = malloc(sizeof(w->line));
	struct json_object *o;
	struct fm_error err;
	size_t length;

	assert_non_null(line);
	length = read_line(w, line);
	if (length == 0)
		fail_msg("the worker ended without a word");
	o = fm_json_parse(line, length, &err);
	if (!o)
		fail_msg("no JSON: %s", line);
	return o;
}

struct json_object *worker_any_event(struct worker_process *w)
{
	for (;;) {
		struct json_object *o = read_event(w);

		if (strcmp(fm_json_string_or(o, "event", ""), "progress") != 0)
			return o;
		json_object_put(o);
	}
}

struct json_object *worker_event(struct worker_process *w, const char *event)
{
	struct json_object *o = worker_any_event(w);

	if (strcmp(fm_json_string_or(o, "event", ""), event) != 0)
		fail_msg("awaited \"%s\", got %s", event, fm_json_text(o));
	return o;
}

void worker_expect(struct worker_process *w, const char *event)
{
	json_object_put(worker_event(w, event));
}

void worker_expect_error(struct worker_process *w, int code, const char *part)
{
	FM_AUTO_JSON struct json_object *o = worker_event(w, "error");
	const char *text = fm_json_string_or(o, "text", "");

	if (fm_json_int_or(o, "code", -1) != code || !strstr(text, part))
		fail_msg("awaited code %d, \"…%s…\", got %s", code, part, fm_json_text(o));
}

void worker_hang_up(struct worker_process *w)
{
	fm_cleanup_close(&w->in);
	w->in = -1;
}

void worker_end(struct worker_process *w, int status)
{
	FM_AUTO_FREE char *line = malloc(sizeof(w->line));
	int is;

	assert_non_null(line);
	while (read_line(w, line) != 0)
		if (!strstr(line, "\"progress\"")) /* the pump's thread may have had one on its tongue */
			fail_msg("nothing more was awaited, got %s", line);
	assert_int_equal(w->used, 0);
	assert_int_equal(waitpid(w->pid, &is, 0), w->pid);
	assert_int_equal(WIFSIGNALED(is) ? -WTERMSIG(is) : WEXITSTATUS(is), status);
	worker_hang_up(w);
	close(w->out);
}

void worker_make_domain(const char *folder, const char *name, int mib)
{
	struct worker_process w;

	worker_request(&w, folder,
		       "\"op\":\"create\",\"name\":\"%s\",\"kernel\":\"/none\",\"memory_mib\":%d,\"vcpus\":1,"
		       "\"vifs\":[{\"mac\":\"00:16:3e:00:00:01\",\"bridge\":\"br0\"}],"
		       "\"params\":{\"params\":{\"rank\":0}}", name, mib);
	worker_expect(&w, "created");
	worker_send(&w, "{\"cmd\":\"release\"}");
	worker_expect(&w, "running");
	worker_end(&w, 0);
}

const char *worker_domain_state(const char *folder, const char *name)
{
	static char state[32];
	struct worker_process w;
	struct json_object *domains;
	const char *found = NULL;

	worker_request(&w, folder, "\"op\":\"list\"");
	FM_AUTO_JSON struct json_object *o = worker_event(&w, "domains");
	worker_end(&w, 0);
	domains = json_object_object_get(o, "domains");
	for (size_t i = 0; i < json_object_array_length(domains); i++) {
		struct json_object *d = json_object_array_get_idx(domains, i);

		if (strcmp(fm_json_string_or(d, "name", ""), name) != 0)
			continue;
		snprintf(state, sizeof(state), "%s", fm_json_string_or(d, "state", ""));
		found = state;
	}
	return found;
}

void worker_inject(const char *folder, const char *entries)
{
	FM_AUTO_FREE char *path = fm_format("%s/sim/inject", folder);
	struct fm_error err;

	if (!entries)
		assert_int_equal(unlink(path), 0);
	else
		assert_int_equal(fm_file_write(path, 0600, entries, strlen(entries), &err), 0);
}
