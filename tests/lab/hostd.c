/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hostd - runs commands inside a lab host for `lab run`, and gives back output, errors and exit status.
 *
 * One process a connection.  The first line from outside is "KEY USER MODE LENGTH", followed by LENGTH bytes of
 * shell command; MODE is "pipe", or "tty" for a terminal (an empty command is then a login shell).  Then both
 * sides send packets: a type byte, a 32 bit big-endian length, the bytes.
 *   in:  i  stdin (length 0: end of file)   w  the terminal's size, "ROWS COLUMNS"
 *   out: o  stdout   e  stderr   x  exit status in decimal (128 + signal if killed), the last packet
 * If the connection goes away, so does the command, with all of its process group.
 * The key keeps the host's own users out: this port is reachable from inside too.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pty.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT 2323
#define CHUNK 65536
#define COMMAND_MAX (1 << 20)

static char key[128];

struct session {
	int sock, in, out, err; /* in, out, err: our ends of the command's pipes or terminal, -1 when closed */
	bool tty;
	pid_t pid;
	size_t held, done; /* of `input`: what the command has not read yet */
	char input[CHUNK + 1];
};

static bool read_all(int fd, void *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = read(fd, (char *)to + done, n - done);

		if (r <= 0 && !(r < 0 && errno == EINTR))
			return false;
		done += r > 0 ? (size_t)r : 0;
	}
	return true;
}

static bool write_all(int fd, const void *from, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = write(fd, (const char *)from + done, n - done);

		if (r <= 0 && !(r < 0 && errno == EINTR))
			return false;
		done += r > 0 ? (size_t)r : 0;
	}
	return true;
}

static bool send_packet(int fd, char type, const void *data, uint32_t n)
{
	char head[5] = { type };
	uint32_t length = htonl(n);

	memcpy(head + 1, &length, 4);
	return write_all(fd, head, 5) && write_all(fd, data, n);
}

static void finish(int sock, int status)
{
	char text[16];
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	int n = snprintf(text, sizeof(text), "%d", code);

	send_packet(sock, 'x', text, n);
}

/* Lets the far end close first: closing with input unread would reset the connection, and lose what we sent. */
static void linger(int sock)
{
	struct timeval limit = { .tv_sec = 10 };
	char data[4096];

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	shutdown(sock, SHUT_WR);
	while (read(sock, data, sizeof(data)) > 0)
		;
}

/* The account, from the file alone: this must work while everything else is broken. */
static struct passwd *account(const char *name)
{
	FILE *f = fopen("/etc/passwd", "re");
	struct passwd *p;

	while (f && (p = fgetpwent(f)))
		if (!strcmp(p->pw_name, name))
			return p; /* f stays open: p lives until the exec */
	return NULL;
}

static void become(const struct passwd *p)
{
	gid_t gid = p->pw_gid;

	if (setgroups(1, &gid) || setgid(gid) || setuid(p->pw_uid)) {
		perror("hostd: cannot change user");
		_exit(126);
	}
	clearenv();
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", p->pw_dir, 1);
	setenv("USER", p->pw_name, 1);
	setenv("LOGNAME", p->pw_name, 1);
	setenv("SHELL", "/bin/bash", 1);
	setenv("LANG", "C.UTF-8", 1);
	setenv("TERM", "dumb", 1);
	if (chdir(p->pw_dir) && chdir("/"))
		_exit(126);
}

static void execute(const struct passwd *p, const char *command, bool tty) __attribute__((noreturn));
static void execute(const struct passwd *p, const char *command, bool tty)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	become(p);
	if (tty)
		setenv("TERM", "xterm", 1);
	if (tty && !*command)
		execl("/bin/bash", "-bash", (char *)NULL);
	else
		execl("/bin/bash", "bash", "-c", command, (char *)NULL);
	perror("hostd: /bin/bash");
	_exit(126);
}

static pid_t start_on_terminal(struct session *s, const struct passwd *p, const char *command)
{
	int fd;
	pid_t pid = forkpty(&fd, NULL, NULL, NULL);

	if (!pid)
		execute(p, command, true);
	if (pid > 0) {
		s->out = fd;
		s->in = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	}
	return pid;
}

static pid_t start_on_pipes(struct session *s, const struct passwd *p, const char *command)
{
	int in[2], out[2], err[2];
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) || (pid = fork()) < 0)
		return -1;
	if (!pid) {
		setsid();
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		execute(p, command, false);
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	s->in = in[1];
	s->out = out[0];
	s->err = err[0];
	return pid;
}

/* Copies what is there; false when the far end went away. */
static bool copy_output(struct session *s, int *fd, char type)
{
	static char data[CHUNK];
	ssize_t n = read(*fd, data, sizeof(data));

	if (n > 0)
		return send_packet(s->sock, type, data, n);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	close(*fd);
	*fd = -1;
	return true;
}

static void set_size(const struct session *s, const char *text)
{
	struct winsize size = { 0 };

	if (s->tty && sscanf(text, "%hu %hu", &size.ws_row, &size.ws_col) == 2)
		ioctl(s->in, TIOCSWINSZ, &size);
}

static void close_input(struct session *s)
{
	s->held = s->done = 0;
	if (s->in >= 0)
		close(s->in);
	s->in = -1;
}

/* Gives the command what it takes now; never blocks, since the command may be waiting for us to read. */
static void give_input(struct session *s)
{
	ssize_t n = s->in < 0 ? -1 : write(s->in, s->input + s->done, s->held - s->done);

	if (n < 0 && s->in >= 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		close_input(s);
		return;
	}
	s->done += (size_t)n;
	if (s->done == s->held)
		s->held = s->done = 0;
}

/* Reads one packet; only called while no input is held.  False: the far end went away, or talks nonsense. */
static bool take_packet(struct session *s)
{
	char head[5];
	uint32_t n;

	if (!read_all(s->sock, head, 5))
		return false;
	memcpy(&n, head + 1, 4);
	n = ntohl(n);
	if (n > CHUNK || !read_all(s->sock, s->input, n))
		return false;
	s->input[n] = '\0';
	if (head[0] == 'w')
		set_size(s, s->input);
	else if (head[0] != 'i')
		return false;
	else if (!n)
		close_input(s);
	else
		s->held = n;
	return true;
}

/* What the command left in its pipes: also what its children in the background wrote until now. */
static void drain(struct session *s)
{
	struct pollfd fds[2];

	do {
		fds[0] = (struct pollfd){ .fd = s->out, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = s->err, .events = POLLIN };
		if (poll(fds, 2, 0) <= 0)
			return;
		if (fds[0].revents && !copy_output(s, &s->out, 'o'))
			return;
		if (fds[1].revents && !copy_output(s, &s->err, 'e'))
			return;
	} while (s->out >= 0 || s->err >= 0);
}

/* Until the command has ended; false if the far end went away before. */
static bool relay(struct session *s, int child_fd)
{
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = s->sock, .events = s->held ? POLLRDHUP : POLLIN },
			{ .fd = s->out, .events = POLLIN },
			{ .fd = s->err, .events = POLLIN },
			{ .fd = s->held ? s->in : -1, .events = POLLOUT },
			{ .fd = child_fd, .events = POLLIN },
		};
		int status;

		if (poll(fds, 5, -1) < 0 && errno != EINTR)
			return false;
		if (fds[1].revents && !copy_output(s, &s->out, 'o'))
			return false;
		if (fds[2].revents && !copy_output(s, &s->err, 'e'))
			return false;
		if (fds[3].revents)
			give_input(s);
		if (fds[4].revents && waitpid(s->pid, &status, 0) == s->pid) {
			drain(s);
			finish(s->sock, status);
			return true;
		}
		if (fds[0].revents && (s->held || !take_packet(s)))
			return false;
	}
}

static void run(struct session *s)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	fcntl(s->in, F_SETFL, fcntl(s->in, F_GETFL) | O_NONBLOCK);
	if (!relay(s, signalfd(-1, &mask, SFD_CLOEXEC))) {
		kill(-s->pid, SIGTERM);
		kill(-s->pid, SIGKILL);
	}
}

/* Reads the first line a byte at a time: what follows it belongs to others. */
static bool read_line(int fd, char *line, size_t size)
{
	for (size_t i = 0; i + 1 < size; i++) {
		if (!read_all(fd, line + i, 1))
			return false;
		if (line[i] == '\n') {
			line[i] = '\0';
			return true;
		}
	}
	return false;
}

static void refuse(int sock, const char *why, const char *what)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "hostd: %s%s\n", why, what);

	send_packet(sock, 'e', text, n);
	send_packet(sock, 'x', "126", 3);
}

static void serve(int sock)
{
	static struct session s;
	char line[512], given[128], user[64], mode[8], *command;
	const struct passwd *p;
	unsigned int length;
	sigset_t mask;

	if (!read_line(sock, line, sizeof(line)) || sscanf(line, "%127s %63s %7s %u", given, user, mode, &length) != 4 ||
	    strcmp(given, key) || length > COMMAND_MAX)
		return;
	command = calloc(1, length + 1);
	if (!command || !read_all(sock, command, length))
		return;
	p = account(user);
	if (!p) {
		refuse(sock, "no such user: ", user);
		return;
	}
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	s.sock = sock;
	s.in = s.out = s.err = -1;
	s.tty = !strcmp(mode, "tty");
	s.pid = s.tty ? start_on_terminal(&s, p, command) : start_on_pipes(&s, p, command);
	if (s.pid < 0)
		refuse(sock, "cannot start: ", strerror(errno));
	else
		run(&s);
}

static int listen_tcp(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(INADDR_ANY) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 64)) {
		perror("hostd: cannot listen");
		exit(1);
	}
	return fd;
}

static void read_key(const char *path)
{
	FILE *f = fopen(path, "re");

	if (!f || fscanf(f, "%127s", key) != 1 || strlen(key) < 16) {
		fprintf(stderr, "hostd: no key in %s\n", path);
		exit(1);
	}
	fclose(f);
}

int main(int argc, char **argv)
{
	int listener, one = 1;

	if (argc != 2) {
		fprintf(stderr, "usage: hostd KEYFILE\nServes commands on TCP port %d.\n", PORT);
		return 2;
	}
	read_key(argv[1]);
	signal(SIGPIPE, SIG_IGN);
	listener = listen_tcp();
	if (daemon(0, 1)) /* the caller goes on when we listen */
		return 1;
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		if (!fork()) {
			signal(SIGCHLD, SIG_DFL);
			close(listener);
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			serve(fd);
			linger(fd);
			exit(0);
		}
		close(fd);
	}
}
