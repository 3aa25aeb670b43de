/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - fermatad: options, the loop, its life from start to end. */
#include "config.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/child.h"
#include "agent/claims.h"
#include "agent/compact.h"
#include "agent/copier.h"
#include "agent/job.h"
#include "agent/local_disk.h"
#include "agent/notify.h"
#include "agent/peers.h"
#include "agent/prune.h"
#include "agent/recover.h"
#include "agent/routes.h"
#include "agent/server.h"
#include "agent/tree.h"
#include "agent/trim.h"
#include "agent/watch.h"
#include "agent/store/key.h"
#include "common/cleanup.h"
#include "common/hex.h"
#include "common/io.h"

#define LOCK_TRIES 20
#define LOCK_TRY_MS 100

static const char help[] =
	"Usage: fermatad [OPTION…]\n"
	"Fermata's agent: one runs in the Dom0 of every node.\n"
	"\n"
	"  -f, --conf=FILE      read FILE instead of " FM_SYSCONFDIR "/fermata/fermata.conf\n"
	"  -D, --foreground     stay in the foreground (always so; for the unit file)\n"
	"      --check-config   read the configuration, say what is wrong with it, exit\n"
	"      --version        print the version\n"
	"      --help           print this\n";

bool agent_is_admin(const struct agent *agent, uid_t uid)
{
	if (uid == 0)
		return true;
	for (size_t i = 0; i < agent->admin_count; i++)
		if (agent->admins[i] == uid)
			return true;
	return false;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t agent_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t agent_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

int agent_random_token(char hex_r[65], struct fm_error *err)
{
	unsigned char bytes[32];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return fm_fail(err, FM_FAILED, "no random numbers: %s", strerror(errno));
	fm_hex(bytes, sizeof(bytes), hex_r);
	return 0;
}

/* Names to uids once, at the start; a name this node does not know is left out. */
static int load_admins(struct agent *agent, struct fm_error *err)
{
	FM_AUTO_FREE char *names = strdup(agent->conf.admin_users);
	char *save = NULL;

	if (!names)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (char *name = strtok_r(names, ", ", &save); name; name = strtok_r(NULL, ", ", &save)) {
		struct passwd *pw = getpwnam(name);
		uid_t *grown;

		if (!pw) {
			fm_warning("AdminUsers: this node has no user \"%s\"", name);
			continue;
		}
		grown = realloc(agent->admins, (agent->admin_count + 1) * sizeof(*grown));
		if (!grown)
			return fm_fail(err, FM_FAILED, "out of memory");
		agent->admins = grown;
		agent->admins[agent->admin_count++] = pw->pw_uid;
	}
	return 0;
}

/* Better no agent than one whose first snapshot fails in nine days. */
static int check_key_file(const struct fm_conf *conf, struct fm_error *err)
{
	struct site_key *key;

	if (!*conf->key_file)
		return 0;
	key = site_key_load(conf->key_file, err);
	if (!key)
		return -1;
	site_key_free(key);
	return 0;
}

/* RunDir, and a lock in it: two agents over the same records would undo each other. */
static int claim_run_dir(struct agent *agent, int *lock_r, struct fm_error *err)
{
	FM_AUTO_FREE char *jobs = fm_format("%s/jobs", agent->conf.run_dir);
	FM_AUTO_FREE char *lock = fm_format("%s/lock", agent->conf.run_dir);

	if (!jobs || !lock)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (fm_mkdir_all(agent->conf.run_dir, 0755, err) || fm_mkdir_all(jobs, 0700, err))
		return -1;
	*lock_r = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*lock_r < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", lock, strerror(errno));
	/* The last children of one that was killed have it open a moment longer. */
	for (int i = 0; flock(*lock_r, LOCK_EX | LOCK_NB); i++) {
		if (i == LOCK_TRIES)
			return fm_fail(err, FM_BUSY, "another fermatad runs with RunDir=%s", agent->conf.run_dir);
		poll(NULL, 0, LOCK_TRY_MS);
	}
	return 0;
}

static int serve(struct agent *agent, struct fm_error *err)
{
	agent->watch = watch_create(agent, err);
	if (!agent->watch)
		return -1;
	agent->local = server_create(agent, true, routes_dispatch, err);
	if (!agent->local)
		return -1;
	agent->remote = server_create(agent, false, routes_dispatch, err);
	if (!agent->remote || links_listen(agent->links, err) || local_disk_start(agent, err))
		return -1;
	fm_info("fermatad %s on %s: hypervisor %s, gate %s, ports %u and %u", PACKAGE_VERSION, agent->conf.node_name,
		agent->conf.hypervisor, agent->conf.gate, agent->conf.port, agent->conf.cut_port);
	notify_ready(agent);
	copier_recover(agent);
	trim_start();
	return 0;
}

static void on_recovered(struct agent *agent, const struct fm_error *error)
{
	if (error)
		agent->fatal = *error;
	else if (serve(agent, &agent->fatal) == 0)
		return;
	event_base_loopbreak(agent->base);
}

static int agent_init(struct agent *agent, struct fm_error *err)
{
	agent->started_ns = agent_now_ns();
	agent->base = event_base_new();
	if (!agent->base)
		return fm_fail(err, FM_FAILED, "no event loop");
	if (load_admins(agent, err) || check_key_file(&agent->conf, err))
		return -1;
	agent->children = children_create(agent->base, err);
	if (!agent->children)
		return -1;
	agent->peers = peers_create(agent, err);
	if (!agent->peers)
		return -1;
	agent->links = links_create(agent, &tree_link_events, err);
	if (!agent->links)
		return -1;
	agent->gates = gate_system_create(agent->conf.gate, agent->base, err);
	if (!agent->gates || gate_system_recover(agent->gates, err) || jobs_load(agent, err))
		return -1;
	return recover_start(agent, on_recovered, err);
}

static void agent_dispose(struct agent *agent)
{
	agent->stopping = true;
	server_destroy(agent->local);
	server_destroy(agent->remote);
	trees_free(agent);
	prunes_free(agent);
	compacts_free(agent);
	claims_free(agent);
	copier_free(agent);
	local_disk_stop(agent);
	links_destroy(agent->links);
	peers_destroy(agent->peers);
	watch_destroy(agent->watch);
	gate_system_destroy(agent->gates);
	children_destroy(agent->children);
	if (agent->base)
		event_base_free(agent->base);
	free(agent->admins);
	fm_conf_dispose(&agent->conf);
}

static void on_stop(evutil_socket_t sig, short what, void *arg)
{
	struct agent *agent = arg;

	(void)what;
	fm_info("signal %d: stopping; the jobs' VMs run on", (int)sig);
	notify_stopping();
	event_base_loopbreak(agent->base);
}

static int run(struct agent *agent, struct fm_error *err)
{
	struct event *term = NULL, *intr = NULL;
	FM_AUTO_CLOSE int lock = -1;
	int rc = -1;

	signal(SIGPIPE, SIG_IGN);
	if (claim_run_dir(agent, &lock, err) || agent_init(agent, err))
		goto out;
	term = evsignal_new(agent->base, SIGTERM, on_stop, agent);
	intr = evsignal_new(agent->base, SIGINT, on_stop, agent);
	if (!term || !intr || event_add(term, NULL) || event_add(intr, NULL)) {
		fm_fail(err, FM_FAILED, "cannot watch for signals");
		goto out;
	}
	rc = event_base_dispatch(agent->base) < 0 ? fm_fail(err, FM_FAILED, "the event loop failed") : 0;
	if (agent->fatal.code) {
		*err = agent->fatal;
		rc = -1;
	}
out:
	if (term)
		event_free(term);
	if (intr)
		event_free(intr);
	return rc;
}

int main(int argc, char **argv)
{
	enum { OPT_CHECK = 256, OPT_VERSION, OPT_HELP };
	static const struct option options[] = {
		{ "conf", required_argument, NULL, 'f' }, { "foreground", no_argument, NULL, 'D' },
		{ "check-config", no_argument, NULL, OPT_CHECK }, { "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, OPT_HELP }, { 0 },
	};
	struct agent agent = { 0 };
	struct fm_error err = { 0 };
	const char *path = NULL;
	bool check = false;
	int c, rc;

	fm_log_init("fermatad", FM_LOG_INFO);
	while ((c = getopt_long(argc, argv, "f:Dh", options, NULL)) != -1) {
		switch (c) {
		case 'f': path = optarg; break;
		case 'D': break;
		case OPT_CHECK: check = true; break;
		case OPT_VERSION: puts("fermatad " PACKAGE_VERSION); return 0;
		case 'h':
		case OPT_HELP: fputs(help, stdout); return 0;
		default: fputs("Try 'fermatad --help'.\n", stderr); return FM_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "fermatad: unexpected argument \"%s\"\n", argv[optind]);
		return FM_USAGE;
	}
	umask(077);
	rc = fm_conf_load(&agent.conf, path, &err);
	if (rc == 0 && !check) {
		fm_log_set_level(agent.conf.log_level);
		curl_global_init(CURL_GLOBAL_DEFAULT);
		rc = run(&agent, &err);
		curl_global_cleanup();
	}
	if (rc)
		fm_err("%s", err.text);
	agent_dispose(&agent);
	return rc ? (int)err.code : 0;
}
