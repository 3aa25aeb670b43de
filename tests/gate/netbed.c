/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * netbed.c - a bridge with guests in namespaces, and numbered traffic (netbed.h).
 */
#include "config.h"

#include "netbed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT 9000
#define UDP_MAX 60000
#define WHY_SIZE 512
/*
 * How far a sender runs ahead of its receiver, held frames included: what waits for a processor on a busy machine fits
 * into every queue on the way (a vif's has 4096 places), so that what is lost, the gate has lost.
 */
#define WINDOW 3000
#define LIMIT_NS (20 * 1000000000ull) /* for what must happen: a busy machine's */
#define SILENCE_MS 3000                /* of a stream that is over: what is not there by now is lost */
#define LOOK_MS 200
#define BEHIND_NS (10 * 1000000ull)

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

char *bed_why(void)
{
	static char *why;

	if (!why)
		why = mmap(NULL, WHY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (why == MAP_FAILED)
		abort();
	return why;
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(bed_why(), WHY_SIZE, fmt, ap);
	va_end(ap);
	fprintf(stderr, "FAILED: %s\n", bed_why());
	_exit(1);
}

static void skip(const char *what)
{
	fprintf(stderr, "SKIPPED: %s: %s\n", what, strerror(errno));
	_exit(EXIT_SKIP);
}

void bed_enter(void)
{
	if (geteuid() != 0) {
		errno = EPERM;
		skip("making network namespaces needs root");
	}
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		skip("unshare of network and mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 ||
	    mount("sysfs", "/sys", "sysfs", 0, NULL) < 0)
		skip("mounting /run and /sys");
	if (mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL) < 0)
		skip("mounting the BPF file system");
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		skip("/dev/net/tun");
	if (system("command -v ip tc >/dev/null") != 0) {
		errno = ENOENT;
		skip("ip and tc (package iproute2)");
	}
	bed_sh("ip link set lo up");
	bed_sh("ip link add br0 type bridge forward_delay 0");
	bed_sh("ip addr add 10.9.0.254/24 dev br0");
	bed_sh("ip link set br0 up");
}

void bed_sh(const char *fmt, ...)
{
	char cmd[500];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		die("%s", cmd);
}

/*
 * A veth's frames wait in the backlog of the processor their sender ran on, and overtake each other when it moves; Xen's
 * backend has one queue a flow.  So what a guest gets goes through one backlog, and who sends stays on one processor:
 * what is out of order then, the gate did.
 */
static void one_backlog(char guest)
{
	bed_sh("ip netns exec %c sh -c 'echo 1 >/sys/class/net/eth0/queues/rx-0/rps_cpus'", guest);
}

static void stay_on_this_processor(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET((unsigned)sched_getcpu(), &here);
	CHECK(sched_setaffinity(0, sizeof(here), &here) == 0, "sched_setaffinity: %s", strerror(errno));
}

void bed_guests(void)
{
	for (char g = 'a'; g <= 'b'; g++) {
		bed_sh("ip netns add %c", g);
		bed_sh("ip link add v%c type veth peer name eth0 address 02:00:00:00:00:0%c netns %c", g, g, g);
		bed_sh("ip link set v%c master br0 up", g);
		bed_sh("ip -n %c link set lo up && ip -n %c link set eth0 up", g, g);
		bed_sh("ip -n %c addr add 10.9.0.%d/24 dev eth0", g, g - 'a' + 1);
		one_backlog(g);
	}
	/* a held ARP request would stop the sender before its first datagram */
	bed_sh("ip -n a neigh add 10.9.0.2 lladdr 02:00:00:00:00:0b dev eth0");
	bed_sh("ip -n b neigh add 10.9.0.1 lladdr 02:00:00:00:00:0a dev eth0");
}

void bed_link_wait(struct gate *gate)
{
	uint64_t until = now_ns() + LIMIT_NS;

	while (!gate_link_ready(gate)) {
		CHECK(now_ns() < until, "the link does not come up");
		usleep(1000);
	}
}

static void guest_enter(char guest)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%c", guest);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && setns(fd, CLONE_NEWNET) == 0, "%s: %s", path, strerror(errno));
	close(fd);
}

/* A child in a guest's namespace; 0 in the child. It dies with its parent's test. */
static pid_t guest_fork(char guest)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0, "fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	alarm(240);
	guest_enter(guest);
	return 0;
}

int bed_in_guest(char guest, int (*fn)(unsigned short type, const char *device), unsigned short type, const char *device)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd;

	CHECK(home >= 0, "/proc/self/ns/net: %s", strerror(errno));
	guest_enter(guest);
	fd = fn(type, device);
	CHECK(setns(home, CLONE_NEWNET) == 0, "setns: %s", strerror(errno));
	close(home);
	return fd;
}

static struct sockaddr_in guest_addr(char guest)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	in.sin_addr.s_addr = htonl(0x0a090000u + (unsigned)(guest - 'a') + 1);
	return in;
}

static void recv_timeout(int fd, unsigned ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

/* Until all has come, and no double after it; or nothing for long, when nobody sends any more. */
static void udp_count(int fd, unsigned count, struct udp_result *r, struct udp_shared *shared)
{
	static unsigned char buf[UDP_MAX];
	unsigned char *have = calloc(count, 1);
	unsigned number, highest = 0;
	uint64_t last = 0, now;
	unsigned silent = 0;

	recv_timeout(fd, LOOK_MS);
	while (silent < SILENCE_MS) {
		if (recv(fd, buf, sizeof(buf), 0) < (ssize_t)sizeof(number)) {
			silent = shared->ended ? silent + LOOK_MS : 0;
			if (shared->ended && r->received >= shared->sent)
				break;
			continue;
		}
		silent = 0;
		memcpy(&number, buf, sizeof(number));
		CHECK(number < count, "datagram %u of %u", number, count);
		now = now_ns();
		if (last != 0 && (double)(now - last) / 1e9 > r->gap_s)
			r->gap_s = (double)(now - last) / 1e9;
		last = now;
		if (have[number])
			r->duplicated++;
		else if (number < highest)
			r->reordered++;
		if (!have[number])
			r->received++;
		have[number] = 1;
		shared->received = r->received;
		if (number > highest)
			highest = number;
	}
	free(have);
	r->sent = shared->sent;
	r->lost = r->sent - r->received;
}

void udp_receive_start(struct udp_stream *s, char at, unsigned count)
{
	struct sockaddr_in in = guest_addr(at);
	struct udp_result result = { 0 };
	int fds[2], ready[2], fd, size = 32 << 20;
	char c;

	s->sender = 0;
	s->shared = mmap(NULL, sizeof(*s->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(s->shared != MAP_FAILED, "mmap: %s", strerror(errno));
	s->shared->sent = count;
	s->shared->ended = true;
	CHECK(pipe2(fds, O_CLOEXEC) == 0 && pipe2(ready, O_CLOEXEC) == 0, "pipe");
	s->receiver = guest_fork(at);
	if (s->receiver == 0) {
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		CHECK(bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0, "bind: %s", strerror(errno));
		close(ready[1]);
		udp_count(fd, count, &result, s->shared);
		CHECK(write(fds[1], &result, sizeof(result)) == sizeof(result), "pipe");
		_exit(0);
	}
	close(fds[1]);
	close(ready[1]);
	while (read(ready[0], &c, 1) > 0)
		;
	close(ready[0]);
	s->result_fd = fds[0];
}

static void child_wait(pid_t pid)
{
	int status;

	if (pid > 0)
		CHECK(waitpid(pid, &status, 0) == pid && status == 0, "a sender or receiver failed");
}

/* shared: NULL: nobody counts, no window. */
static void udp_send(char to, unsigned first, unsigned count, unsigned rate, unsigned size, struct udp_shared *shared)
{
	struct sockaddr_in in = guest_addr(to);
	static unsigned char buf[UDP_MAX];
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint64_t start = now_ns(), due, now;

	stay_on_this_processor();
	for (unsigned n = 0, i = first; n < count; n++, i++) {
		if (rate > 0) {
			due = start + n * (1000000000ull / rate);
			now = now_ns();
			if (due > now)
				usleep((useconds_t)((due - now) / 1000));
			else if (now - due > BEHIND_NS) /* not made up for: a gate that opens has to catch up with us */
				start += now - due;
		}
		while (shared && !shared->stop && n >= shared->received + WINDOW)
			usleep(1000);
		if (shared && shared->stop) {
			shared->sent = n;
			break;
		}
		memcpy(buf, &i, sizeof(i));
		CHECK(sendto(fd, buf, size, 0, (struct sockaddr *)&in, sizeof(in)) == (ssize_t)size, "sendto %u: %s",
		      i, strerror(errno));
	}
	close(fd);
	if (shared)
		shared->ended = true;
}

static pid_t sender_start(char from, char to, unsigned count, unsigned rate, unsigned size, struct udp_shared *shared)
{
	pid_t pid = guest_fork(from);

	if (pid == 0) {
		udp_send(to, 0, count, rate, size, shared);
		_exit(0);
	}
	return pid;
}

pid_t udp_send_start(char from, char to, unsigned count, unsigned rate, unsigned size)
{
	return sender_start(from, to, count, rate, size, NULL);
}

void udp_send_part(char from, char to, unsigned first, unsigned count, unsigned size)
{
	pid_t pid = guest_fork(from);

	if (pid == 0) {
		udp_send(to, first, count, 5000, size, NULL);
		_exit(0);
	}
	child_wait(pid);
}

void udp_start(struct udp_stream *s, char from, char to, unsigned count, unsigned rate, unsigned size)
{
	udp_receive_start(s, to, count);
	s->shared->ended = false;
	s->sender = sender_start(from, to, count, rate, size, s->shared);
}

void udp_stop(struct udp_stream *s)
{
	s->shared->stop = true;
}

void udp_finish(struct udp_stream *s, struct udp_result *result_r)
{
	CHECK(read(s->result_fd, result_r, sizeof(*result_r)) == sizeof(*result_r), "the receiver died");
	close(s->result_fd);
	child_wait(s->sender);
	child_wait(s->receiver);
	munmap(s->shared, sizeof(*s->shared));
	printf("    udp: sent %u received %u lost %u doubled %u reordered %u, longest gap %.3f s\n", result_r->sent,
	       result_r->received, result_r->lost, result_r->duplicated, result_r->reordered, result_r->gap_s);
}

static uint64_t tcp_receive(int listener)
{
	static uint64_t buf[8192];
	uint64_t total = 0;
	size_t have = 0;
	ssize_t n;
	int fd = accept(listener, NULL, NULL);

	CHECK(fd >= 0, "accept: %s", strerror(errno));
	while ((n = read(fd, (char *)buf + have, sizeof(buf) - have)) > 0) {
		have += (size_t)n;
		for (size_t i = 0; i < have / 8; i++)
			CHECK(buf[i] == total++, "TCP stream: word %lu is wrong", (unsigned long)total);
		memmove(buf, (char *)buf + have / 8 * 8, have % 8);
		have %= 8;
	}
	CHECK(n == 0 && have == 0, "TCP stream broke");
	return total * 8;
}

static void tcp_send(char to, unsigned ms)
{
	static uint64_t buf[8192];
	struct sockaddr_in in = guest_addr(to);
	uint64_t number = 0, until = now_ns() + ms * 1000000ull;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0, "connect: %s", strerror(errno));
	while (now_ns() < until) {
		size_t done = 0;

		for (size_t i = 0; i < 8192; i++)
			buf[i] = number++;
		while (done < sizeof(buf)) {
			ssize_t n = write(fd, (char *)buf + done, sizeof(buf) - done);

			CHECK(n > 0, "TCP write: %s", strerror(errno));
			done += (size_t)n;
		}
	}
	close(fd);
}

void tcp_start(struct tcp_stream *s, char from, char to, unsigned ms)
{
	struct sockaddr_in in = guest_addr(to);
	int fds[2], ready[2], fd;
	uint64_t total;
	char c;

	CHECK(pipe2(fds, O_CLOEXEC) == 0 && pipe2(ready, O_CLOEXEC) == 0, "pipe");
	s->receiver = guest_fork(to);
	if (s->receiver == 0) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		CHECK(bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0 && listen(fd, 1) == 0, "listen");
		close(ready[1]);
		total = tcp_receive(fd);
		CHECK(write(fds[1], &total, sizeof(total)) == sizeof(total), "pipe");
		_exit(0);
	}
	close(fds[1]);
	close(ready[1]);
	while (read(ready[0], &c, 1) > 0)
		;
	close(ready[0]);
	s->result_fd = fds[0];
	s->sender = guest_fork(from);
	if (s->sender == 0) {
		tcp_send(to, ms);
		_exit(0);
	}
}

uint64_t tcp_finish(struct tcp_stream *s)
{
	uint64_t total = 0;

	CHECK(read(s->result_fd, &total, sizeof(total)) == sizeof(total), "the TCP receiver died");
	close(s->result_fd);
	child_wait(s->sender);
	child_wait(s->receiver);
	printf("    tcp: %lu MiB received, every byte in place\n", (unsigned long)(total >> 20));
	return total;
}

void loop_for(struct event_base *base, unsigned ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	event_base_loopexit(base, &tv);
	event_base_dispatch(base);
}

void loop_until(struct event_base *base, const bool *flag)
{
	uint64_t until = now_ns() + LIMIT_NS;

	while (!*flag) {
		CHECK(now_ns() < until, "a release did not end, or a marker did not come, in %d s", (int)(LIMIT_NS / 1000000000u));
		loop_for(base, 1);
	}
}
