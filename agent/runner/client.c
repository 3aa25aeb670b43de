/* SPDX-License-Identifier: GPL-2.0-or-later */
/* client.c - see client.h. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent/runner/client.h"
#include "common/cleanup.h"

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t deadline, struct fm_error *err)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	for (;;) {
		int64_t left = deadline - now_ms();
		int n = left > 0 ? poll(&pfd, 1, (int)left) : 0;

		if (n > 0)
			return 0;
		if (n == 0)
			return fm_fail(err, FM_TIMEOUT, "no answer in time");
		if (errno != EINTR)
			return fm_fail(err, FM_FAILED, "poll: %s", strerror(errno));
	}
}

/* One frame of that type; an ERROR becomes err. The payload lives until the next call. */
static int expect(struct fm_frames *frames, enum fm_frame_type wanted, size_t size, const uint8_t **payload_r,
		  int64_t deadline, struct fm_error *err)
{
	enum fm_frame_type type;
	size_t got_size;
	int got;

	while ((got = fm_frames_next(frames, &type, payload_r, &got_size)) == 0) {
		if (wait_for(frames->fd, POLLIN, deadline, err))
			return -1;
		if (fm_frames_fill(frames) < 0)
			return fm_fail(err, FM_NOT_FOUND, "the connection ended%s%s", errno ? ": " : "",
				       errno ? strerror(errno) : "");
	}
	if (got > 0 && type == FM_FRAME_ERROR)
		return fm_frames_get_error(*payload_r, got_size, err);
	if (got < 0 || type != wanted || got_size != size)
		return fm_fail(err, FM_FAILED, "the other side does not follow the protocol");
	return 0;
}

static int flush(struct fm_frames *frames, int64_t deadline, struct fm_error *err)
{
	while (fm_frames_pending(frames)) {
		if (wait_for(frames->fd, POLLOUT, deadline, err))
			return -1;
		if (fm_frames_flush(frames))
			return fm_fail(err, FM_NOT_FOUND, "the connection ended: %s", strerror(errno));
	}
	return 0;
}

static int prove(struct fm_frames *frames, const uint8_t token[FM_TOKEN_SIZE], int64_t deadline,
		 struct fm_error *err)
{
	uint8_t server[FM_NONCE_SIZE], proof[FM_NONCE_SIZE + FM_MAC_SIZE], mac[FM_MAC_SIZE];
	const uint8_t *payload;

	if (expect(frames, FM_FRAME_HELLO, 1 + FM_NONCE_SIZE, &payload, deadline, err))
		return -1;
	if (payload[0] != FM_PROTOCOL_VERSION)
		return fm_fail(err, FM_INCOMPATIBLE, "the runner speaks version %d of the protocol, not %d",
			       payload[0], FM_PROTOCOL_VERSION);
	memcpy(server, payload + 1, sizeof(server));
	fm_random(proof, FM_NONCE_SIZE);
	fm_auth_mac(token, FM_SIDE_CLIENT, server, proof, proof + FM_NONCE_SIZE);
	fm_auth_mac(token, FM_SIDE_SERVER, server, proof, mac);
	if (fm_frames_put(frames, FM_FRAME_AUTH, proof, sizeof(proof), NULL, 0))
		return fm_fail(err, FM_FAILED, "out of memory");
	if (flush(frames, deadline, err) ||
	    expect(frames, FM_FRAME_WELCOME, FM_MAC_SIZE, &payload, deadline, err))
		return -1;
	if (!fm_mac_equal(mac, payload))
		return fm_fail(err, FM_DENIED, "the runner does not hold the job's token");
	return 0;
}

static int open_socket(struct fm_frames *frames, const struct sockaddr *address, socklen_t size,
		       int64_t deadline, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, error = 0;
	socklen_t error_size = sizeof(error);

	if (fd < 0)
		return fm_fail(err, FM_FAILED, "socket: %s", strerror(errno));
	if (connect(fd, address, size)) {
		if (errno != EINPROGRESS)
			return fm_fail(err, FM_NOT_FOUND, "connecting: %s", strerror(errno));
		if (wait_for(fd, POLLOUT, deadline, err))
			return fm_context(err, "connecting");
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size) || error)
			return fm_fail(err, FM_NOT_FOUND, "connecting: %s", strerror(error));
	}
	if (address->sa_family == AF_INET)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (fm_frames_init(frames, fd))
		return fm_fail(err, FM_FAILED, "out of memory");
	fd = -1; /* the frames' now */
	return 0;
}

int fm_client_connect(struct fm_frames *frames, const char *address, unsigned port,
		      const uint8_t token[FM_TOKEN_SIZE], long timeout_ms, struct fm_error *err)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int64_t deadline = now_ms() + timeout_ms;

	if (inet_pton(AF_INET, address, &sin.sin_addr) != 1)
		return fm_fail(err, FM_USAGE, "'%.64s' is not an IPv4 address", address);
	if (!open_socket(frames, (struct sockaddr *)&sin, sizeof(sin), deadline, err)) {
		if (!prove(frames, token, deadline, err))
			return 0;
		fm_frames_dispose(frames);
	}
	return fm_context(err, "the guest's runner (%s:%u)", address, port);
}

int fm_client_connect_rsh(struct fm_frames *frames, const char *socket_path, const char *host, long timeout_ms,
			  struct fm_error *err)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int64_t deadline = now_ms() + timeout_ms;
	const uint8_t *payload;

	if (strlen(socket_path) >= sizeof(sun.sun_path))
		return fm_fail(err, FM_USAGE, "%s: too long for a socket", socket_path);
	strcpy(sun.sun_path, socket_path);
	if (open_socket(frames, (struct sockaddr *)&sun, sizeof(sun), deadline, err))
		return fm_context(err, "%s", socket_path);
	if (fm_frames_put(frames, FM_FRAME_RSH, host, strlen(host), NULL, 0))
		fm_fail(err, FM_FAILED, "out of memory");
	/* a runner that refused at once has closed its end, but its reason can still be read */
	else if ((void)flush(frames, deadline, err), !expect(frames, FM_FRAME_READY, 0, &payload, deadline, err))
		return 0;
	fm_frames_dispose(frames);
	return -1;
}
