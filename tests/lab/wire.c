/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire - the cable and the switch between the lab's hosts.
 *
 * Every host's network card is a QEMU "dgram" device: one unix datagram is one Ethernet frame.  A port has
 * two sockets: one bound here, into which QEMU sends, and one connected to the path QEMU receives at.  Two,
 * since a connected socket would refuse a host that was killed and started again.
 *
 * Frames wait in one first-in-first-out queue for each ordered pair of ports, so a pair never sees its frames
 * in another order, whatever delay and jitter say.  The queues are bounded; what does not fit is dropped and
 * counted, as by a switch.  Nothing here knows the time but through the queues' heads.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PORTS_MAX 16
#define TABLE_SIZE 1024
#define CLIENTS_MAX 8
#define FRAME_MAX 65536
#define BURST 64
#define AGE_NS (300 * 1000000000LL)

struct frame {
	struct frame *next;
	int64_t due; /* ns, CLOCK_MONOTONIC */
	size_t length;
	unsigned char data[];
};

struct queue {
	struct frame *first, **last;
	unsigned int length;
};

struct port {
	const char *name, *local, *peer;
	int rx, tx; /* tx is -1 while nobody receives at `peer` */
	bool full;  /* the peer's socket takes no more now: wait for POLLOUT */
	bool cut;
	double delay_ms, jitter_ms, drop_percent;
	unsigned long long in, out, in_bytes, out_bytes;
	unsigned long long lost, cut_off, overflow, absent;
};

struct entry {
	unsigned char address[6];
	int port; /* -1: free */
	int64_t seen;
};

struct client {
	int fd; /* -1: free */
	size_t length;
	char line[1024];
};

static struct port ports[PORTS_MAX];
static int n_ports;
static struct queue queues[PORTS_MAX][PORTS_MAX]; /* [from][to] */
static bool pair_cut[PORTS_MAX][PORTS_MAX];
static struct entry table[TABLE_SIZE];
static struct client clients[CLIENTS_MAX];
static unsigned int queue_limit = 4096;
static bool flood;
static volatile sig_atomic_t stopping;

static void usage(FILE *to)
{
	fputs("usage: wire -c CONTROL -p NAME=LOCAL,PEER [-p ...]\n"
	      "Joins the lab's hosts: an Ethernet switch between unix datagram sockets.\n"
	      "  -c, --control=PATH   unix socket for commands, one line a connection\n"
	      "  -p, --port=NAME=LOCAL,PEER\n"
	      "                       a port: frames are read from LOCAL (made here) and sent to PEER\n"
	      "  -q, --queue=FRAMES   how many frames may wait between two ports (default 4096)\n"
	      "  -f, --flood          send every frame to all ports, learn nothing\n"
	      "  -h, --help\n"
	      "Commands:\n"
	      "  show                         counters and settings\n"
	      "  delay PORT MS [JITTER]       delay frames to and from PORT by MS, and up to JITTER more; order stays\n"
	      "  drop PORT PERCENT            lose so many of the frames to and from PORT\n"
	      "  cut PORT | cut A B           pull the plug of a port, or between two ports\n"
	      "  heal [PORT | A B]            undo cut, delay and drop (without argument: everywhere)\n",
	      to);
}

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...)
{
	va_list ap;

	fputs("wire: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ---- sockets ---- */

static struct sockaddr_un unix_address(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path))
		die("socket path too long: %s", path);
	memcpy(a.sun_path, path, strlen(path));
	return a;
}

static int bind_unix(const char *path, int type)
{
	struct sockaddr_un a = unix_address(path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		die("socket: %s", strerror(errno));
	unlink(path);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

/* Returns whether somebody receives at the port's peer. */
static bool port_connect(struct port *p)
{
	struct sockaddr_un a = unix_address(p->peer);

	if (p->tx >= 0)
		return true;
	p->tx = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->tx >= 0 && connect(p->tx, (struct sockaddr *)&a, sizeof(a)) == 0)
		return true;
	if (p->tx >= 0)
		close(p->tx);
	p->tx = -1;
	return false;
}

/* The link went down: as a switch does, forget who was behind it. */
static void port_disconnect(int port)
{
	struct port *p = &ports[port];

	close(p->tx);
	p->tx = -1;
	p->full = false;
	for (int i = 0; i < TABLE_SIZE; i++)
		if (table[i].port == port)
			table[i].port = -1;
}

/* ---- who is where ---- */

static struct entry *table_slot(const unsigned char *address)
{
	unsigned int h = 2166136261u;

	for (int i = 0; i < 6; i++)
		h = (h ^ address[i]) * 16777619u;
	return &table[h % TABLE_SIZE]; /* a clash only costs flooding */
}

static void learn(const unsigned char *address, int port, int64_t now)
{
	struct entry *e = table_slot(address);

	if (flood || (address[0] & 1))
		return;
	memcpy(e->address, address, 6);
	e->port = port;
	e->seen = now;
}

/* The port an address is behind, or -1 for all. */
static int find(const unsigned char *address, int64_t now)
{
	const struct entry *e = table_slot(address);

	if ((address[0] & 1) || e->port < 0 || memcmp(e->address, address, 6) || now - e->seen > AGE_NS)
		return -1;
	return e->port;
}

/* ---- frames ---- */

static bool is_cut(int from, int to)
{
	return ports[from].cut || ports[to].cut || pair_cut[from][to];
}

static bool unlucky(const struct port *p)
{
	return p->drop_percent > 0 && drand48() * 100 < p->drop_percent;
}

static int64_t delay_of(const struct port *p)
{
	return (int64_t)((p->delay_ms + p->jitter_ms * drand48()) * 1e6);
}

static void enqueue(int from, int to, const unsigned char *data, size_t length, int64_t now)
{
	struct queue *q = &queues[from][to];
	struct frame *f;

	if (is_cut(from, to)) {
		ports[to].cut_off++;
		return;
	}
	if (unlucky(&ports[from]) || unlucky(&ports[to])) {
		ports[to].lost++;
		return;
	}
	f = q->length < queue_limit ? malloc(sizeof(*f) + length) : NULL;
	if (!f) {
		ports[to].overflow++;
		return;
	}
	f->next = NULL;
	f->due = now + delay_of(&ports[from]) + delay_of(&ports[to]);
	f->length = length;
	memcpy(f->data, data, length);
	if (!q->first)
		q->last = &q->first;
	*q->last = f;
	q->last = &f->next;
	q->length++;
}

static void pop(struct queue *q)
{
	struct frame *f = q->first;

	q->first = f->next;
	q->length--;
	free(f);
}

static void receive(int from)
{
	static unsigned char data[FRAME_MAX];
	int64_t now = now_ns();

	for (int i = 0; i < BURST; i++) {
		ssize_t n = recv(ports[from].rx, data, sizeof(data), 0);
		int to;

		if (n < 0)
			return;
		if (n < 14)
			continue; /* not Ethernet */
		ports[from].in++;
		ports[from].in_bytes += n;
		learn(data + 6, from, now);
		to = find(data, now);
		for (int p = 0; p < n_ports; p++)
			if (p != from && (to < 0 || p == to))
				enqueue(from, p, data, n, now);
	}
}

/* Sends one frame; false if the peer takes no more now and the frame must wait. */
static bool transmit(int to, const struct frame *f)
{
	struct port *p = &ports[to];

	if (!port_connect(p)) {
		p->absent++;
		return true;
	}
	if (send(p->tx, f->data, f->length, MSG_NOSIGNAL) >= 0) {
		p->out++;
		p->out_bytes += f->length;
		return true;
	}
	if (errno == EAGAIN || errno == ENOBUFS) {
		p->full = true;
		return false;
	}
	port_disconnect(to);
	p->absent++;
	return true;
}

/* Sends from one queue what is due.  Returns when its next frame will be (INT64_MAX: nothing to wait for). */
static int64_t deliver(int from, int to, int64_t now)
{
	struct queue *q = &queues[from][to];

	while (q->first && q->first->due <= now && !ports[to].full) {
		if (is_cut(from, to)) /* a frame under way does not jump the gap either */
			ports[to].cut_off++;
		else if (!transmit(to, q->first))
			break;
		pop(q);
	}
	return q->first && !ports[to].full ? q->first->due : INT64_MAX;
}

static int64_t deliver_all(void)
{
	int64_t now = now_ns(), next = INT64_MAX;

	for (int i = 0; i < n_ports; i++)
		for (int to = 0; to < n_ports; to++) {
			/* start with another port each time, so that a busy one starves nobody */
			int from = (i + (int)(now & 0xff)) % n_ports;
			int64_t due = from == to ? INT64_MAX : deliver(from, to, now);

			if (due < next)
				next = due;
		}
	return next;
}

/* ---- commands ---- */

static int port_number(const char *name)
{
	for (int i = 0; name && i < n_ports; i++)
		if (!strcmp(ports[i].name, name))
			return i;
	return -1;
}

static bool number(const char *text, double max, double *value)
{
	char *end;

	if (!text)
		return false;
	*value = strtod(text, &end);
	return end != text && !*end && *value >= 0 && *value <= max;
}

static void show(FILE *out)
{
	fprintf(out, "%-8s %-5s %9s %9s %11s %11s %7s %6s %6s %8s %7s  %s\n", "PORT", "LINK", "IN", "OUT", "IN_BYTES",
		"OUT_BYTES", "WAITING", "LOST", "CUT", "OVERFLOW", "ABSENT", "SETTINGS");
	for (int i = 0; i < n_ports; i++) {
		const struct port *p = &ports[i];
		unsigned int waiting = 0;

		for (int from = 0; from < n_ports; from++)
			waiting += queues[from][i].length;
		fprintf(out, "%-8s %-5s %9llu %9llu %11llu %11llu %7u %6llu %6llu %8llu %7llu ", p->name,
			p->cut ? "cut" : port_connect(&ports[i]) ? "up" : "down", p->in, p->out, p->in_bytes, p->out_bytes,
			waiting, p->lost, p->cut_off, p->overflow, p->absent);
		if (p->delay_ms > 0 || p->jitter_ms > 0)
			fprintf(out, " delay=%gms+%gms", p->delay_ms, p->jitter_ms);
		if (p->drop_percent > 0)
			fprintf(out, " drop=%g%%", p->drop_percent);
		for (int j = 0; j < n_ports; j++)
			if (pair_cut[i][j])
				fprintf(out, " cut-from=%s", ports[j].name);
		fputc('\n', out);
	}
}

static void heal_port(int port)
{
	struct port *p = &ports[port];

	p->cut = false;
	p->delay_ms = p->jitter_ms = p->drop_percent = 0;
	for (int j = 0; j < n_ports; j++)
		pair_cut[port][j] = pair_cut[j][port] = false;
}

static const char *cut(const char *a, const char *b)
{
	int pa = port_number(a), pb = port_number(b);

	if (pa < 0 || (b && (pb < 0 || pa == pb)))
		return "cut needs a port, or two different ones";
	if (b)
		pair_cut[pa][pb] = pair_cut[pb][pa] = true;
	else
		ports[pa].cut = true;
	return NULL;
}

static const char *heal(const char *a, const char *b)
{
	int pa = port_number(a), pb = port_number(b);

	if ((a && pa < 0) || (b && pb < 0))
		return "no such port";
	if (b)
		pair_cut[pa][pb] = pair_cut[pb][pa] = false;
	else if (a)
		heal_port(pa);
	else
		for (int i = 0; i < n_ports; i++)
			heal_port(i);
	return NULL;
}

static const char *delay(const char *port, const char *ms, const char *more)
{
	int p = port_number(port);
	double d, j = 0;

	if (p < 0)
		return "no such port";
	if (!number(ms, 60000, &d) || (more && !number(more, 60000, &j)))
		return "delay and jitter are milliseconds, at most 60000";
	ports[p].delay_ms = d;
	ports[p].jitter_ms = j;
	return NULL;
}

static const char *drop(const char *port, const char *percent)
{
	int p = port_number(port);
	double d;

	if (p < 0)
		return "no such port";
	if (!number(percent, 100, &d))
		return "drop needs a percentage";
	ports[p].drop_percent = d;
	return NULL;
}

static void command(char *line, FILE *out)
{
	char *save = NULL, *word[5];
	const char *error;

	for (int i = 0; i < 5; i++)
		word[i] = i && !word[i - 1] ? NULL : strtok_r(i ? NULL : line, " \t\r\n", &save);
	if (!word[0] || word[4])
		error = "a command has one to four words; see wire --help";
	else if (!strcmp(word[0], "show"))
		show(out), error = NULL;
	else if (!strcmp(word[0], "cut"))
		error = cut(word[1], word[2]);
	else if (!strcmp(word[0], "heal"))
		error = heal(word[1], word[2]);
	else if (!strcmp(word[0], "delay"))
		error = delay(word[1], word[2], word[3]);
	else if (!strcmp(word[0], "drop"))
		error = drop(word[1], word[2]);
	else
		error = "unknown command; see wire --help";
	fprintf(out, error ? "error: %s\n" : "ok\n", error);
}

static void client_close(struct client *c)
{
	close(c->fd);
	c->fd = -1;
}

static void client_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	for (int i = 0; fd >= 0 && i < CLIENTS_MAX; i++)
		if (clients[i].fd < 0) {
			clients[i] = (struct client){ .fd = fd };
			return;
		}
	if (fd >= 0)
		close(fd);
}

static void client_read(struct client *c)
{
	ssize_t n = recv(c->fd, c->line + c->length, sizeof(c->line) - 1 - c->length, 0);
	char *reply = NULL;
	size_t size = 0;
	FILE *out;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0)
		c->length += n;
	if (n > 0 && !memchr(c->line, '\n', c->length) && c->length < sizeof(c->line) - 1)
		return;
	c->line[c->length] = '\0';
	out = c->length ? open_memstream(&reply, &size) : NULL;
	if (out) {
		command(c->line, out);
		fclose(out);
		if (send(c->fd, reply, size, MSG_NOSIGNAL) != (ssize_t)size)
			fprintf(stderr, "wire: a reply was not read\n");
		free(reply);
	}
	client_close(c);
}

/* ---- the loop ---- */

static void stop(int sig)
{
	(void)sig;
	stopping = 1;
}

static void wait_for_work(int listener, int64_t next)
{
	struct pollfd fds[2 * PORTS_MAX + CLIENTS_MAX + 1];
	struct timespec timeout, *tp = NULL;
	int64_t left = next == INT64_MAX ? 0 : next - now_ns();

	if (next != INT64_MAX) {
		left = left < 0 ? 0 : left;
		timeout = (struct timespec){ left / 1000000000, left % 1000000000 };
		tp = &timeout;
	}
	for (int i = 0; i < n_ports; i++) {
		fds[2 * i] = (struct pollfd){ .fd = ports[i].rx, .events = POLLIN };
		fds[2 * i + 1] = (struct pollfd){ .fd = ports[i].full ? ports[i].tx : -1, .events = POLLOUT };
	}
	for (int i = 0; i < CLIENTS_MAX; i++)
		fds[2 * n_ports + i] = (struct pollfd){ .fd = clients[i].fd, .events = POLLIN };
	fds[2 * n_ports + CLIENTS_MAX] = (struct pollfd){ .fd = listener, .events = POLLIN };
	if (ppoll(fds, 2 * n_ports + CLIENTS_MAX + 1, tp, NULL) <= 0)
		return;
	for (int i = 0; i < n_ports; i++) {
		if (fds[2 * i + 1].revents)
			ports[i].full = false;
		if (fds[2 * i].revents)
			receive(i);
	}
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (fds[2 * n_ports + i].revents && clients[i].fd >= 0)
			client_read(&clients[i]);
	if (fds[2 * n_ports + CLIENTS_MAX].revents)
		client_accept(listener);
}

static void add_port(char *spec)
{
	struct port *p = &ports[n_ports];
	char *local = strchr(spec, '='), *peer = local ? strchr(local, ',') : NULL;

	if (!peer || local == spec)
		die("a port is NAME=LOCAL,PEER, not %s", spec);
	if (n_ports == PORTS_MAX)
		die("at most %d ports", PORTS_MAX);
	*local++ = '\0';
	*peer++ = '\0';
	if (port_number(spec) >= 0)
		die("two ports named %s", spec);
	*p = (struct port){ .name = spec, .local = local, .peer = peer, .rx = -1, .tx = -1 };
	n_ports++;
}

static const char *options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "control", required_argument, NULL, 'c' }, { "port", required_argument, NULL, 'p' },
		{ "queue", required_argument, NULL, 'q' },   { "flood", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },	     { NULL, 0, NULL, 0 },
	};
	const char *control = NULL;
	double value;
	int c;

	while ((c = getopt_long(argc, argv, "c:p:q:fh", longs, NULL)) != -1) {
		if (c == 'c') {
			control = optarg;
		} else if (c == 'p') {
			add_port(optarg);
		} else if (c == 'q' && number(optarg, 1e6, &value) && value >= 1) {
			queue_limit = (unsigned int)value;
		} else if (c == 'f') {
			flood = true;
		} else if (c == 'h') {
			usage(stdout);
			exit(0);
		} else {
			usage(stderr);
			exit(2);
		}
	}
	if (!control || n_ports < 1 || optind != argc) {
		usage(stderr);
		exit(2);
	}
	return control;
}

int main(int argc, char **argv)
{
	const char *control = options(argc, argv);
	struct sigaction action = { .sa_handler = stop };
	int listener;

	umask(077);
	srand48(now_ns());
	for (int i = 0; i < TABLE_SIZE; i++)
		table[i].port = -1;
	for (int i = 0; i < CLIENTS_MAX; i++)
		clients[i].fd = -1;
	for (int i = 0; i < n_ports; i++)
		ports[i].rx = bind_unix(ports[i].local, SOCK_DGRAM);
	listener = bind_unix(control, SOCK_STREAM);
	if (listen(listener, 16) < 0)
		die("%s: %s", control, strerror(errno));
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	while (!stopping)
		wait_for_work(listener, deliver_all());
	for (int i = 0; i < n_ports; i++)
		unlink(ports[i].local);
	unlink(control);
	return 0;
}
