/* SPDX-License-Identifier: GPL-2.0-or-later */
/* link.c - see link.h. */
#include "config.h"

#include "agent/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/cut/wire.h"
#include "agent/task.h"
#include "common/cleanup.h"

#define SWEEP_S 2
#define CONNECT_S 5

struct link {
	struct link *next;
	struct links *links;
	struct bufferevent *io; /* NULL: its name is being looked up */
	struct evbuffer *early; /* what waits for that */
	struct task *lookup;
	struct event *end; /* lost() comes from here */
	struct fm_error why;
	char *node; /* whom we went to; NULL: it came */
	char name[80];
	size_t limit;
	uint64_t since_ns; /* last used */
	unsigned sweeps;   /* came, and proved nothing so far: how often it was looked at */
	unsigned users;
	bool up, proven, ending;
};

struct links {
	struct agent *agent;
	const struct link_events *events;
	struct evconnlistener *listener;
	struct event *sweep;
	struct link *list;
	unsigned came;
};

/* ---- an end ------------------------------------------------------------------------ */

static void link_free(struct link *link)
{
	for (struct link **at = &link->links->list; *at; at = &(*at)->next)
		if (*at == link) {
			*at = link->next;
			break;
		}
	if (!link->node)
		link->links->came--;
	task_cancel(link->lookup);
	if (link->io)
		bufferevent_free(link->io);
	if (link->early)
		evbuffer_free(link->early);
	if (link->end)
		event_free(link->end);
	free(link->node);
	free(link);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	struct link *link = arg;
	struct links *links = link->links;

	(void)fd, (void)what;
	links->events->lost(links->agent, link, &link->why);
	link_free(link);
}

static void link_end(struct link *link)
{
	if (link->ending)
		return;
	link->ending = true;
	if (link->io)
		bufferevent_disable(link->io, EV_READ | EV_WRITE);
	event_active(link->end, EV_TIMEOUT, 1);
}

void link_refuse(struct link *link, const struct fm_error *error)
{
	if (link->ending)
		return;
	link->why = *error;
	fm_warning("link %s closed: %s", link->name, error->text);
	link_end(link);
}

/* ---- bytes -------------------------------------------------------------------------- */

/* One whole frame, if there is one: true, and it has been dealt with. */
static bool take_frame(struct link *link, struct evbuffer *in)
{
	size_t have = evbuffer_get_length(in), size = 0;
	uint8_t begin[8];
	struct fm_error err;
	ev_ssize_t n = evbuffer_copyout(in, begin, sizeof(begin));

	if (n < 0 || wire_size(begin, (size_t)n, &size)) {
		fm_fail(&err, FM_USAGE, "what it sends is no frame of a cut");
		link_refuse(link, &err);
		return false;
	}
	if (size > link->limit) {
		fm_fail(&err, FM_USAGE, "a frame of %zu bytes, %zu are allowed", size, link->limit);
		link_refuse(link, &err);
		return false;
	}
	if (!size || have < size)
		return false;
	link->since_ns = agent_now_ns();
	link->links->events->frame(link->links->agent, link, evbuffer_pullup(in, (ev_ssize_t)size), size);
	evbuffer_drain(in, size);
	return true;
}

static void on_read(struct bufferevent *io, void *arg)
{
	struct link *link = arg;

	while (!link->ending && take_frame(link, bufferevent_get_input(io)))
		;
}

/* The agent itself was busy for longer than its patience; the connection had been made meanwhile. */
static bool connected_after_all(struct bufferevent *io)
{
	struct pollfd made = { .fd = bufferevent_getfd(io), .events = POLLOUT };

	return poll(&made, 1, 0) == 1 && made.revents == POLLOUT && bufferevent_enable(io, EV_WRITE) == 0;
}

static void on_event(struct bufferevent *io, short what, void *arg)
{
	struct link *link = arg;
	int error = EVUTIL_SOCKET_ERROR();

	if (link->node && !link->proven && (what & BEV_EVENT_TIMEOUT) && connected_after_all(io))
		return;
	if (what & BEV_EVENT_CONNECTED) {
		link->up = link->proven = true;
		bufferevent_set_timeouts(io, NULL, NULL); /* from now on the kernel watches over it: tune() */
		fm_debug("link %s: connected", link->name);
		return;
	}
	if (link->node && !link->proven)
		fm_fail(&link->why, FM_NOT_FOUND, "no connection to the agent of %s (CutPort %u: %s)", link->node,
			link->links->agent->conf.cut_port,
			what & BEV_EVENT_TIMEOUT ? "no answer" : evutil_socket_error_to_string(error));
	else
		fm_fail(&link->why, FM_FAILED, "the connection %s%s broke (%s)", link->node ? "to the agent of " : "",
			link->name, what & BEV_EVENT_EOF ? "it closed it" : evutil_socket_error_to_string(error));
	fm_debug("link %s: %s", link->name, link->why.text);
	link_end(link);
}

/* A dead host sends no RST: the kernel has to ask. */
static void tune(int fd)
{
	int one = 1, idle = 2, interval = 1, count = 3, user_ms = 5000;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_ms, sizeof(user_ms));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
}

static int link_io(struct link *link, int fd)
{
	link->io = bufferevent_socket_new(link->links->agent->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!link->io)
		return -1;
	bufferevent_setcb(link->io, on_read, NULL, on_event, link);
	/* No more than a frame waits here, whatever the peer sends. */
	bufferevent_setwatermark(link->io, EV_READ, 0, 2 * link->limit);
	return bufferevent_enable(link->io, EV_READ | EV_WRITE);
}

static struct link *link_new(struct links *links)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->links = links;
	link->limit = WIRE_SMALL;
	link->since_ns = agent_now_ns();
	link->end = evtimer_new(links->agent->base, on_end, link);
	link->early = evbuffer_new();
	if (!link->end || !link->early) {
		if (link->end)
			event_free(link->end);
		free(link);
		return NULL;
	}
	link->next = links->list;
	links->list = link;
	return link;
}

/* ---- out -------------------------------------------------------------------------------- */

static void link_connect(struct link *link, const char *address)
{
	static const struct timeval patience = { CONNECT_S, 0 };
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct addrinfo *info = NULL;
	char port[8];
	int fd = -1;

	snprintf(port, sizeof(port), "%u", link->links->agent->conf.cut_port);
	if (getaddrinfo(address, port, &hints, &info) == 0)
		fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		tune(fd);
	if (fd < 0 || link_io(link, fd) ||
	    bufferevent_socket_connect(link->io, info->ai_addr, (int)info->ai_addrlen)) {
		if (!link->ending)
			fm_fail(&link->why, FM_NOT_FOUND, "no connection to the agent of %s (%s)", link->node, strerror(errno));
		link_end(link);
	} else {
		bufferevent_set_timeouts(link->io, NULL, &patience);
		bufferevent_write_buffer(link->io, link->early);
	}
	if (info)
		freeaddrinfo(info);
}

static int look_up(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const char *name = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *info = NULL;
	char text[INET6_ADDRSTRLEN];
	int r = getaddrinfo(name, NULL, &hints, &info);

	(void)blob;
	if (r == 0)
		r = getnameinfo(info->ai_addr, info->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
	if (r)
		return fm_fail(err, FM_NOT_FOUND, "the agent of %s: %s", name, gai_strerror(r));
	fm_json_set_string(result, "address", text);
	return 0;
}

static void on_looked_up(struct json_object *result, const struct task_blob *blob, const struct fm_error *error,
			 void *arg)
{
	struct link *link = arg;

	(void)blob;
	link->lookup = NULL;
	if (!error) {
		link_connect(link, fm_json_string_or(result, "address", ""));
		return;
	}
	link->why = *error;
	link_end(link);
}

static bool numeric(const char *address)
{
	struct in6_addr in6;

	return inet_pton(AF_INET, address, &in6) == 1 || inet_pton(AF_INET6, address, &in6) == 1;
}

struct link *link_to(struct links *links, const char *node)
{
	const struct fm_conf *conf = &links->agent->conf;
	const char *address;
	struct link *link;
	char buf[256];

	for (link = links->list; link; link = link->next)
		if (link->node && !link->ending && strcmp(link->node, node) == 0)
			return link;
	link = link_new(links);
	if (!link)
		return NULL;
	link->node = strdup(node);
	if (!link->node)
		abort();
	snprintf(link->name, sizeof(link->name), "%s", node);
	address = fm_conf_node_address(conf, node, buf, sizeof(buf));
	if (numeric(address)) {
		link_connect(link, address);
		return link;
	}
	link->lookup = task_start(links->agent, look_up, (void *)(uintptr_t)address, on_looked_up, link, &link->why);
	if (!link->lookup)
		link_end(link);
	return link;
}

/* ---- in ----------------------------------------------------------------------------------- */

/* Those who prove nothing must not keep a parent out: the oldest of them goes. */
static void make_room(struct links *links)
{
	struct link *oldest = NULL;
	unsigned unproven = 0;

	for (struct link *link = links->list; link; link = link->next) {
		if (link->node || link->proven || link->ending)
			continue;
		unproven++;
		oldest = link; /* new ones are put in front */
	}
	if (unproven < LINKS_UNPROVEN)
		return;
	fm_fail(&oldest->why, FM_DENIED, "too many connections that prove nothing");
	link_end(oldest);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int size,
		      void *arg)
{
	struct links *links = arg;
	char host[64] = "?", port[8] = "?";
	struct link *link;

	(void)listener;
	make_room(links);
	link = links->came < LINKS_IN ? link_new(links) : NULL;
	if (!link) {
		fm_warning("link: %u connections are open, one more is refused", links->came);
		close(fd);
		return;
	}
	links->came++;
	tune(fd);
	getnameinfo(address, (socklen_t)size, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(link->name, sizeof(link->name), "from %s:%s", host, port);
	if (link_io(link, fd)) {
		close(fd);
		link_free(link);
		return;
	}
	link->up = true;
}

int links_listen(struct links *links, struct fm_error *err)
{
	const struct fm_conf *conf = &links->agent->conf;
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
	struct addrinfo *info = NULL;
	char port[8];
	int r;

	snprintf(port, sizeof(port), "%u", conf->cut_port);
	r = getaddrinfo(conf->bind_address, port, &hints, &info);
	if (r)
		return fm_fail(err, FM_USAGE, "BindAddress=%s: %s", conf->bind_address, gai_strerror(r));
	links->listener = evconnlistener_new_bind(links->agent->base, on_accept, links,
						  LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 128,
						  info->ai_addr, (int)info->ai_addrlen);
	freeaddrinfo(info);
	if (!links->listener)
		return fm_fail(err, FM_FAILED, "cannot listen on %s port %s (CutPort): %s", conf->bind_address, port,
			       strerror(errno));
	return 0;
}

/* Its own sweeps are counted, not the clock: an agent that stood still finds what was said to it meanwhile unread. */
static bool overdue(struct link *link, uint64_t age_s)
{
	if (link->proven || link->node)
		return age_s >= LINK_IDLE_S;
	return ++link->sweeps > LINK_PROOF_S / SWEEP_S;
}

/* Who says nothing, and what nobody uses. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct links *links = arg;
	uint64_t now = agent_now_ns();

	(void)fd, (void)what;
	for (struct link *link = links->list; link; link = link->next) {
		uint64_t age_s = (now - link->since_ns) / 1000000000u;

		if (link->users || link->ending || !overdue(link, age_s))
			continue;
		fm_fail(&link->why, FM_TIMEOUT, "nothing was said over it for %u s", (unsigned)age_s);
		fm_debug("link %s: %s", link->name, link->why.text);
		link_end(link);
	}
}

struct links *links_create(struct agent *agent, const struct link_events *events, struct fm_error *err)
{
	static const struct timeval often = { SWEEP_S, 0 };
	struct links *links = calloc(1, sizeof(*links));

	if (!links || !(links->sweep = event_new(agent->base, -1, EV_PERSIST, on_sweep, links)) ||
	    event_add(links->sweep, &often)) {
		links_destroy(links);
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	links->agent = agent;
	links->events = events;
	return links;
}

void links_destroy(struct links *links)
{
	if (!links)
		return;
	while (links->list)
		link_free(links->list);
	if (links->listener)
		evconnlistener_free(links->listener);
	if (links->sweep)
		event_free(links->sweep);
	free(links);
}

/* ---- the small ones -------------------------------------------------------------------------- */

void link_allow(struct link *link, size_t bytes)
{
	if (bytes <= link->limit)
		return;
	link->limit = bytes;
	if (link->io)
		bufferevent_setwatermark(link->io, EV_READ, 0, 2 * link->limit);
}

void link_hold(struct link *link)
{
	link->users++;
}

void link_release(struct link *link)
{
	link->users--;
	link->since_ns = agent_now_ns();
}

static void free_data(const void *data, size_t size, void *arg)
{
	(void)data, (void)size;
	free(arg);
}

/* What the kernel takes at once; through the loop each frame would cost three system calls more. */
static size_t send_now(struct link *link, const uint8_t *data, size_t size)
{
	ssize_t n;

	if (!link->up || evbuffer_get_length(bufferevent_get_output(link->io)))
		return 0;
	n = send(bufferevent_getfd(link->io), data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n > 0 ? (size_t)n : 0; /* an error is seen again by the loop */
}

void link_send(struct link *link, uint8_t *data, size_t size)
{
	struct evbuffer *out = link->io ? bufferevent_get_output(link->io) : link->early;
	size_t sent = link->ending || !data ? size : send_now(link, data, size);

	if (sent == size)
		free(data);
	else if (evbuffer_add_reference(out, data + sent, size - sent, free_data, data))
		free(data);
}

void link_last_word(struct link *link, uint8_t *data, size_t size)
{
	if (data && link->io && !evbuffer_get_length(bufferevent_get_output(link->io)) &&
	    send(bufferevent_getfd(link->io), data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		fm_debug("link %s: %s", link->name, strerror(errno));
	free(data);
}

void link_proven(struct link *link)
{
	link->proven = true;
}

bool link_is_proven(const struct link *link)
{
	return link->proven;
}

const char *link_name(const struct link *link)
{
	return link->name;
}
