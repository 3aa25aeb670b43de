/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * peer.c - see peer.h.
 *
 * States: RSH (waiting for the program's word), CONNECTING, HELLO, WELCOME
 * (proving the token to the other runner), CARRYING, CLOSING (what is queued
 * for the program is still written).  No keep-alive on the way to the peer: a
 * long hold of the network is no failure.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/runner/frames.h"
#include "agent/runner/peer.h"
#include "common/cleanup.h"

#define PENDING_HIGH (256u * 1024)
#define HOST_MAX 255

enum state { STATE_RSH, STATE_CONNECTING, STATE_HELLO, STATE_WELCOME, STATE_CARRYING, STATE_CLOSING };

struct peer {
	struct runner *runner;
	enum state state;
	struct fm_frames program, remote;
	struct watch *program_watch, *remote_watch;
	uint8_t server_nonce[FM_NONCE_SIZE], client_nonce[FM_NONCE_SIZE];
	char host[HOST_MAX + 1];
};

static void remote_ready(void *arg, uint32_t events);

static void close_remote(struct peer *peer)
{
	watch_destroy(peer->remote_watch);
	peer->remote_watch = NULL;
	fm_frames_dispose(&peer->remote);
}

static void peer_destroy(struct peer *peer)
{
	close_remote(peer);
	watch_destroy(peer->program_watch);
	fm_frames_dispose(&peer->program);
	peer->runner->connection_count--;
	free(peer);
}

/* Tell the program why, and end when that is written. */
static void refuse(struct peer *peer, const struct fm_error *err)
{
	close_remote(peer);
	peer->state = STATE_CLOSING;
	fm_frames_put_error(&peer->program, err);
}

/* ---- the program's word -------------------------------------------------------------- */

static int connect_remote(struct peer *peer, const struct params_node *node, struct fm_error *err)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr = node->ip,
				   .sin_port = htons(peer->runner->params.port) };
	FM_AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0 || (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) && errno != EINPROGRESS))
		return fm_fail(err, FM_FAILED, "connecting to %s: %s", peer->host, strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (fm_frames_init(&peer->remote, fd))
		return fm_fail(err, FM_FAILED, "out of memory");
	fd = -1; /* the frames' now */
	peer->remote_watch = watch_create(peer->runner->loop, peer->remote.fd, EPOLLOUT, remote_ready, peer);
	if (!peer->remote_watch)
		return fm_fail(err, FM_FAILED, "out of memory");
	peer->state = STATE_CONNECTING;
	return 0;
}

static int on_rsh(struct peer *peer, enum fm_frame_type type, const uint8_t *payload, size_t size,
		  struct fm_error *err)
{
	const struct params_node *node;

	if (type != FM_FRAME_RSH || !size || size > HOST_MAX || memchr(payload, 0, size))
		return fm_fail(err, FM_USAGE, "a malformed request");
	memcpy(peer->host, payload, size);
	node = params_node(&peer->runner->params, peer->host);
	if (!node)
		return fm_fail(err, FM_NOT_FOUND, "%s is not a node of this job", peer->host);
	return connect_remote(peer, node, err);
}

/* ---- the other runner -------------------------------------------------------------------- */

static int on_connected(struct peer *peer, struct fm_error *err)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(peer->remote.fd, SOL_SOCKET, SO_ERROR, &error, &size) || error)
		return fm_fail(err, FM_FAILED, "connecting to %s: %s", peer->host, strerror(error));
	peer->state = STATE_HELLO;
	return 0;
}

static int on_hello(struct peer *peer, const uint8_t *payload, size_t size, struct fm_error *err)
{
	uint8_t proof[FM_NONCE_SIZE + FM_MAC_SIZE];

	if (size != 1 + FM_NONCE_SIZE || payload[0] != FM_PROTOCOL_VERSION)
		return fm_fail(err, FM_INCOMPATIBLE, "%s speaks another version", peer->host);
	memcpy(peer->server_nonce, payload + 1, FM_NONCE_SIZE);
	fm_random(peer->client_nonce, FM_NONCE_SIZE);
	memcpy(proof, peer->client_nonce, FM_NONCE_SIZE);
	fm_auth_mac(peer->runner->params.token, FM_SIDE_CLIENT, peer->server_nonce, peer->client_nonce,
		    proof + FM_NONCE_SIZE);
	peer->state = STATE_WELCOME;
	return fm_frames_put(&peer->remote, FM_FRAME_AUTH, proof, sizeof(proof), NULL, 0);
}

static int on_welcome(struct peer *peer, const uint8_t *payload, size_t size, struct fm_error *err)
{
	uint8_t mac[FM_MAC_SIZE];

	fm_auth_mac(peer->runner->params.token, FM_SIDE_SERVER, peer->server_nonce, peer->client_nonce, mac);
	if (size != FM_MAC_SIZE || !fm_mac_equal(mac, payload))
		return fm_fail(err, FM_DENIED, "%s does not hold the job's token", peer->host);
	peer->state = STATE_CARRYING;
	return fm_frames_put(&peer->program, FM_FRAME_READY, NULL, 0, NULL, 0);
}

static int on_remote(struct peer *peer, enum fm_frame_type type, const uint8_t *payload, size_t size,
		     struct fm_error *err)
{
	if (peer->state == STATE_CARRYING)
		return fm_frames_put(&peer->program, type, payload, size, NULL, 0);
	if (type == FM_FRAME_ERROR) {
		fm_frames_get_error(payload, size, err);
		return fm_context(err, "%s", peer->host);
	}
	if (peer->state == STATE_HELLO && type == FM_FRAME_HELLO)
		return on_hello(peer, payload, size, err);
	if (peer->state == STATE_WELCOME && type == FM_FRAME_WELCOME)
		return on_welcome(peer, payload, size, err);
	return fm_fail(err, FM_FAILED, "%s does not follow the protocol", peer->host);
}

/* ---- both ways --------------------------------------------------------------------------- */

/* Nothing is read that could not be passed on. */
static bool wants_program(const struct peer *peer)
{
	return peer->state == STATE_RSH ||
	       (peer->state == STATE_CARRYING && fm_frames_pending(&peer->remote) < PENDING_HIGH);
}

static int drain_program(struct peer *peer, struct fm_error *err)
{
	enum fm_frame_type type;
	const uint8_t *payload;
	size_t size;
	int got;

	while (wants_program(peer) &&
	       (got = fm_frames_next(&peer->program, &type, &payload, &size)) != 0) {
		if (got < 0)
			return fm_fail(err, FM_USAGE, "a frame that is too long");
		if (peer->state == STATE_RSH) {
			if (on_rsh(peer, type, payload, size, err))
				return -1;
		} else if (fm_frames_put(&peer->remote, type, payload, size, NULL, 0)) {
			return fm_fail(err, FM_FAILED, "out of memory");
		}
	}
	return 0;
}

static int drain_remote(struct peer *peer, struct fm_error *err)
{
	enum fm_frame_type type;
	const uint8_t *payload;
	size_t size;
	int got;

	while (peer->remote.fd >= 0 && fm_frames_pending(&peer->program) < PENDING_HIGH &&
	       (got = fm_frames_next(&peer->remote, &type, &payload, &size)) != 0) {
		if (got < 0)
			return fm_fail(err, FM_FAILED, "a frame that is too long");
		if (on_remote(peer, type, payload, size, err))
			return -1;
	}
	return 0;
}

/* Move on, write, and say what is waited for; may destroy the peer. */
static void advance(struct peer *peer)
{
	struct fm_error err;

	if (peer->state != STATE_CLOSING && (drain_program(peer, &err) || drain_remote(peer, &err)))
		refuse(peer, &err);
	if (peer->remote.fd >= 0 && peer->state != STATE_CONNECTING && fm_frames_flush(&peer->remote)) {
		fm_fail(&err, FM_FAILED, "the connection to %s is lost", peer->host);
		refuse(peer, &err);
	}
	if (fm_frames_flush(&peer->program) ||
	    (peer->state == STATE_CLOSING && !fm_frames_pending(&peer->program))) {
		peer_destroy(peer);
		return;
	}
	watch_change(peer->program_watch, (wants_program(peer) ? EPOLLIN : 0) |
						  (fm_frames_pending(&peer->program) ? EPOLLOUT : 0));
	if (peer->remote_watch && peer->state != STATE_CONNECTING)
		watch_change(peer->remote_watch,
			     (fm_frames_pending(&peer->program) < PENDING_HIGH ? EPOLLIN : 0) |
				     (fm_frames_pending(&peer->remote) ? EPOLLOUT : 0));
}

static void remote_ready(void *arg, uint32_t events)
{
	struct peer *peer = arg;
	struct fm_error err;

	if (fm_frames_pending(&peer->program) >= PENDING_HIGH && !(events & EPOLLOUT)) {
		watch_change(peer->remote_watch, 0); /* its end is looked at once the program has read */
		return;
	}
	if (peer->state == STATE_CONNECTING) {
		if (on_connected(peer, &err))
			refuse(peer, &err);
	} else if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) &&
		   fm_frames_pending(&peer->program) < PENDING_HIGH && fm_frames_fill(&peer->remote) < 0) {
		if (peer->state == STATE_CARRYING) {
			/* the program has all it was sent, or learns from the end that it has not */
			close_remote(peer);
			peer->state = STATE_CLOSING;
		} else {
			fm_fail(&err, FM_FAILED, "the connection to %s is lost", peer->host);
			refuse(peer, &err);
		}
	}
	advance(peer);
}

static void program_ready(void *arg, uint32_t events)
{
	struct peer *peer = arg;

	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && fm_frames_fill(&peer->program) < 0) {
		/* the other runner sees the end too and hangs up on its task; DONE may still be queued */
		if (peer->state == STATE_CARRYING) {
			drain_program(peer, &(struct fm_error){ 0 });
			fm_frames_flush(&peer->remote);
		}
		peer_destroy(peer);
		return;
	}
	advance(peer);
}

static bool is_allowed(const struct runner *runner, int fd)
{
	struct ucred who;
	socklen_t size = sizeof(who);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) &&
	       (who.uid == runner->params.uid || who.uid == 0);
}

void peer_accept(struct runner *runner, int fd)
{
	struct peer *peer;
	struct fm_error err;

	if (runner->connection_count >= RUNNER_CONNECTIONS_MAX || !(peer = calloc(1, sizeof(*peer)))) {
		close(fd);
		return;
	}
	peer->runner = runner;
	peer->program.fd = peer->remote.fd = -1;
	runner->connection_count++;
	if (fm_frames_init(&peer->program, fd)) {
		close(fd);
		peer_destroy(peer);
		return;
	}
	peer->program_watch = watch_create(runner->loop, fd, EPOLLIN, program_ready, peer);
	if (!peer->program_watch) {
		peer_destroy(peer);
		return;
	}
	if (!is_allowed(runner, fd)) {
		fm_fail(&err, FM_DENIED, "only the job's user (uid %u) may ask this runner", runner->params.uid);
		refuse(peer, &err);
		advance(peer);
	}
}
