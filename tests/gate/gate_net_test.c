/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate_net_test.c - the eBPF gate on a real bridge, under traffic.
 *
 * Promises: a hold and its release lose nothing, double nothing and keep the
 * order, for UDP and TCP, either way; a hold ends in the kernel when its agent
 * hangs, and at once when its agent dies; what a dead agent left is put right;
 * held frames can be delivered by another host.  Markers: marker_tests.c.
 *
 * Usage: gate_net_test [TEST…]. Exit 77: this machine cannot (reason on stderr).
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gatebed.h"

#define LEASE_MS 60000 /* of a hold that the test itself ends */

/* Until so many frames are held in a direction. */
static void held_wait(struct bed *bed, bool in, uint64_t frames)
{
	uint64_t until = now_ns() + 20000 * MS, held = 0;
	struct gate_stats stats;

	while (held < frames) {
		CHECK(now_ns() < until, "only %lu frames of %lu held", (unsigned long)held, (unsigned long)frames);
		loop_for(bed->base, 10);
		gate_stats(bed->gate, &stats);
		held = in ? stats.held_in_frames : stats.held_out_frames;
	}
}

/* A hold of a second in the middle of a stream. */
static void udp_through_a_hold(char from, char to, bool in)
{
	struct bed bed;
	struct udp_stream s;
	struct udp_result r;
	struct fm_error err;

	bed_guests();
	bed_up(&bed, "va");
	bed_sh("tc qdisc show dev va | grep -q '^qdisc pfifo .* root .* limit 4096p'");
	udp_start(&s, from, to, ENDLESS, 2000, 1000);
	loop_for(bed.base, 700);
	bed_hold(bed.gate, in, LEASE_MS);
	loop_for(bed.base, 1000);
	held_wait(&bed, in, 1500);
	CHECK(gate_drain(bed.gate, &err) == 0, "%s", err.text);
	CHECK(!gate_expired(bed.gate), "expired");
	bed_release(&bed);
	CHECK(!gate_expired(bed.gate), "expired");
	loop_for(bed.base, 300);
	udp_stop(&s);
	udp_finish(&s, &r);
	CHECK(r.lost == 0 && r.duplicated == 0, "lost %u, doubled %u", r.lost, r.duplicated);
	CHECK(r.reordered == 0, "reordered %u", r.reordered);
	CHECK(r.gap_s > 0.5, "the hold did not hold: longest gap %.3f s", r.gap_s);
	bed_down(&bed);
}

static void udp_held_out(void)
{
	udp_through_a_hold('a', 'b', false);
}

static void udp_held_in(void)
{
	udp_through_a_hold('b', 'a', true);
}

/* Many short holds of a fast stream: most of the frames then meet a gate that is about to open. */
static void fast_stream_keeps_order(void)
{
	struct bed bed;
	struct udp_stream s;
	struct udp_result r;

	bed_guests();
	bed_up(&bed, "va");
	udp_start(&s, 'a', 'b', ENDLESS, 10000, 60);
	for (int i = 0; i < 20; i++) {
		loop_for(bed.base, 30);
		bed_hold(bed.gate, i & 1, LEASE_MS);
		loop_for(bed.base, 20);
		bed_release(&bed);
	}
	udp_stop(&s);
	udp_finish(&s, &r);
	CHECK(r.lost == 0 && r.duplicated == 0 && r.reordered == 0, "lost %u, doubled %u, reordered %u", r.lost,
	      r.duplicated, r.reordered);
	bed_down(&bed);
}

/* Both members of a group, streams both ways, three cuts in a row. */
static void udp_group_cut(void)
{
	struct bed bed;
	struct gate *other;
	struct udp_stream s[2];
	struct udp_result r;
	struct fm_error err;
	bool done;

	bed_guests();
	bed_up(&bed, "va");
	other = gate_on(bed.system, "vb");
	udp_start(&s[0], 'a', 'b', ENDLESS, 2000, 1000);
	udp_start(&s[1], 'b', 'a', ENDLESS, 2000, 1000);
	for (int cut = 0; cut < 3; cut++) {
		loop_for(bed.base, 400);
		bed_hold(bed.gate, false, LEASE_MS);
		bed_hold(other, false, LEASE_MS);
		loop_for(bed.base, 20);
		bed_hold(bed.gate, true, LEASE_MS);
		bed_hold(other, true, LEASE_MS);
		loop_for(bed.base, 300);
		done = false;
		CHECK(gate_release(other, bed_flag, &done, &err) == 0, "%s", err.text);
		bed_release(&bed);
		loop_until(bed.base, &done);
	}
	for (int i = 0; i < 2; i++) {
		udp_stop(&s[i]);
		udp_finish(&s[i], &r);
		CHECK(r.lost == 0 && r.duplicated == 0 && r.reordered == 0, "lost %u, doubled %u, reordered %u", r.lost,
		      r.duplicated, r.reordered);
	}
	bed_down(&bed);
}

static void tcp_bulk(void)
{
	struct bed bed;
	struct gate_stats stats;
	struct tcp_stream s;
	struct fm_error err;

	bed_guests();
	bed_up(&bed, "va");
	tcp_start(&s, 'a', 'b', 3000);
	loop_for(bed.base, 500);
	bed_hold(bed.gate, false, LEASE_MS);
	loop_for(bed.base, 1000);
	held_wait(&bed, false, 1);
	CHECK(gate_drain(bed.gate, &err) == 0, "%s", err.text);
	gate_stats(bed.gate, &stats);
	/* large frames stay whole: the capture device takes what is not segmented yet */
	CHECK(stats.held_out_bytes > 1600 * stats.held_out_frames, "%lu frames of %lu bytes: segmented",
	      (unsigned long)stats.held_out_frames, (unsigned long)stats.held_out_bytes);
	bed_release(&bed);
	loop_for(bed.base, 300);
	bed_hold(bed.gate, true, LEASE_MS);
	loop_for(bed.base, 300);
	bed_release(&bed);
	CHECK(tcp_finish(&s) > 10 << 20, "hardly anything went through");
	bed_down(&bed);
}

/* A child that holds the gate when it is told to; it says so, then does as told. */
struct holder {
	pid_t pid;
	int from, to;
};

static void holder_start(struct holder *h, unsigned lease_ms, bool loop)
{
	int up[2], down[2];
	char c;

	CHECK(pipe2(up, O_CLOEXEC) == 0 && pipe2(down, O_CLOEXEC) == 0, "pipe");
	fflush(NULL);
	h->pid = fork();
	if (h->pid == 0) {
		struct bed bed;

		bed_up(&bed, "va");
		CHECK(write(up[1], "u", 1) == 1 && read(down[0], &c, 1) == 1, "pipe");
		bed_hold(bed.gate, false, lease_ms);
		CHECK(write(up[1], "h", 1) == 1, "pipe");
		if (!loop)
			raise(SIGSTOP);
		loop_for(bed.base, 60000);
		_exit(0);
	}
	close(up[1]);
	close(down[0]);
	h->from = up[0];
	h->to = down[1];
	CHECK(read(h->from, &c, 1) == 1, "the holder failed");
}

static void holder_hold(struct holder *h)
{
	char c;

	CHECK(write(h->to, "h", 1) == 1 && read(h->from, &c, 1) == 1, "the holder failed");
	close(h->to);
	close(h->from);
}

/* The agent hangs: the kernel alone lets the frames pass when the lease is over. */
static void kernel_ends_the_lease(void)
{
	struct holder holder;
	struct udp_stream s;
	struct udp_result r;
	int status;

	bed_guests();
	holder_start(&holder, 1000, false);
	udp_start(&s, 'a', 'b', 6000, 2000, 100); /* 3 s, of which at most 1 s held */
	holder_hold(&holder);
	CHECK(waitpid(holder.pid, &status, WUNTRACED) == holder.pid && WIFSTOPPED(status), "the holder does not hang");
	CHECK(waitpid(s.sender, &status, 0) == s.sender && status == 0, "sender");
	s.sender = 0;
	kill(holder.pid, SIGCONT); /* now it releases what it had, late but not lost */
	udp_finish(&s, &r);
	CHECK(r.lost == 0 && r.duplicated == 0, "lost %u, doubled %u", r.lost, r.duplicated);
	CHECK(r.reordered > 100 && r.reordered <= 2001, "%u datagrams came late: nothing was held, or past the lease",
	      r.reordered);
	kill(holder.pid, SIGKILL);
	waitpid(holder.pid, &status, 0);
}

/* The agent is killed: its capture devices die with it, and frames pass at once, long before the lease ends. */
static void dead_agent_opens_at_once(void)
{
	struct bed bed;
	struct udp_stream s;
	struct udp_result r;
	struct fm_error err;
	struct holder holder;
	int status;

	bed_guests();
	holder_start(&holder, LEASE_MS, true);
	holder_hold(&holder);
	udp_receive_start(&s, 'b', 1500);
	s.shared->ended = false;
	udp_send_part('a', 'b', 0, 1000, 100); /* these die with it */
	kill(holder.pid, SIGKILL);
	CHECK(waitpid(holder.pid, &status, 0) == holder.pid, "waitpid");
	udp_send_part('a', 'b', 1000, 500, 100); /* and these do not wait for the lease */
	s.shared->ended = true;
	udp_finish(&s, &r);
	CHECK(r.duplicated == 0 && r.reordered == 0, "doubled %u, reordered %u", r.duplicated, r.reordered);
	CHECK(r.lost == 1000 && r.received == 500, "lost %u of the 1000 that the dead agent held, received %u of the 500 after",
	      r.lost, r.received);

	/* the next agent finds the pinned maps, with the entry in them, and starts clean */
	bed_sh("test -e /sys/fs/bpf/fermata/gate_conf");
	bed_sh("ip tuntap add fmgo77 mode tap && ip link set fmgo77 up");
	bed.base = event_base_new();
	bed.system = bed_system(bed.base);
	CHECK(gate_system_recover(bed.system, &err) == 0, "%s", err.text);
	CHECK(if_nametoindex("fmgo77") == 0, "the left-over capture device is still there");
	bed.gate = gate_on(bed.system, "va");
	udp_start(&s, 'a', 'b', 2000, 2000, 100);
	loop_for(bed.base, 300);
	bed_hold(bed.gate, false, LEASE_MS);
	loop_for(bed.base, 300);
	bed_release(&bed);
	udp_finish(&s, &r);
	CHECK(r.lost == 0 && r.duplicated == 0 && r.reordered == 0, "after the restart: lost %u, doubled %u, reordered %u",
	      r.lost, r.duplicated, r.reordered);
	bed_down(&bed);
	bed_sh("! test -e /sys/fs/bpf/fermata");
}

/* Two agents on one node would open each other's gates. */
static void second_agent_is_told(void)
{
	struct event_base *base = event_base_new();
	struct gate_system *system;
	struct fm_error err;
	struct udp_stream s;
	struct udp_result r;
	struct holder holder;
	int status;

	bed_guests();
	holder_start(&holder, LEASE_MS, true);
	holder_hold(&holder);
	system = bed_system(base);
	CHECK(gate_system_recover(system, &err) < 0 && err.code == FM_BUSY, "recover: not refused");
	CHECK(strstr(err.text, "another agent"), "%s", err.text);
	gate_system_destroy(system);
	event_base_free(base);
	/* the first one's gate still holds: nothing gets through until it dies */
	udp_start(&s, 'a', 'b', 200, 2000, 100);
	CHECK(waitpid(s.sender, &status, 0) == s.sender && status == 0, "sender");
	s.sender = 0;
	kill(holder.pid, SIGKILL);
	waitpid(holder.pid, NULL, 0);
	udp_finish(&s, &r);
	CHECK(r.received == 0, "%u datagrams passed the running agent's gate", r.received);
}

static char held_path[] = "/tmp/gate_net_test.XXXXXX";

/* One host holds what two guests sent each other; runs in a bed of its own. */
static void export_host(void)
{
	struct bed bed;
	struct gate_stats stats;
	struct udp_stream s[2];
	struct fm_error err;
	void *data;
	size_t size;
	FILE *file;
	int status;

	bed_enter();
	bed_guests();
	bed_up(&bed, "va");
	bed_hold(bed.gate, true, LEASE_MS);
	udp_start(&s[0], 'a', 'b', 700, 5000, 1200);
	udp_start(&s[1], 'b', 'a', 500, 5000, 60);
	for (int i = 0; i < 2; i++)
		CHECK(waitpid(s[i].sender, &status, 0) == s[i].sender && status == 0, "sender");
	CHECK(gate_drain(bed.gate, &err) == 0, "%s", err.text);
	gate_stats(bed.gate, &stats);
	CHECK(stats.held_out_frames >= 700 && stats.held_in_frames >= 500, "held %lu, %lu",
	      (unsigned long)stats.held_out_frames, (unsigned long)stats.held_in_frames);
	CHECK(gate_export(bed.gate, &data, &size, &err) == 0, "%s", err.text);
	file = fopen(held_path, "w");
	CHECK(file && fwrite(data, size, 1, file) == 1 && fclose(file) == 0, "%s", held_path);
	kill(s[0].receiver, SIGKILL);
	kill(s[1].receiver, SIGKILL);
	_exit(0); /* this host is lost */
}

/* Another host, the same guests: they get what was held, and what they send meanwhile comes after it. */
static void frames_move_to_another_host(void)
{
	struct bed bed;
	struct udp_stream s[2];
	struct udp_result r;
	struct fm_error err;
	static char data[4 << 20];
	size_t size;
	FILE *file;
	int status;
	pid_t host;

	size = (size_t)mkstemp(held_path);
	CHECK((int)size >= 0, "%s: %s", held_path, strerror(errno));
	close((int)size);
	fflush(NULL);
	host = fork();
	if (host == 0)
		export_host();
	CHECK(waitpid(host, &status, 0) == host && status == 0, "the first host failed");
	file = fopen(held_path, "r");
	CHECK(file, "%s", held_path);
	size = fread(data, 1, sizeof(data), file);
	fclose(file);
	unlink(held_path);
	bed_guests();
	bed_up(&bed, "va");
	CHECK(gate_close(bed.gate, &err) == 0, "%s", err.text);
	data[size / 2] ^= 1;
	CHECK(gate_import(bed.gate, data, size, &err) < 0 && err.code == FM_CORRUPT, "damaged bytes were taken");
	data[size / 2] ^= 1;
	CHECK(gate_import(bed.gate, data, size, &err) == 0, "%s", err.text);
	udp_receive_start(&s[0], 'b', 700);
	udp_receive_start(&s[1], 'a', 500);
	bed_release(&bed);
	for (int i = 0; i < 2; i++) {
		udp_finish(&s[i], &r);
		CHECK(r.lost == 0 && r.duplicated == 0 && r.reordered == 0, "lost %u, doubled %u, reordered %u", r.lost,
		      r.duplicated, r.reordered);
	}
	bed_down(&bed);
}

/* Re-injected frames must not go round between the gates of two members of one node, nor come back. */
static void one_copy_on_the_bridge(void)
{
	struct bed bed;
	struct gate *other;
	struct udp_stream s;
	struct udp_result r;
	struct fm_error err;
	bool done = false;
	int status;

	bed_guests();
	bed_up(&bed, "va");
	other = gate_on(bed.system, "vb");
	bed_hold(bed.gate, true, LEASE_MS);
	bed_hold(other, true, LEASE_MS);
	udp_start(&s, 'a', 'b', 300, 2000, 100);
	CHECK(waitpid(s.sender, &status, 0) == s.sender && status == 0, "sender");
	s.sender = 0;
	CHECK(gate_drain(bed.gate, &err) == 0, "%s", err.text);
	/* a's gate gives back while b's is still held in: they wait there, once */
	bed_release(&bed);
	CHECK(gate_drain(other, &err) == 0, "%s", err.text);
	CHECK(held_of_a(other, GATE_IN) == 300, "b holds %lu frames of 300", (unsigned long)held_of_a(other, GATE_IN));
	CHECK(gate_release(other, bed_flag, &done, &err) == 0, "%s", err.text);
	loop_until(bed.base, &done);
	udp_finish(&s, &r);
	CHECK(r.lost == 0 && r.duplicated == 0 && r.reordered == 0, "lost %u, doubled %u, reordered %u", r.lost,
	      r.duplicated, r.reordered);
	bed_down(&bed);
}

/* A guest that does not take frames: a TAP whose reader waits. */
static int lazy_guest(void)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	strcpy(ifr.ifr_name, "vl");
	CHECK(fd >= 0 && ioctl(fd, TUNSETIFF, &ifr) == 0, "tun: %s", strerror(errno));
	bed_sh("ip link set vl txqueuelen 50 && ip link set vl master br0 up");
	bed_sh("sysctl -qw net.ipv6.conf.vl.disable_ipv6=1 || true");
	return fd;
}

static void paused_guest_gets_all_later(void)
{
	struct bed bed;
	struct gate_stats stats;
	struct fm_error err;
	bool done = false;
	unsigned next = 0, number;
	char buf[2000];
	int fd, status;

	bed_guests();
	fd = lazy_guest();
	bed_up(&bed, "vl");
	/* a queue before it would hide from us that the TAP does not take more */
	bed_sh("tc qdisc replace dev vl root noqueue");
	bed_sh("ip -n b neigh add 10.9.0.9 lladdr 02:00:00:00:00:09 dev eth0");
	bed_sh("bridge fdb add 02:00:00:00:00:09 dev vl master static");
	while (read(fd, buf, sizeof(buf)) > 0)
		; /* what the bridge said when the port came up */
	bed_hold(bed.gate, true, LEASE_MS);
	CHECK(waitpid(udp_send_start('b', 'i', 400, 4000, 100), &status, 0) > 0 && status == 0, "sender");
	CHECK(gate_drain(bed.gate, &err) == 0, "%s", err.text);
	gate_stats(bed.gate, &stats);
	CHECK(stats.held_in_frames >= 400, "%lu held", (unsigned long)stats.held_in_frames);
	CHECK(gate_release(bed.gate, bed_flag, &done, &err) == 0, "%s", err.text);
	loop_for(bed.base, 300);
	CHECK(!done, "the release says it is done while the guest has not taken the frames");
	while (!done || next < 400) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0)
			loop_for(bed.base, 1);
		if (n != 14 + 20 + 8 + 100)
			continue; /* not ours, or none now */
		memcpy(&number, buf + 42, sizeof(number));
		CHECK(number == next, "frame %u came when it was %u's turn", number, next);
		next++;
	}
	gate_stats(bed.gate, &stats);
	CHECK(stats.dropped == 0, "%lu dropped", (unsigned long)stats.dropped);
	bed_down(&bed);
}

/* netback drops what is too much for a slow guest: no more than a window may be on its way to it. */
static void slow_guest_is_not_flooded(void)
{
	struct bed bed;
	struct gate_stats stats;
	struct fm_error err;
	bool done = false;
	unsigned next = 0, number;
	char buf[2000];
	int fd, status;
	uint64_t until;

	bed_guests();
	fd = lazy_guest();
	bed_sh("ip link set vl txqueuelen 2000"); /* it would take all of them at once */
	bed_up(&bed, "vl");
	bed_sh("ip -n b neigh add 10.9.0.9 lladdr 02:00:00:00:00:09 dev eth0");
	bed_sh("bridge fdb add 02:00:00:00:00:09 dev vl master static");
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	bed_hold(bed.gate, true, LEASE_MS);
	CHECK(waitpid(udp_send_start('b', 'i', 700, 4000, 1400), &status, 0) > 0 && status == 0, "sender");
	CHECK(gate_drain(bed.gate, &err) == 0, "%s", err.text);
	CHECK(gate_release(bed.gate, bed_flag, &done, &err) == 0, "%s", err.text);
	until = now_ns() + 20000 * MS;
	do {
		loop_for(bed.base, 10);
		gate_stats(bed.gate, &stats);
	} while (stats.reinjected < 100 && now_ns() < until);
	loop_for(bed.base, 500); /* for more than there may be */
	gate_stats(bed.gate, &stats);
	/* a few of what kernels chatter are among them */
	CHECK(!done && stats.reinjected >= 100 && stats.reinjected <= (256 << 10) / 1442 + 20, "%lu of 700 on their way",
	      (unsigned long)stats.reinjected);
	while (!done || next < 700) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0)
			loop_for(bed.base, 1);
		if (n != 14 + 20 + 8 + 1400)
			continue;
		memcpy(&number, buf + 42, sizeof(number));
		CHECK(number == next, "frame %u came when it was %u's turn", number, next);
		next++;
	}
	gate_stats(bed.gate, &stats);
	CHECK(stats.dropped == 0, "%lu dropped", (unsigned long)stats.dropped);
	bed_down(&bed);
}

/* The domain is destroyed with frames held: no error, no wait for a guest that is gone. */
static void vif_goes_away(void)
{
	struct bed bed;
	struct udp_stream s;
	struct fm_error err;
	bool done = false;

	bed_guests();
	bed_up(&bed, "va");
	bed_hold(bed.gate, true, LEASE_MS);
	udp_start(&s, 'a', 'b', 200, 5000, 100);
	held_wait(&bed, false, 200);
	bed_sh("ip link del va");
	CHECK(!gate_link_ready(bed.gate), "a link that is gone is ready");
	CHECK(gate_release(bed.gate, bed_flag, &done, &err) == 0, "%s", err.text);
	/* to wait for a device would take hundreds of looks at it */
	for (int looks = 0; looks < 100 && !done; looks++)
		CHECK(event_base_loop(bed.base, EVLOOP_ONCE) == 0, "nothing to wait for, and the release is not done");
	CHECK(done, "the release waits for a device that is gone");
	gate_destroy(bed.gate);
	bed_down(&bed);
	kill(s.sender, SIGKILL);
	kill(s.receiver, SIGKILL);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "udp_held_out", udp_held_out },
	{ "udp_held_in", udp_held_in },
	{ "fast_stream_keeps_order", fast_stream_keeps_order },
	{ "udp_group_cut", udp_group_cut },
	{ "tcp_bulk", tcp_bulk },
	{ "kernel_ends_the_lease", kernel_ends_the_lease },
	{ "dead_agent_opens_at_once", dead_agent_opens_at_once },
	{ "second_agent_is_told", second_agent_is_told },
	{ "frames_move_to_another_host", frames_move_to_another_host },
	{ "one_copy_on_the_bridge", one_copy_on_the_bridge },
	{ "paused_guest_gets_all_later", paused_guest_gets_all_later },
	{ "slow_guest_is_not_flooded", slow_guest_is_not_flooded },
	{ "vif_goes_away", vif_goes_away },
	{ "marker_comes_last", marker_comes_last },
	{ "marker_is_no_frame", marker_is_no_frame },
	{ "guest_makes_no_markers", guest_makes_no_markers },
	{ "dead_agent_lets_no_marker_through", dead_agent_lets_no_marker_through },
	{ "marker_to_all_moves_the_guest", marker_to_all_moves_the_guest },
};

/* Each in a process of its own, whose namespaces go with it. */
static int run(unsigned i)
{
	int status;
	pid_t pid;

	bed_why()[0] = '\0';
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(240);
		setvbuf(stdout, NULL, _IOLBF, 0);
		bed_enter();
		tests[i].run();
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	unsigned failed = 0, skipped = 0, n = sizeof(tests) / sizeof(tests[0]);
	char names[4000] = ""; /* of those that failed, and why, again at the end: only that may be all one sees */

	for (unsigned i = 0; i < n; i++) {
		bool wanted = argc < 2;
		int r;

		for (int a = 1; a < argc; a++)
			wanted = wanted || strcmp(argv[a], tests[i].name) == 0;
		if (!wanted)
			continue;
		printf("%s\n", tests[i].name);
		r = run(i);
		printf("%s: %s\n", r == 0 ? "PASS" : r == EXIT_SKIP ? "SKIP" : "FAIL", tests[i].name);
		if (r != 0 && r != EXIT_SKIP) {
			size_t have = strlen(names);

			snprintf(names + have, sizeof(names) - have, "FAILED %s: %s\n", tests[i].name, bed_why());
			failed++;
		}
		skipped += r == EXIT_SKIP;
	}
	printf("%s%u failed, %u skipped\n", names, failed, skipped);
	return failed ? 1 : skipped ? EXIT_SKIP : 0;
}
