/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_guest.c - the process behind a simulated domain (agent/hypervisor/sim_guest.h).
 *
 * It sends every other member numbered messages, $FERMATA_SIM_RATE a second
 * (default 200), and looks at the numbers of those it gets.  What it has sent
 * and received is its memory.  A message is a frame:
 *
 *	0  14  to, from, ethertype 0x88b6 (local experimental 2)
 *	14  4  from which rank, little-endian
 *	18  4  to which
 *	22  8  number, from 0 on
 *	30  …  zeros up to 64
 *
 * The members' MACs follow one another, by rank.  Memory:
 *	{"rank":r, "members":n, "begun":bool, "sent":[…], "received":[…], "lost":[…], "again":[…], "longest_ms":x}
 * begun: by the order `begin`, which a test gives when all members are there to listen; then by peer: messages sent; the next number expected; numbers that were skipped; numbers that came when a higher one had
 * come before (doubled or late).
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
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

#include <json-c/json.h>

#define CTL_FD 3
#define DATA_FD 4
#define FRAME_SIZE 64
#define ETHERTYPE 0x88b6
#define ORDER_MAX (1u << 20)
#define BURST 64 /* sent at once to one peer at most: what a stop made late is not made up for */
#define LOOK_NS 500000000ull

static const char *domain_file, *gate_path;
static uint8_t mac[6];
static unsigned rank, members;
static uint64_t *sent, *received, *lost, *again;
static bool running, begun;
static uint64_t rate, sent_since, since_ns; /* per peer, since it runs */
static uint64_t last_ns, longest_ns;        /* the longest silence, while it ran */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void mac_of(unsigned member, uint8_t mac_r[6])
{
	uint32_t low = ((uint32_t)mac[3] << 16 | (uint32_t)mac[4] << 8 | mac[5]) - rank + member;

	memcpy(mac_r, mac, 3);
	mac_r[3] = (uint8_t)(low >> 16);
	mac_r[4] = (uint8_t)(low >> 8);
	mac_r[5] = (uint8_t)low;
}

/* ---- messages ---------------------------------------------------------------------------- */

/* Again after the agent was restarted: its socket is another one then. */
static void find_gate(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	strncpy(un.sun_path, gate_path, sizeof(un.sun_path) - 1);
	connect(DATA_FD, (struct sockaddr *)&un, sizeof(un));
}

static bool send_one(unsigned peer)
{
	uint8_t frame[FRAME_SIZE] = { 0 };
	uint32_t from = htole32(rank), to = htole32(peer);
	uint64_t number = htole64(sent[peer]);

	mac_of(peer, frame);
	memcpy(frame + 6, mac, 6);
	frame[12] = ETHERTYPE >> 8;
	frame[13] = ETHERTYPE & 0xff;
	memcpy(frame + 14, &from, 4);
	memcpy(frame + 18, &to, 4);
	memcpy(frame + 22, &number, 8);
	if (send(DATA_FD, frame, sizeof(frame), MSG_DONTWAIT) < 0) {
		if (errno != EAGAIN)
			find_gate();
		return false;
	}
	sent[peer]++;
	return true;
}

/* What is due by now; a peer's turn that fails waits for the next tick. */
static void send_due(void)
{
	uint64_t due = (now_ns() - since_ns) * rate / 1000000000u;
	unsigned burst = 0;

	while (sent_since < due && burst++ < BURST) {
		sent_since++;
		for (unsigned peer = 0; peer < members; peer++)
			if (peer != rank)
				send_one(peer);
	}
	if (sent_since < due)
		sent_since = due;
}

static void receive_all(void)
{
	uint8_t frame[2048];
	uint32_t from, to;
	uint64_t number;
	ssize_t n;

	while ((n = recv(DATA_FD, frame, sizeof(frame), MSG_DONTWAIT)) >= 0) {
		if (n < FRAME_SIZE || frame[12] != ETHERTYPE >> 8 || frame[13] != (ETHERTYPE & 0xff) ||
		    memcmp(frame, mac, sizeof(mac)) != 0)
			continue;
		memcpy(&from, frame + 14, 4);
		memcpy(&to, frame + 18, 4);
		memcpy(&number, frame + 22, 8);
		from = le32toh(from);
		number = le64toh(number);
		if (from >= members || le32toh(to) != rank)
			continue;
		if (number < received[from]) {
			again[from]++;
			continue;
		}
		lost[from] += number - received[from];
		received[from] = number + 1;
		if (last_ns != 0 && now_ns() - last_ns > longest_ns)
			longest_ns = now_ns() - last_ns;
		last_ns = now_ns();
	}
}

/* ---- memory ------------------------------------------------------------------------------ */

static struct { const char *key; uint64_t **values; } const counts[] = {
	{ "sent", &sent }, { "received", &received }, { "lost", &lost }, { "again", &again },
};

static struct json_object *memory_save(void)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "rank", json_object_new_int((int)rank));
	json_object_object_add(o, "members", json_object_new_int((int)members));
	json_object_object_add(o, "begun", json_object_new_boolean(begun));
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct json_object *a = json_object_new_array();

		for (unsigned peer = 0; peer < members; peer++)
			json_object_array_add(a, json_object_new_int64((int64_t)(*counts[i].values)[peer]));
		json_object_object_add(o, counts[i].key, a);
	}
	json_object_object_add(o, "longest_ms", json_object_new_double((double)longest_ns / 1e6));
	return o;
}

static void memory_load(const char *text)
{
	struct json_object *o = json_tokener_parse(text);

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct json_object *a = json_object_object_get(o, counts[i].key);

		if (!a || json_object_array_length(a) != members)
			_exit(3); /* not this member's: whoever waits for an answer gets none */
		for (unsigned peer = 0; peer < members; peer++)
			(*counts[i].values)[peer] = (uint64_t)json_object_get_int64(json_object_array_get_idx(a, peer));
	}
	begun = json_object_get_boolean(json_object_object_get(o, "begun"));
	json_object_put(o);
}

/* ---- orders ------------------------------------------------------------------------------ */

static void obey(char *order, int fd)
{
	struct json_object *answer = NULL;

	if (strncmp(order, "load ", 5) == 0) {
		memory_load(order + 5);
	} else if (strcmp(order, "begin") == 0) {
		begun = true;
		since_ns = now_ns();
		sent_since = 0;
	} else if (strcmp(order, "run") == 0) {
		running = true;
		since_ns = now_ns();
		sent_since = 0;
		last_ns = 0;
	} else if (strcmp(order, "stop") == 0) {
		receive_all();
		running = false;
		answer = memory_save();
	} else if (strcmp(order, "look") == 0) {
		answer = memory_save();
	}
	dprintf(fd, "%s\n", answer ? json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN) : "{}");
	json_object_put(answer);
	if (strcmp(order, "quit") == 0)
		_exit(0);
}

static void take_order(void)
{
	static char order[ORDER_MAX];
	int fd = accept(CTL_FD, NULL, NULL);
	size_t n = 0;
	ssize_t r;

	while (fd >= 0 && n < sizeof(order) && (r = read(fd, order + n, sizeof(order) - n)) > 0) {
		n += (size_t)r;
		if (order[n - 1] == '\n') {
			order[n - 1] = '\0';
			obey(order, fd);
			break;
		}
	}
	close(fd);
}

static void live(void)
{
	uint64_t looked_ns = now_ns();
	struct stat st;

	for (;;) {
		struct pollfd fds[2] = { { .fd = CTL_FD, .events = POLLIN },
					 { .fd = running ? DATA_FD : -1, .events = POLLIN } };

		poll(fds, 2, running ? 2 : 200);
		if (fds[0].revents)
			take_order();
		if (running) {
			receive_all();
			if (begun)
				send_due();
		}
		if (now_ns() - looked_ns > LOOK_NS) {
			looked_ns = now_ns();
			if (stat(domain_file, &st) < 0)
				_exit(0);
		}
	}
}

int main(int argc, char **argv)
{
	const char *text = getenv("FERMATA_SIM_RATE");

	if (argc != 6 || sscanf(argv[3], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
				&mac[5]) != 6)
		return 2;
	domain_file = argv[1];
	gate_path = argv[2];
	rank = (unsigned)atoi(argv[4]);
	members = (unsigned)atoi(argv[5]);
	rate = text ? (uint64_t)atoi(text) : 200;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		*counts[i].values = calloc(members, sizeof(uint64_t));
	find_gate();
	live();
}
