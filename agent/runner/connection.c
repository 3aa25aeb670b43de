/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * connection.c - see connection.h.
 *
 * States: HELLO (waiting for the client's proof; bounded in time, size and
 * number), REQUEST (collecting START), ATTACHED, CLOSING: the last word, often
 * an ERROR, is written, then the client's end is waited for.  (Closing at once
 * with something of the client's unread would reset the connection, and the
 * word could be lost with it.)
 * A later client of the same task takes the place of the earlier one: what
 * looks alive here may be the shim of a node that is gone.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/runner/connection.h"
#include "agent/runner/frames.h"
#include "agent/runner/task.h"
#include "common/log.h"

#define PROOF_MS 10000
#define CLOSING_MS 5000
#define PENDING_HIGH (192u * 1024) /* no more output is queued above */
#define PENDING_STOP (512u * 1024) /* nor anything read */

enum state { STATE_HELLO, STATE_REQUEST, STATE_ATTACHED, STATE_CLOSING };

struct connection {
	struct runner *runner;
	struct fm_frames frames;
	struct watch *watch;
	struct timer *timer;
	enum state state;
	uint8_t nonce[FM_NONCE_SIZE];
	uint8_t *blob; /* START so far */
	size_t blob_size;
	struct task *task;
	uint64_t client;
	uint64_t sent[3], acknowledged[3]; /* by stream; [0]: stdin acknowledged to the client */
	bool exit_sent, finished, shut;
};

static void pump(struct connection *connection);

/* ---- life ------------------------------------------------------------------------ */

static void detach(struct connection *connection)
{
	struct task *task = connection->task;

	if (!task)
		return;
	connection->task = NULL;
	task->connection = NULL;
	if (task->ephemeral)
		task_hang_up(task);
	else if (!connection->finished)
		task_left_alone(task);
	else if (strcmp(task->id, TASK_BATCH) != 0)
		task_destroy(task);
}

static void connection_destroy(struct connection *connection)
{
	struct runner *runner = connection->runner;

	detach(connection);
	timer_cancel(&connection->timer);
	watch_destroy(connection->watch);
	fm_frames_dispose(&connection->frames);
	runner->connection_count--;
	if (connection->state == STATE_HELLO)
		runner->stranger_count--;
	free(connection->blob);
	free(connection);
}

static void overdue(void *arg)
{
	struct connection *connection = arg;

	connection->timer = NULL;
	connection_destroy(connection);
}

static void leave_hello(struct connection *connection, enum state state)
{
	if (connection->state == STATE_HELLO) {
		connection->runner->stranger_count--;
		timer_cancel(&connection->timer);
		connection->frames.limit = FM_FRAME_MAX;
	}
	connection->state = state;
}

static void finish(struct connection *connection)
{
	leave_hello(connection, STATE_CLOSING);
	detach(connection);
	connection->timer = timer_start(connection->runner->loop, CLOSING_MS, overdue, connection);
}

static void refuse(struct connection *connection, const struct fm_error *err)
{
	fm_frames_put_error(&connection->frames, err);
	finish(connection);
}

/* ---- frames from the client -------------------------------------------------------- */

static int on_auth(struct connection *connection, const uint8_t *payload, size_t size, struct fm_error *err)
{
	const uint8_t *token = connection->runner->params.token;
	uint8_t mac[FM_MAC_SIZE];

	if (size != FM_NONCE_SIZE + FM_MAC_SIZE)
		return fm_fail(err, FM_DENIED, "a malformed proof");
	fm_auth_mac(token, FM_SIDE_CLIENT, connection->nonce, payload, mac);
	if (!fm_mac_equal(mac, payload + FM_NONCE_SIZE))
		return fm_fail(err, FM_DENIED, "this is not the job's token");
	fm_auth_mac(token, FM_SIDE_SERVER, connection->nonce, payload, mac);
	if (fm_frames_put(&connection->frames, FM_FRAME_WELCOME, mac, sizeof(mac), NULL, 0))
		return fm_fail(err, FM_FAILED, "out of memory");
	leave_hello(connection, STATE_REQUEST);
	return 0;
}

static struct task *find_or_start(struct connection *connection, const struct fm_request *request,
				  bool *existed_r, struct fm_error *err)
{
	struct runner *runner = connection->runner;
	struct task *task = request->flags & FM_REQUEST_EPHEMERAL ? NULL : task_find(runner, request->id);

	*existed_r = task != NULL;
	if (task)
		return task;
	if (request->flags & FM_REQUEST_MUST_EXIST) {
		fm_fail(err, FM_NOT_FOUND, "there is no task '%s' (any more)", request->id);
		return NULL;
	}
	return task_start(runner, request, err);
}

static void take_over(struct task *task)
{
	struct connection *old = task->connection;
	struct fm_error err;

	if (!old)
		return;
	old->task = NULL;
	task->connection = NULL;
	fm_fail(&err, FM_BUSY, "another client has taken over task '%s'", task->id);
	refuse(old, &err);
	pump(old);
}

static void attach(struct connection *connection, struct task *task, const struct fm_request *request, bool existed)
{
	uint8_t answer[25];
	bool gone = task->in < 0 && !task->in_eof;

	take_over(task);
	connection->task = task;
	connection->client = request->client;
	task->connection = connection;
	task->changed = pump;
	task_attended(task);
	answer[0] = (uint8_t)((existed ? FM_TASK_EXISTED : 0) | (gone ? FM_TASK_STDIN_CLOSED : 0));
	for (int i = 1; i <= 2; i++) {
		struct spool *spool = task->stream[i - 1].spool;
		uint64_t wanted = request->flags & FM_REQUEST_FRESH ? 0 : request->from[i];
		uint64_t from = spool_rewind(spool, wanted);

		connection->sent[i] = connection->acknowledged[i] = from;
		fm_put_u64(answer + 1 + 8 * (i - 1), from);
	}
	connection->sent[FM_STDIN] = task->in_received;
	fm_put_u64(answer + 17, task->in_received);
	connection->state = STATE_ATTACHED;
	if (fm_frames_put(&connection->frames, FM_FRAME_TASK, answer, sizeof(answer), NULL, 0))
		shutdown(connection->frames.fd, SHUT_RDWR);
}

static int on_start(struct connection *connection, const uint8_t *payload, size_t size, struct fm_error *err)
{
	struct fm_request request;
	struct task *task = NULL;
	bool existed;

	if (size) {
		uint8_t *grown;

		if (connection->blob_size + size > FM_REQUEST_MAX)
			return fm_fail(err, FM_USAGE, "a request of more than %u bytes", FM_REQUEST_MAX);
		grown = realloc(connection->blob, connection->blob_size + size);
		if (!grown)
			return fm_fail(err, FM_FAILED, "out of memory");
		memcpy(grown + connection->blob_size, payload, size);
		connection->blob = grown;
		connection->blob_size += size;
		return 0;
	}
	if (!fm_request_decode(&request, connection->blob, connection->blob_size, err)) {
		task = find_or_start(connection, &request, &existed, err);
		if (task)
			attach(connection, task, &request, existed);
	}
	fm_request_dispose(&request);
	free(connection->blob);
	connection->blob = NULL;
	connection->blob_size = 0;
	return task ? 0 : -1;
}

static int on_acknowledge(struct connection *connection, const uint8_t *payload, size_t size, struct fm_error *err)
{
	uint64_t offset;
	unsigned stream;

	if (size != 9 || (stream = payload[0]) < FM_STDOUT || stream > FM_STDERR)
		return fm_fail(err, FM_USAGE, "a malformed acknowledgement");
	offset = fm_get_u64(payload + 1);
	if (offset < connection->acknowledged[stream] || offset > connection->sent[stream])
		return fm_fail(err, FM_USAGE, "an acknowledgement of what was not sent");
	connection->acknowledged[stream] = offset;
	task_acknowledge(connection->task, stream, offset);
	return 0;
}

static int on_attached(struct connection *connection, enum fm_frame_type type, const uint8_t *payload, size_t size,
		       struct fm_error *err)
{
	switch (type) {
	case FM_FRAME_ACK:
		return on_acknowledge(connection, payload, size, err);
	case FM_FRAME_STDIN:
		if (size < 8 || task_input(connection->task, fm_get_u64(payload), payload + 8, size - 8))
			return fm_fail(err, FM_USAGE, "input that does not follow what came before");
		return 0;
	case FM_FRAME_SIGNAL:
		if (size != 9)
			return fm_fail(err, FM_USAGE, "a malformed signal");
		task_signal(connection->task, connection->client, fm_get_u64(payload), payload[8]);
		return fm_frames_put_offset(&connection->frames, FM_FRAME_ACK, FM_SIGNALS, fm_get_u64(payload), NULL,
					    0);
	case FM_FRAME_CLOSE:
		if (size != 1 || payload[0] < FM_STDOUT || payload[0] > FM_STDERR)
			return fm_fail(err, FM_USAGE, "a malformed close");
		task_close_output(connection->task, payload[0]);
		return 0;
	case FM_FRAME_DONE:
		connection->finished = connection->exit_sent;
		finish(connection);
		return 0;
	default:
		return fm_fail(err, FM_USAGE, "an unexpected frame (%d)", type);
	}
}

static int on_frame(struct connection *connection, enum fm_frame_type type, const uint8_t *payload, size_t size,
		    struct fm_error *err)
{
	if (connection->state == STATE_HELLO && type == FM_FRAME_AUTH)
		return on_auth(connection, payload, size, err);
	if (connection->state == STATE_HELLO)
		return fm_fail(err, FM_DENIED, "a frame before the proof");
	if (type == FM_FRAME_PING)
		return fm_frames_put(&connection->frames, FM_FRAME_PONG, NULL, 0, NULL, 0);
	if (type == FM_FRAME_PONG)
		return 0;
	if (connection->state == STATE_REQUEST && type == FM_FRAME_START)
		return on_start(connection, payload, size, err);
	if (connection->state == STATE_ATTACHED)
		return on_attached(connection, type, payload, size, err);
	return fm_fail(err, FM_USAGE, "an unexpected frame (%d)", type);
}

/* ---- frames to the client ------------------------------------------------------------ */

static void pump_stream(struct connection *connection, enum fm_stream stream)
{
	const struct spool *spool = connection->task->stream[stream - 1].spool;

	while (fm_frames_pending(&connection->frames) < PENDING_HIGH) {
		uint64_t window = FM_WINDOW - (connection->sent[stream] - connection->acknowledged[stream]);
		const void *data;
		size_t n = spool_peek(spool, connection->sent[stream], &data);

		if (n > window)
			n = (size_t)window;
		if (n > FM_OUTPUT_MAX)
			n = FM_OUTPUT_MAX;
		if (!n || fm_frames_put_offset(&connection->frames, FM_FRAME_OUTPUT, stream,
					       connection->sent[stream], data, n))
			return;
		connection->sent[stream] += n;
	}
}

static void pump_input(struct connection *connection)
{
	const struct task *task = connection->task;
	uint64_t offset = task->in < 0 && !task->in_eof ? FM_STDIN_GONE : task->in_written;

	if (offset == connection->acknowledged[FM_STDIN])
		return;
	connection->acknowledged[FM_STDIN] = offset;
	fm_frames_put_offset(&connection->frames, FM_FRAME_ACK, FM_STDIN, offset, NULL, 0);
}

static void pump_exit(struct connection *connection)
{
	const struct task *task = connection->task;
	uint8_t status[2] = { (uint8_t)task->exit.kind, task->exit.value };

	if (connection->exit_sent || !task_is_over(task))
		return;
	for (int i = 0; i < 2; i++)
		if (connection->sent[i + 1] < spool_end(task->stream[i].spool))
			return;
	connection->exit_sent = true;
	fm_frames_put(&connection->frames, FM_FRAME_EXIT, status, sizeof(status), NULL, 0);
}

static void update_interest(struct connection *connection)
{
	size_t pending = fm_frames_pending(&connection->frames);

	watch_change(connection->watch, (pending < PENDING_STOP ? EPOLLIN : 0) | (pending ? EPOLLOUT : 0));
}

/* Never destroys: a failure shows in the connection's own event. */
static void pump(struct connection *connection)
{
	if (connection->state == STATE_ATTACHED) {
		pump_input(connection);
		pump_stream(connection, FM_STDOUT);
		pump_stream(connection, FM_STDERR);
		pump_exit(connection);
	}
	if (fm_frames_flush(&connection->frames)) {
		shutdown(connection->frames.fd, SHUT_RDWR);
		connection->frames.out_begin = connection->frames.out_end;
	} else if (connection->state == STATE_CLOSING && !connection->shut &&
		   !fm_frames_pending(&connection->frames)) {
		connection->shut = true;
		shutdown(connection->frames.fd, SHUT_WR);
	}
	update_interest(connection);
}

/* ---- events ------------------------------------------------------------------------------ */

static int read_frames(struct connection *connection)
{
	struct fm_error err;
	enum fm_frame_type type;
	const uint8_t *payload;
	size_t size;
	int got;

	if (fm_frames_fill(&connection->frames) < 0)
		return -1;
	while (connection->state != STATE_CLOSING &&
	       (got = fm_frames_next(&connection->frames, &type, &payload, &size)) != 0) {
		if (got < 0)
			fm_fail(&err, FM_USAGE, "a frame that is too long");
		if (got < 0 || on_frame(connection, type, payload, size, &err)) {
			refuse(connection, &err);
			return 0;
		}
	}
	if (connection->state == STATE_CLOSING)
		connection->frames.in_begin = connection->frames.in_end; /* no longer of interest */
	return 0;
}

static void connection_ready(void *arg, uint32_t events)
{
	struct connection *connection = arg;

	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && read_frames(connection)) {
		connection_destroy(connection);
		return;
	}
	pump(connection);
}

void connection_accept(struct runner *runner, int fd)
{
	struct connection *connection;
	uint8_t hello[1 + FM_NONCE_SIZE];

	if (runner->stranger_count >= RUNNER_STRANGERS_MAX || runner->connection_count >= RUNNER_CONNECTIONS_MAX ||
	    !(connection = calloc(1, sizeof(*connection)))) {
		close(fd);
		return;
	}
	connection->runner = runner;
	runner->connection_count++;
	runner->stranger_count++;
	if (fm_frames_init(&connection->frames, fd)) {
		close(fd);
		connection_destroy(connection);
		return;
	}
	connection->frames.limit = FM_FRAME_MAX_UNAUTHENTICATED;
	fm_random(connection->nonce, sizeof(connection->nonce));
	hello[0] = FM_PROTOCOL_VERSION;
	memcpy(hello + 1, connection->nonce, sizeof(connection->nonce));
	connection->watch = watch_create(runner->loop, fd, EPOLLIN, connection_ready, connection);
	connection->timer = timer_start(runner->loop, PROOF_MS, overdue, connection);
	if (!connection->watch || !connection->timer ||
	    fm_frames_put(&connection->frames, FM_FRAME_HELLO, hello, sizeof(hello), NULL, 0)) {
		connection_destroy(connection);
		return;
	}
	pump(connection);
}
