/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server.c - see server.h. */
#include "config.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/runner/connection.h"
#include "agent/runner/peer.h"
#include "agent/runner/server.h"

struct server {
	struct runner *runner;
	int tcp, local;
	struct watch *tcp_watch, *local_watch;
};

static void tcp_ready(void *arg, uint32_t events)
{
	struct server *server = arg;
	int fd = accept4(server->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int on = 1;

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	connection_accept(server->runner, fd);
}

static void local_ready(void *arg, uint32_t events)
{
	struct server *server = arg;
	int fd = accept4(server->local, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		peer_accept(server->runner, fd);
}

static int listen_tcp(const struct runner *runner, struct fm_error *err)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr = runner->params.ip,
				   .sin_port = htons(runner->params.port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) &&
	    !bind(fd, (struct sockaddr *)&sin, sizeof(sin)) && !listen(fd, SOMAXCONN))
		return fd;
	fm_fail(err, FM_FAILED, "listening on port %u: %s", runner->params.port, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static int listen_local(const char *path, struct fm_error *err)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path))
		return fm_fail(err, FM_USAGE, "%s: too long for a socket", path);
	strcpy(sun.sun_path, path);
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !bind(fd, (struct sockaddr *)&sun, sizeof(sun)) && !chmod(path, 0666) &&
	    !listen(fd, SOMAXCONN))
		return fd;
	fm_fail(err, FM_FAILED, "listening on %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

struct server *server_create(struct runner *runner, struct fm_error *err)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	server->runner = runner;
	server->local = -1;
	server->tcp = listen_tcp(runner, err);
	if (server->tcp >= 0)
		server->local = listen_local(runner->paths.socket, err);
	if (server->local < 0) {
		server_destroy(server);
		return NULL;
	}
	server->tcp_watch = watch_create(runner->loop, server->tcp, EPOLLIN, tcp_ready, server);
	server->local_watch = watch_create(runner->loop, server->local, EPOLLIN, local_ready, server);
	if (!server->tcp_watch || !server->local_watch) {
		fm_fail(err, FM_FAILED, "out of memory");
		server_destroy(server);
		return NULL;
	}
	return server;
}

void server_destroy(struct server *server)
{
	if (!server)
		return;
	watch_destroy(server->tcp_watch);
	watch_destroy(server->local_watch);
	if (server->tcp >= 0)
		close(server->tcp);
	if (server->local >= 0)
		close(server->local);
	free(server);
}
