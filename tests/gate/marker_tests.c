/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * marker_tests.c - markers of the eBPF gate on a real bridge, under traffic (part of gate_net_test).
 *
 * Promises: a marker comes after every frame that passed its gate before it,
 * whether the gate it comes to is open or shut; it disturbs no count; no guest
 * ever gets one, nor can make one, also when the agent is dead.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/gate/driver.h"
#include "agent/gate/marker.h"
#include "gatebed.h"

#define MARKER_TYPE 0x88b5
#define LEASE_MS 60000 /* the test itself ends each hold */

static const uint8_t mac_a[6] = { 2, 0, 0, 0, 0, 0x0a }, mac_b[6] = { 2, 0, 0, 0, 0, 0x0b };

struct seen {
	struct gate *gate; /* whose frames are counted when a marker comes */
	unsigned count;
	uint64_t held_in;
	bool came;
	char text[GATE_MARKER_MAX + 1];
};

static void on_marker(const void *payload, size_t size, uint64_t at_ns, void *arg)
{
	struct seen *seen = arg;

	seen->held_in = held_of_a(seen->gate, GATE_IN);
	memcpy(seen->text, payload, size);
	seen->text[size] = '\0';
	seen->count++;
	seen->came = true;
}

static int raw_socket(unsigned short type, const char *device)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(type));
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(type),
				  .sll_ifindex = (int)if_nametoindex(device) };

	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&ll, sizeof(ll)) == 0, "raw socket on %s: %s", device, strerror(errno));
	return fd;
}

/* Sees every marker that a guest's device gets. */
struct guest_ear {
	int fd;
};

static void ear_open(struct guest_ear *ear, char guest)
{
	ear->fd = bed_in_guest(guest, raw_socket, MARKER_TYPE, "eth0");
}

static unsigned ear_count(struct guest_ear *ear)
{
	unsigned n = 0;
	char buf[200];

	while (recv(ear->fd, buf, sizeof(buf), 0) > 0)
		n++;
	return n;
}

/* What was sent arrives when the kernel has run: as soon as it does, and nothing more for a moment after. */
static unsigned ear_wait(struct guest_ear *ear, struct event_base *base, unsigned count)
{
	uint64_t until = now_ns() + 20000 * MS;
	unsigned n = 0;

	while ((n += ear_count(ear)) < count && now_ns() < until)
		loop_for(base, 5);
	loop_for(base, 50);
	return n + ear_count(ear);
}

static void send_marker(struct bed *bed, const char *text)
{
	struct fm_error err;

	CHECK(gate_send_marker(bed->gate, mac_a, mac_b, text, strlen(text), &err) == 0, "%s", err.text);
}

/*
 * Many times under a fast stream: a holds out and sends a marker at once; whatever passed before it must be at b's
 * gate before the marker, so that nothing more comes there.  b's gate is shut, and counts.
 */
void marker_comes_last(void)
{
	struct bed bed;
	struct gate *other;
	struct seen seen;
	struct udp_stream s;
	struct udp_result r;
	uint64_t frames = 0, until;
	struct fm_error err;

	bed_guests();
	bed_up(&bed, "va");
	other = gate_on(bed.system, "vb");
	bed_link_wait(other);
	seen = (struct seen){ .gate = other };
	gate_on_marker(other, on_marker, &seen);
	udp_start(&s, 'a', 'b', ENDLESS, 10000, 60);
	for (int i = 0; i < 20; i++) {
		bool done = false;

		loop_for(bed.base, 20);
		bed_hold(other, true, LEASE_MS);
		loop_for(bed.base, 30);
		until = now_ns() + 20000 * MS;
		while (held_of_a(other, GATE_IN) < 30 && now_ns() < until)
			loop_for(bed.base, 5);
		seen.came = false;
		bed_hold(bed.gate, false, LEASE_MS);
		send_marker(&bed, "last");
		loop_until(bed.base, &seen.came);
		loop_for(bed.base, 20); /* a late one would come now */
		CHECK(gate_drain(other, &err) == 0, "%s", err.text);
		CHECK(held_of_a(other, GATE_IN) == seen.held_in, "%lu frames came after the marker",
		      (unsigned long)(held_of_a(other, GATE_IN) - seen.held_in));
		frames += seen.held_in;
		CHECK(gate_release(other, bed_flag, &done, &err) == 0, "%s", err.text);
		bed_release(&bed);
		loop_until(bed.base, &done);
	}
	CHECK(frames > 500, "only %lu frames were there to be overtaken", (unsigned long)frames);
	CHECK(seen.count == 20, "%u markers of 20", seen.count);
	udp_stop(&s);
	udp_finish(&s, &r);
	CHECK(r.lost == 0 && r.duplicated == 0 && r.reordered == 0, "lost %u, doubled %u, reordered %u", r.lost,
	      r.duplicated, r.reordered);
	bed_down(&bed);
}

/* Open, held out, held both ways; at rest and while a stream runs the other way. */
void marker_is_no_frame(void)
{
	struct bed bed;
	struct gate *other;
	struct seen seen;
	struct guest_ear ears[2];
	struct udp_stream s;
	struct udp_result r;
	struct gate_stats stats;
	struct fm_error err;
	char text[GATE_MARKER_MAX + 1] = "";
	bool done = false;

	bed_guests();
	bed_up(&bed, "va");
	other = gate_on(bed.system, "vb");
	bed_link_wait(other);
	CHECK(gate_marks(bed.system), "no markers");
	ear_open(&ears[0], 'a');
	ear_open(&ears[1], 'b');
	seen = (struct seen){ .gate = other };
	gate_on_marker(other, on_marker, &seen);
	udp_start(&s, 'b', 'a', 3000, 2000, 1000);
	loop_for(bed.base, 100);
	for (unsigned i = 0; i <= GATE_MARKER_MAX; i++) {
		if (i == 20)
			bed_hold(bed.gate, false, LEASE_MS);
		if (i == 30)
			bed_hold(other, false, LEASE_MS);
		if (i == 40)
			bed_hold(other, true, LEASE_MS);
		memset(text, 'a' + (int)i % 26, i);
		seen.came = false;
		send_marker(&bed, text);
		loop_until(bed.base, &seen.came);
		CHECK(strcmp(seen.text, text) == 0, "the marker \"%s\" came as \"%s\"", text, seen.text);
	}
	/* a drain must not wait for frames that nobody counted */
	CHECK(gate_drain(other, &err) == 0, "%s", err.text);
	CHECK(held_of_a(other, GATE_IN) == 0, "%lu markers held as frames", (unsigned long)held_of_a(other, GATE_IN));
	CHECK(gate_release(other, bed_flag, &done, &err) == 0, "%s", err.text);
	bed_release(&bed);
	loop_until(bed.base, &done);
	gate_stats(other, &stats);
	CHECK(stats.dropped == 0 && !gate_expired(bed.gate) && !gate_expired(other), "dropped %lu",
	      (unsigned long)stats.dropped);
	udp_finish(&s, &r);
	CHECK(r.lost == 0 && r.duplicated == 0 && r.reordered == 0, "lost %u, doubled %u, reordered %u", r.lost,
	      r.duplicated, r.reordered);
	CHECK(seen.count == GATE_MARKER_MAX + 1, "%u markers", seen.count);
	CHECK(ear_count(&ears[0]) == 0 && ear_count(&ears[1]) == 0, "a guest got a marker");
	bed_down(&bed);
}

static size_t look_alike(uint8_t frame_r[GATE_MARKER_FRAME_MAX])
{
	return gate_marker_build(frame_r, mac_a, mac_b, "false", 5);
}

/* A guest's look-alikes end at its own gate, open or shut; the same type with other bytes is a frame as any. */
void guest_makes_no_markers(void)
{
	uint8_t frame[GATE_MARKER_FRAME_MAX];
	size_t size = look_alike(frame);
	struct bed bed;
	struct gate *other;
	struct seen seen;
	struct guest_ear ear;
	struct fm_error err;
	int fd;

	bed_guests();
	bed_up(&bed, "va");
	other = gate_on(bed.system, "vb");
	bed_link_wait(other);
	seen = (struct seen){ .gate = other };
	gate_on_marker(other, on_marker, &seen);
	ear_open(&ear, 'b');
	fd = bed_in_guest('a', raw_socket, 0, "eth0");
	CHECK(send(fd, frame, size, 0) == (ssize_t)size, "send: %s", strerror(errno));
	bed_hold(bed.gate, false, LEASE_MS);
	CHECK(send(fd, frame, size, 0) == (ssize_t)size, "send: %s", strerror(errno));
	frame[14] ^= 1; /* the magic */
	CHECK(send(fd, frame, size, 0) == (ssize_t)size, "send: %s", strerror(errno));
	for (unsigned ms = 0; ms < 20000 && held_of_a(bed.gate, GATE_OUT) == 0; ms++)
		loop_for(bed.base, 1);
	loop_for(bed.base, 50);
	CHECK(gate_drain(bed.gate, &err) == 0, "%s", err.text);
	CHECK(held_of_a(bed.gate, GATE_OUT) == 1, "%lu held", (unsigned long)held_of_a(bed.gate, GATE_OUT));
	CHECK(seen.count == 0 && ear_count(&ear) == 0, "a guest's look-alike went through");
	send_marker(&bed, "true");
	loop_until(bed.base, &seen.came);
	CHECK(strcmp(seen.text, "true") == 0, "%s", seen.text);
	bed_release(&bed);
	CHECK(ear_wait(&ear, bed.base, 1) == 1, "the frame that is no marker did not come");
	close(fd);
	bed_down(&bed);
}

/* Past the agent's death its programs are still there: they must not let a guest see what is not for it. */
void dead_agent_lets_no_marker_through(void)
{
	uint8_t frame[GATE_MARKER_FRAME_MAX];
	size_t size = look_alike(frame);
	struct guest_ear ear;
	struct udp_stream s;
	struct udp_result r;
	int fds[2], host, status;
	struct event_base *base;
	char c;
	pid_t agent;

	bed_guests();
	ear_open(&ear, 'b');
	host = raw_socket(0, "br0");
	CHECK(send(host, frame, size, 0) == (ssize_t)size, "send: %s", strerror(errno));
	base = event_base_new();
	CHECK(ear_wait(&ear, base, 1) == 1, "without a gate it arrives: the test would see nothing");
	event_base_free(base);
	CHECK(pipe(fds) == 0, "pipe");
	fflush(NULL);
	agent = fork();
	if (agent == 0) {
		struct bed bed;

		bed_up(&bed, "vb");
		CHECK(write(fds[1], "u", 1) == 1, "pipe");
		loop_for(bed.base, 60000);
		_exit(0);
	}
	CHECK(read(fds[0], &c, 1) == 1, "the agent failed");
	kill(agent, SIGKILL);
	CHECK(waitpid(agent, &status, 0) == agent, "waitpid");
	for (int i = 0; i < 5; i++)
		CHECK(send(host, frame, size, 0) == (ssize_t)size, "send: %s", strerror(errno));
	/* and frames do pass */
	udp_start(&s, 'a', 'b', 100, 2000, 100);
	udp_finish(&s, &r);
	CHECK(r.lost == 0, "lost %u", r.lost);
	CHECK(ear_count(&ear) == 0, "a guest got a marker from a dead agent's gate");
	close(host);
}

/* A restored guest's network believes it elsewhere: a marker to all out of its shut gate puts that right, and no guest gets it. */
void marker_to_all_moves_the_guest(void)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct guest_ear ear;
	struct gate *other;
	struct fm_error err;
	struct bed bed;

	bed_guests();
	bed_up(&bed, "va");
	other = gate_on(bed.system, "vb");
	bed_link_wait(other);
	ear_open(&ear, 'b');
	/* shut first: what its kernel chatters would put it right, too */
	CHECK(gate_close(bed.gate, &err) == 0, "%s", err.text);
	bed_sh("bridge fdb replace 02:00:00:00:00:0a dev vb master dynamic");
	bed_sh("! bridge fdb show br br0 | grep -q '^02:00:00:00:00:0a dev va .*master'");
	CHECK(gate_send_marker(bed.gate, mac_a, all, "", 0, &err) == 0, "%s", err.text);
	bed_sh("for i in $(seq 200); do bridge fdb show br br0 | grep -q '^02:00:00:00:00:0a dev va .*master' && exit; "
	       "sleep 0.1; done; exit 1");
	loop_for(bed.base, 50);
	CHECK(ear_count(&ear) == 0, "a guest got it");
	gate_destroy(other);
	bed_down(&bed);
}
