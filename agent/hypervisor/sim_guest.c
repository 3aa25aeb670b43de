/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim_guest.c - see sim_guest.h. */
#include "config.h"

#include "agent/hypervisor/sim_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/hypervisor/sim.h"
#include "common/cleanup.h"
#include "common/io.h"

#define MEMORY_MAX ((size_t)1 << 20)
#define ANSWER_S 10
#define CTL_FD 3
#define DATA_FD 4

bool sim_guest_wanted(void)
{
	const char *program = getenv("FERMATA_SIM_GUEST");

	return program && *program;
}

static int address(const char *path, struct sockaddr_un *un_r, struct fm_error *err)
{
	*un_r = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!path || strlen(path) >= sizeof(un_r->sun_path))
		return fm_fail(err, FM_FAILED, "no memory, or too long a path for a socket");
	strcpy(un_r->sun_path, path);
	return 0;
}

static int socket_at(const char *path, int type, struct fm_error *err)
{
	struct sockaddr_un un;
	FM_AUTO_CLOSE int fd = -1;

	if (address(path, &un, err) < 0)
		return -1;
	unlink(path);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || (type == SOCK_STREAM && listen(fd, 8) < 0))
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	return fm_steal_fd(&fd);
}

/* What the runner would be told: the member's rank, and how many there are. */
static int identity(const struct sim_domain *d, int64_t *rank_r, size_t *members_r, struct fm_error *err)
{
	const char *text = fm_json_string_or(d->params, "params", "");
	FM_AUTO_JSON struct json_object *params = fm_json_parse(text, strlen(text), err);
	struct json_object *nodes;

	if (!params || fm_json_int(params, "rank", 0, 4096, rank_r, err) < 0 ||
	    fm_json_array(params, "nodes", 4096, &nodes, err) < 0)
		return fm_context(err, "a guest process needs the runner's params");
	*members_r = json_object_array_length(nodes);
	return 0;
}

/* In the child: nothing of the worker's but its log. */
static void become(char *const argv[], int ctl, int data)
{
	int null = open("/dev/null", O_RDWR);

	setsid();
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO); /* the agent waits until the worker's log is closed */
	/* out of the way of the numbers they shall have */
	ctl = fcntl(ctl, F_DUPFD_CLOEXEC, 10);
	data = fcntl(data, F_DUPFD_CLOEXEC, 10);
	dup2(ctl, CTL_FD);
	dup2(data, DATA_FD);
	for (int fd = DATA_FD + 1; fd < 256; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	signal(SIGPIPE, SIG_DFL);
	execv(argv[0], argv);
	_exit(127);
}

static int spawn(char *const argv[], const char *ctl_path, const char *data_path, struct fm_error *err)
{
	FM_AUTO_CLOSE int ctl = socket_at(ctl_path, SOCK_STREAM, err);
	FM_AUTO_CLOSE int data = ctl < 0 ? -1 : socket_at(data_path, SOCK_DGRAM, err);
	pid_t pid;

	if (data < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return fm_fail(err, FM_FAILED, "fork: %s", strerror(errno));
	if (pid == 0)
		become(argv, ctl, data);
	return 0;
}

static int load(struct hypervisor *hv, const struct sim_domain *d, struct fm_error *err)
{
	FM_AUTO_FREE char *order = d->memory ? fm_format("load %s", fm_json_text(d->memory)) : strdup("look");

	if (!order)
		return fm_fail(err, FM_FAILED, "out of memory");
	return sim_guest_order(hv, d->info.name, order, NULL, err); /* and so we know that it is up */
}

int sim_guest_start(struct hypervisor *hv, struct sim_domain *d, struct fm_error *err)
{
	FM_AUTO_FREE char *file = fm_format("%s/%s.json", hv->dir, d->info.name);
	FM_AUTO_FREE char *ctl = fm_format("%s/%s.ctl", hv->dir, d->info.name);
	FM_AUTO_FREE char *data = fm_format("%s/%s.guest", hv->dir, d->info.vifs[0]);
	FM_AUTO_FREE char *gate = fm_format("%s/%s.gate", hv->dir, d->info.vifs[0]);
	FM_AUTO_FREE char *macfile = fm_format("%s/%s.mac", hv->dir, d->info.vifs[0]);
	const char *mac;
	char rank_text[16], members_text[16];
	int64_t rank = 0;
	size_t members = 0;

	if (!file || !ctl || !data || !gate || !macfile)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (d->info.vif_count == 0)
		return fm_fail(err, FM_USAGE, "a guest process needs a network device");
	if (identity(d, &rank, &members, err) < 0)
		return -1;
	mac = fm_json_string_or(json_object_array_get_idx(d->vifs, 0), "mac", "");
	snprintf(rank_text, sizeof(rank_text), "%d", (int)rank);
	snprintf(members_text, sizeof(members_text), "%zu", members);
	if (sim_store(hv, d, err) < 0 || /* it lives as long as that file */
	    fm_file_write(macfile, 0600, mac, strlen(mac), err) < 0)
		return -1;
	char *const argv[] = { getenv("FERMATA_SIM_GUEST"), file, gate, (char *)mac, rank_text, members_text, NULL };

	if (spawn(argv, ctl, data, err) == 0 && load(hv, d, err) == 0)
		return 0;
	sim_guest_end(hv, d);
	unlink(file);
	return fm_context(err, "the guest's process");
}

/* One line, without its end. */
static char *answer_read(int fd, struct fm_error *err)
{
	FM_AUTO_FREE char *text = malloc(MEMORY_MAX);
	size_t n = 0;

	while (text && n < MEMORY_MAX) {
		ssize_t r = read(fd, text + n, MEMORY_MAX - n);

		if (r <= 0)
			break;
		n += (size_t)r;
		if (text[n - 1] == '\n') {
			text[n - 1] = '\0';
			return fm_steal_ptr(&text);
		}
	}
	fm_fail(err, FM_FAILED, "it does not answer");
	return NULL;
}

int sim_guest_order(struct hypervisor *hv, const char *name, const char *order, struct json_object **memory_r,
		    struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s.ctl", hv->dir, name);
	FM_AUTO_FREE char *line = fm_format("%s\n", order), *answer = NULL;
	FM_AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval tv = { .tv_sec = ANSWER_S };
	struct json_object *memory;
	struct sockaddr_un un;

	if (!line || address(path, &un, err) < 0)
		return -1;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
	    connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || fm_write_all(fd, line, strlen(line)) < 0)
		return fm_fail(err, FM_FAILED, "guest process of %s: %s", name, strerror(errno));
	answer = answer_read(fd, err);
	memory = answer ? fm_json_parse(answer, strlen(answer), err) : NULL;
	if (!memory)
		return fm_context(err, "guest process of %s", name);
	if (memory_r)
		*memory_r = memory;
	else
		json_object_put(memory);
	return 0;
}

void sim_guest_end(struct hypervisor *hv, const struct sim_domain *d)
{
	static const char *const suffixes[] = { "guest", "mac", "gate" };
	FM_AUTO_FREE char *ctl = fm_format("%s/%s.ctl", hv->dir, d->info.name);
	struct fm_error ignored; /* without its file it ends by itself */

	sim_guest_order(hv, d->info.name, "quit", NULL, &ignored);
	if (ctl)
		unlink(ctl);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		FM_AUTO_FREE char *path = fm_format("%s/%s.%s", hv->dir, d->info.vifs[0], suffixes[i]);

		if (path)
			unlink(path);
	}
}
