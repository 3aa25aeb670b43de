/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * traffic.c - numbered datagrams between two guests; static, runs in a guest of busybox.
 *
 * Usage: traffic send IP COUNT RATE SIZE    waits until the receiver answers, then sends
 *        traffic receive COUNT              answers, counts, prints one line, again for ever
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 9000
#define HELLO UINT32_MAX
#define SIZE_MAX_ 1472
#define QUIET_S 60 /* of its own time, which stands still while it is saved */

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void timeout_set(int fd, int seconds)
{
	struct timeval tv = { .tv_sec = seconds };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

static int send_all(const char *ip, uint32_t count, double rate, size_t size)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	char buf[SIZE_MAX_] = "";
	uint32_t hello = HELLO;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	double start;

	if (inet_pton(AF_INET, ip, &in.sin_addr) != 1 || size < 4 || size > sizeof(buf))
		return 2;
	if (connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
		return 1;
	timeout_set(fd, 1);
	do {
		if (send(fd, &hello, sizeof(hello), 0) < 0)
			usleep(100000);
	} while (recv(fd, buf, sizeof(buf), 0) < 0);
	puts("traffic: the receiver answers");
	fflush(stdout);
	start = now_s();
	for (uint32_t i = 0; i < count; i++) {
		double wait = start + i / rate - now_s();

		if (wait > 0)
			usleep((useconds_t)(wait * 1e6));
		memcpy(buf, &i, sizeof(i));
		if (send(fd, buf, size, 0) < 0)
			perror("traffic: send");
	}
	printf("traffic: sent %u in %.1f s\n", count, now_s() - start);
	return 0;
}

/* Which are missing, and what the guest itself knows of it. */
static void explain(const unsigned char *have, uint32_t count)
{
	char line[256];
	FILE *file;
	int ranges = 0;

	for (uint32_t i = 0; i < count && ranges < 12; i++) {
		uint32_t first = i;

		while (i < count && !have[i])
			i++;
		if (i > first && ranges++ >= 0)
			printf("traffic: missing %u-%u\n", first, i - 1);
	}
	file = fopen("/proc/net/snmp", "r");
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, "Udp:", 4) == 0 || strncmp(line, "Ip:", 3) == 0)
			printf("traffic: %s", line);
	file = fopen("/proc/net/dev", "r");
	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, "eth0"))
			printf("traffic: %s", line);
	fflush(stdout);
}

static void receive(int fd, uint32_t count)
{
	unsigned char *have = calloc(count, 1);
	uint32_t number, highest = 0, received = 0, doubled = 0, reordered = 0;
	double last = 0, gap = 0;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char buf[SIZE_MAX_];

	timeout_set(fd, 0);
	for (;;) {
		ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);

		if (n < 0 && errno == EINTR)
			continue; /* the guest was suspended: a socket with a timeout is not waited on again by itself */
		if (n < (ssize_t)sizeof(number))
			break;
		memcpy(&number, buf, sizeof(number));
		if (number == HELLO) {
			sendto(fd, buf, sizeof(number), 0, (struct sockaddr *)&from, len);
			continue;
		}
		timeout_set(fd, received + 1 >= count ? 1 : QUIET_S);
		if (number >= count)
			continue;
		if (last > 0 && now_s() - last > gap)
			gap = now_s() - last;
		last = now_s();
		if (have[number])
			doubled++;
		else if (number < highest)
			reordered++;
		received += !have[number];
		have[number] = 1;
		if (number > highest)
			highest = number;
	}
	printf("traffic: received %u lost %u doubled %u reordered %u, longest gap %.3f s\n", received, count - received,
	       doubled, reordered, gap);
	if (received < count)
		explain(have, count);
	fflush(stdout);
	free(have);
}

int main(int argc, char **argv)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd, size = 4 << 20;

	if (argc == 6 && strcmp(argv[1], "send") == 0)
		return send_all(argv[2], (uint32_t)atoi(argv[3]), atof(argv[4]), (size_t)atoi(argv[5]));
	if (argc != 3 || strcmp(argv[1], "receive") != 0)
		return 2;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
		return 1;
	for (;;)
		receive(fd, (uint32_t)atoi(argv[2]));
}
