/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * relay.c - see relay.h.
 *
 * One poll() loop over the connection, the three standard fds and a signalfd.
 * A connection is given up (LOST) on any failure of its own; everything that
 * must survive it is in struct fm_relay by offset or sequence number.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "agent/runner/relay.h"
#include "agent/runner/relay_io.h"
#include "common/cleanup.h"

#define SIGNALS_MAX 64
#define PENDING_HIGH (256u * 1024)
#define ACK_AFTER (64u * 1024)

enum { AT_SIGNALS, AT_IN, AT_OUT, AT_ERR, AT_CONNECTION, AT_COUNT };

struct fm_relay {
	struct fm_request *request;
	const char *who;
	int signals;
	struct {
		uint64_t sequence;
		uint8_t number;
	} signal[SIGNALS_MAX]; /* not yet acknowledged */
	size_t signal_count;
	uint64_t signal_last;
	long ping_ms, lost_ms; /* 0: never */
	bool exited, complained;
	struct fm_exit exit;
	struct relay_input input;
	struct relay_output output[2];
};

/* One connection's own state. */
struct conversation {
	struct fm_frames *frames;
	bool attached;
	bool done_sent;
	uint64_t signal_sent; /* the last one sent on this connection */
	bool closed[2];       /* CLOSE sent */
	int64_t heard_ms, ping_ms;
	bool lost, refused;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- making one ------------------------------------------------------------------ */

void fm_relay_guard_fds(void)
{
	int fd = open("/dev/null", O_RDWR);

	while (fd >= 0 && fd <= STDERR_FILENO)
		fd = dup(fd);
	if (fd > STDERR_FILENO)
		close(fd);
}

/* Everything one may send a program to tell it something; not what tells of its own faults. */
static void signals_to_pass(sigset_t *set)
{
	static const int own[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS,
				   SIGCHLD, SIGPIPE, SIGTTIN, SIGTTOU, SIGWINCH, SIGURG, SIGIO };

	sigfillset(set);
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		sigdelset(set, own[i]);
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool is_null_device(int fd)
{
	struct stat st;

	return fstat(fd, &st) || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
}

struct fm_relay *fm_relay_create(struct fm_request *request, const char *who, struct fm_error *err)
{
	struct fm_relay *relay = calloc(1, sizeof(*relay));
	sigset_t set;

	if (!relay) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	relay->request = request;
	relay->who = who;
	signals_to_pass(&set);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	relay->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (relay->signals < 0) {
		fm_fail(err, FM_FAILED, "signalfd: %s", strerror(errno));
		free(relay);
		return NULL;
	}
	relay_input_init(&relay->input, STDIN_FILENO);
	relay_output_init(&relay->output[0], STDOUT_FILENO);
	relay_output_init(&relay->output[1], STDERR_FILENO);
	if (is_null_device(STDIN_FILENO)) {
		request->flags |= FM_REQUEST_STDIN_NULL;
		relay->input.eof = true;
	}
	if (same_file(STDOUT_FILENO, STDERR_FILENO))
		request->flags |= FM_REQUEST_MERGE;
	request->flags |= FM_REQUEST_FRESH;
	fm_random(&request->client, sizeof(request->client));
	return relay;
}

void fm_relay_destroy(struct fm_relay *relay)
{
	if (!relay)
		return;
	close(relay->signals);
	free(relay);
}

void fm_relay_set_keepalive(struct fm_relay *relay, long ping_ms, long lost_ms)
{
	relay->ping_ms = ping_ms;
	relay->lost_ms = lost_ms;
}

void fm_relay_say(const struct fm_relay *relay, const char *text)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%s: %s\n", relay->who, text);

	if (n >= (int)sizeof(line)) {
		n = sizeof(line) - 1;
		line[n - 1] = '\n';
	}
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* there is nobody to tell */
}

/* ---- local events ----------------------------------------------------------------- */

static void read_signals(struct fm_relay *relay)
{
	struct signalfd_siginfo info;

	while (read(relay->signals, &info, sizeof(info)) == sizeof(info)) {
		if (relay->signal_count == SIGNALS_MAX)
			continue; /* unanswered ones by the dozen: one more says nothing new */
		relay->signal[relay->signal_count].sequence = ++relay->signal_last;
		relay->signal[relay->signal_count].number = (uint8_t)info.ssi_signo;
		relay->signal_count++;
	}
}

static void write_output(struct fm_relay *relay, struct relay_output *output)
{
	relay_output_write(output);
	/* a reader that went away (EPIPE) did so on purpose; anything else its owner should know */
	if (output->failed && output->failed != EPIPE && output->fd == STDOUT_FILENO && !relay->complained) {
		char text[256];

		relay->complained = true;
		snprintf(text, sizeof(text), "writing the job's output: %s; what follows is lost",
			 strerror(output->failed));
		fm_relay_say(relay, text);
	}
}

/* One round of poll(); connection events are left in the last pollfd. */
static void wait_events(struct fm_relay *relay, struct pollfd *connection, long timeout_ms)
{
	struct pollfd pfd[AT_COUNT] = {
		[AT_SIGNALS] = { .fd = relay->signals, .events = POLLIN },
		[AT_IN] = { .fd = connection->fd >= 0 && relay_input_wants(&relay->input) ? relay->input.fd : -1,
			      .events = POLLIN },
		[AT_OUT] = { .fd = relay_output_waiting(&relay->output[0]) ? relay->output[0].fd : -1,
			       .events = POLLOUT },
		[AT_ERR] = { .fd = relay_output_waiting(&relay->output[1]) ? relay->output[1].fd : -1,
			       .events = POLLOUT },
		[AT_CONNECTION] = *connection,
	};

	connection->revents = 0;
	if (poll(pfd, AT_COUNT, timeout_ms > 3600000 ? 3600000 : (int)timeout_ms) <= 0)
		return;
	if (pfd[AT_SIGNALS].revents)
		read_signals(relay);
	if (pfd[AT_IN].revents)
		relay_input_read(&relay->input);
	for (int i = 0; i < 2; i++)
		if (pfd[AT_OUT + i].revents)
			write_output(relay, &relay->output[i]);
	connection->revents = pfd[AT_CONNECTION].revents;
}

void fm_relay_pause(struct fm_relay *relay, long ms)
{
	int64_t until = now_ms() + ms;
	struct pollfd none = { .fd = -1 };

	for (int64_t left = ms; left > 0; left = until - now_ms())
		wait_events(relay, &none, left);
}

/* ---- frames from the runner --------------------------------------------------------- */

static void say_lost(struct fm_relay *relay, int stream, uint64_t bytes)
{
	char text[160];

	snprintf(text, sizeof(text), "%llu bytes of %s are missing here: they were no longer kept",
		 (unsigned long long)bytes, stream == FM_STDERR ? "stderr" : "the output");
	fm_relay_say(relay, text);
}

static int on_task(struct fm_relay *relay, struct conversation *talk, const uint8_t *payload, size_t size)
{
	if (size != 25 || talk->attached)
		return -1;
	for (int i = 0; i < 2; i++) {
		uint64_t from = fm_get_u64(payload + 1 + 8 * i);
		struct relay_output *output = &relay->output[i];

		if (from > output->received) {
			say_lost(relay, i + 1, from - output->received);
			output->received = from;
		}
		output->told = from;
	}
	if (payload[0] & FM_TASK_STDIN_CLOSED)
		relay->input.gone = true;
	if (relay_input_attach(&relay->input, fm_get_u64(payload + 17)))
		fm_relay_say(relay, "the job went back to an earlier moment; its input cannot be repeated");
	talk->attached = true;
	/* from now on the task is known to exist, and where to go on */
	relay->request->flags = (relay->request->flags & ~(uint32_t)FM_REQUEST_FRESH) | FM_REQUEST_MUST_EXIST;
	return 0;
}

static int on_acknowledge(struct fm_relay *relay, const uint8_t *payload, size_t size)
{
	uint64_t offset;
	size_t gone = 0;

	if (size != 9)
		return -1;
	offset = fm_get_u64(payload + 1);
	if (payload[0] == FM_STDIN) {
		relay_input_taken(&relay->input, offset);
		return 0;
	}
	if (payload[0] != FM_SIGNALS)
		return -1;
	while (gone < relay->signal_count && relay->signal[gone].sequence <= offset)
		gone++;
	relay->signal_count -= gone;
	memmove(relay->signal, relay->signal + gone, relay->signal_count * sizeof(*relay->signal));
	return 0;
}

static int on_output(struct fm_relay *relay, const uint8_t *payload, size_t size)
{
	if (size < 9 || payload[0] < FM_STDOUT || payload[0] > FM_STDERR)
		return -1;
	return relay_output_put(&relay->output[payload[0] - 1], fm_get_u64(payload + 1), payload + 9, size - 9);
}

static int on_exit_frame(struct fm_relay *relay, const uint8_t *payload, size_t size)
{
	if (size != 2 || payload[0] > FM_EXIT_SIGNAL)
		return -1;
	relay->exit.kind = payload[0];
	relay->exit.value = payload[1];
	relay->exited = true;
	return 0;
}

static int on_frame(struct fm_relay *relay, struct conversation *talk, enum fm_frame_type type,
		    const uint8_t *payload, size_t size, struct fm_error *err)
{
	switch (type) {
	case FM_FRAME_TASK:
		return on_task(relay, talk, payload, size);
	case FM_FRAME_OUTPUT:
		return on_output(relay, payload, size);
	case FM_FRAME_ACK:
		return on_acknowledge(relay, payload, size);
	case FM_FRAME_EXIT:
		return on_exit_frame(relay, payload, size);
	case FM_FRAME_PING:
		return fm_frames_put(talk->frames, FM_FRAME_PONG, NULL, 0, NULL, 0);
	case FM_FRAME_PONG:
		return 0;
	case FM_FRAME_ERROR:
		talk->refused = true;
		return fm_frames_get_error(payload, size, err);
	default:
		return -1;
	}
}

static void read_connection(struct fm_relay *relay, struct conversation *talk, struct fm_error *err)
{
	enum fm_frame_type type;
	const uint8_t *payload;
	size_t size;
	int got;

	if (fm_frames_fill(talk->frames) < 0) {
		fm_fail(err, FM_NOT_FOUND, "the connection ended%s%s", errno ? ": " : "", errno ? strerror(errno) : "");
		talk->lost = true;
		return;
	}
	talk->heard_ms = now_ms();
	while ((got = fm_frames_next(talk->frames, &type, &payload, &size)) != 0) {
		fm_fail(err, FM_FAILED, "the runner does not follow the protocol");
		if (got < 0 || on_frame(relay, talk, type, payload, size, err)) {
			talk->lost = !talk->refused;
			return;
		}
	}
}

/* ---- frames to the runner ------------------------------------------------------------ */

static int send_request(struct fm_relay *relay, struct conversation *talk, struct fm_error *err)
{
	FM_AUTO_FREE uint8_t *blob = NULL;
	size_t size;

	for (int i = 0; i < 2; i++)
		relay->request->from[i + 1] = relay->output[i].received;
	blob = fm_request_encode(relay->request, &size, err);
	if (!blob)
		return -1;
	for (size_t at = 0; at < size; at += FM_FRAME_MAX) {
		size_t n = size - at < FM_FRAME_MAX ? size - at : FM_FRAME_MAX;

		if (fm_frames_put(talk->frames, FM_FRAME_START, blob + at, n, NULL, 0))
			return fm_fail(err, FM_FAILED, "out of memory");
	}
	if (fm_frames_put(talk->frames, FM_FRAME_START, NULL, 0, NULL, 0))
		return fm_fail(err, FM_FAILED, "out of memory");
	return 0;
}

static void send_input(struct fm_relay *relay, struct conversation *talk)
{
	struct relay_input *input = &relay->input;
	uint8_t head[8];
	const void *data;
	size_t n;

	while (fm_frames_pending(talk->frames) < PENDING_HIGH && (n = relay_input_next(input, &data))) {
		fm_put_u64(head, input->sent);
		if (fm_frames_put(talk->frames, FM_FRAME_STDIN, head, sizeof(head), data, n))
			return;
		input->sent += n;
	}
	if (input->eof && !input->eof_sent && !input->gone &&
	    input->sent == input->base + (input->end - input->begin)) {
		fm_put_u64(head, input->sent);
		input->eof_sent = !fm_frames_put(talk->frames, FM_FRAME_STDIN, head, sizeof(head), NULL, 0);
	}
}

static void send_acknowledgements(struct fm_relay *relay, struct conversation *talk)
{
	for (int i = 0; i < 2; i++) {
		struct relay_output *output = &relay->output[i];
		uint64_t written = relay_output_written(output);

		if (written == output->told || (written - output->told < ACK_AFTER && relay_output_waiting(output)))
			continue;
		if (!fm_frames_put_offset(talk->frames, FM_FRAME_ACK, i + 1, written, NULL, 0))
			output->told = written;
	}
}

/* What read our output has gone: the task is to notice, as it would have without us. */
static void send_closes(struct fm_relay *relay, struct conversation *talk)
{
	for (int i = 0; i < 2; i++) {
		uint8_t stream = (uint8_t)(i + 1);

		if (relay->output[i].failed == EPIPE && !talk->closed[i])
			talk->closed[i] = !fm_frames_put(talk->frames, FM_FRAME_CLOSE, &stream, 1, NULL, 0);
	}
}

static void send_signals(struct fm_relay *relay, struct conversation *talk)
{
	for (size_t i = 0; i < relay->signal_count; i++) {
		uint8_t body[9];

		if (relay->signal[i].sequence <= talk->signal_sent)
			continue;
		fm_put_u64(body, relay->signal[i].sequence);
		body[8] = relay->signal[i].number;
		if (fm_frames_put(talk->frames, FM_FRAME_SIGNAL, body, sizeof(body), NULL, 0))
			return;
		talk->signal_sent = relay->signal[i].sequence;
	}
}

static void send_ping(struct fm_relay *relay, struct conversation *talk, struct fm_error *err)
{
	int64_t now = now_ms();

	if (!relay->ping_ms)
		return;
	if (now - talk->heard_ms > relay->lost_ms) {
		fm_fail(err, FM_TIMEOUT, "the runner has not answered for %ld s", relay->lost_ms / 1000);
		talk->lost = true;
	} else if (now - talk->heard_ms >= relay->ping_ms && now - talk->ping_ms >= relay->ping_ms) {
		fm_frames_put(talk->frames, FM_FRAME_PING, NULL, 0, NULL, 0);
		talk->ping_ms = now;
	}
}

static void send_frames(struct fm_relay *relay, struct conversation *talk, struct fm_error *err)
{
	if (talk->attached) {
		send_input(relay, talk);
		send_acknowledgements(relay, talk);
		send_signals(relay, talk);
		send_closes(relay, talk);
	}
	if (relay->exited && !talk->done_sent && !relay_output_waiting(&relay->output[0]) &&
	    !relay_output_waiting(&relay->output[1]))
		talk->done_sent = !fm_frames_put(talk->frames, FM_FRAME_DONE, NULL, 0, NULL, 0);
	send_ping(relay, talk, err);
	if (fm_frames_flush(talk->frames)) {
		fm_fail(err, FM_NOT_FOUND, "the connection ended: %s", strerror(errno));
		talk->lost = true;
	}
}

/* ---- the loop -------------------------------------------------------------------------- */

static void converse(struct fm_relay *relay, struct conversation *talk, struct fm_error *err)
{
	while (!talk->lost && !talk->refused) {
		struct pollfd connection = { .fd = talk->frames->fd, .events = POLLIN };

		send_frames(relay, talk, err);
		if (talk->lost || (talk->done_sent && !fm_frames_pending(talk->frames)))
			return;
		if (fm_frames_pending(talk->frames))
			connection.events |= POLLOUT;
		wait_events(relay, &connection, relay->ping_ms ? relay->ping_ms : 3600000);
		if (connection.revents & (POLLIN | POLLHUP | POLLERR))
			read_connection(relay, talk, err);
	}
}

enum fm_relay_result fm_relay_run(struct fm_relay *relay, struct fm_frames *frames, struct fm_error *err)
{
	struct conversation talk = { .frames = frames, .heard_ms = now_ms(), .ping_ms = now_ms() };

	if (send_request(relay, &talk, err))
		talk.refused = true;
	converse(relay, &talk, err);
	fm_frames_dispose(frames);
	if (relay->exited) { /* whatever became of the connection: nothing more will come */
		struct pollfd none = { .fd = -1 };

		while (relay_output_waiting(&relay->output[0]) || relay_output_waiting(&relay->output[1]))
			wait_events(relay, &none, 3600000);
		return FM_RELAY_EXITED;
	}
	return talk.refused ? FM_RELAY_REFUSED : FM_RELAY_LOST;
}

uint64_t fm_relay_progress(const struct fm_relay *relay)
{
	return relay->output[0].received + relay->output[1].received + relay->input.base;
}

const struct fm_exit *fm_relay_exit(const struct fm_relay *relay)
{
	return &relay->exit;
}

void fm_relay_end_like(const struct fm_exit *status)
{
	struct rlimit none = { 0, 0 };
	sigset_t set;

	if (status->kind == FM_EXIT_CODE)
		_exit(status->value);
	setrlimit(RLIMIT_CORE, &none); /* the core worth having is the task's */
	signal(status->value, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, status->value);
	kill(getpid(), status->value);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	_exit(128 + status->value); /* a signal that does not kill */
}
