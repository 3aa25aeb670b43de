/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * job_env.c - see job_env.h.
 *
 * FORCED settings replace the user's: a UCX connection whose keep-alive gives up
 * during a long hold returns wrong data without an error.  The others are
 * defaults only.
 */
#include "config.h"

#include <cpuid.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/runner/job_env.h"

#define SETTINGS_MAX 24
#define VALUE_MAX 512
#define GUEST_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum kind { DEFAULT, FORCED, REMOVED };

struct setting {
	const char *name;
	enum kind kind;
	char value[VALUE_MAX];
};

struct settings {
	struct setting item[SETTINGS_MAX];
	size_t count;
};

static void add(struct settings *settings, enum kind kind, const char *name, const char *value)
{
	struct setting *item = &settings->item[settings->count];

	if (settings->count == SETTINGS_MAX || strlen(value) >= VALUE_MAX)
		return;
	item->name = name;
	item->kind = kind;
	snprintf(item->value, sizeof(item->value), "%s", value);
	settings->count++;
}

const char *job_env_get(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; *env; env++)
		if (!strncmp(*env, name, n) && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

/* AVX shown but not switched on (a PVH guest under an emulator): Open MPI's AVX code would die of SIGILL. */
static bool avx_is_a_trap(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_AVX) && !(c & bit_OSXSAVE);
}

static void add_mpi(struct settings *settings, const struct params *params, const struct job_env_paths *paths)
{
	add(settings, FORCED, "HYDRA_LAUNCHER", "rsh");
	add(settings, FORCED, "HYDRA_LAUNCHER_EXEC", paths->rsh);
	add(settings, FORCED, "OMPI_MCA_plm", "rsh");
	add(settings, FORCED, "OMPI_MCA_plm_rsh_agent", paths->rsh);
	add(settings, FORCED, "UCX_TCP_KEEPIDLE", "inf");
	add(settings, DEFAULT, "OMPI_MCA_btl", "self,vader,tcp");
	add(settings, DEFAULT, "OMPI_MCA_pml", "ob1");
	if (avx_is_a_trap())
		add(settings, DEFAULT, "OMPI_MCA_op", "^avx");
	if (params->uid == 0) {
		add(settings, DEFAULT, "OMPI_ALLOW_RUN_AS_ROOT", "1");
		add(settings, DEFAULT, "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
	}
}

/* A folder of the submitting host that the guest does not have would break every mktemp. */
static bool is_missing_dir(const char *path)
{
	struct stat st;

	return path && (stat(path, &st) || !S_ISDIR(st.st_mode));
}

static const struct setting *find(const struct settings *settings, const char *entry)
{
	for (size_t i = 0; i < settings->count; i++) {
		size_t n = strlen(settings->item[i].name);

		if (!strncmp(entry, settings->item[i].name, n) && entry[n] == '=')
			return &settings->item[i];
	}
	return NULL;
}

static bool is_kept(const struct settings *settings, const char *entry)
{
	const struct setting *setting = find(settings, entry);

	return strchr(entry, '=') && (!setting || setting->kind == DEFAULT);
}

static bool is_added(const struct setting *setting, char *const *sent)
{
	if (setting->kind == REMOVED)
		return false;
	return setting->kind == FORCED || !job_env_get(sent, setting->name);
}

static char **flatten(const struct settings *settings, char *const *sent)
{
	size_t count = 1, size = 0;
	char **env, *text;

	for (char *const *e = sent; *e; e++)
		count++;
	for (size_t i = 0; i < settings->count; i++)
		size += strlen(settings->item[i].name) + strlen(settings->item[i].value) + 2;
	env = malloc((count + settings->count) * sizeof(*env) + size);
	if (!env)
		return NULL;
	text = (char *)(env + count + settings->count);
	count = 0;
	for (char *const *e = sent; *e; e++)
		if (is_kept(settings, *e))
			env[count++] = *e;
	for (size_t i = 0; i < settings->count; i++)
		if (is_added(&settings->item[i], sent)) {
			env[count++] = text;
			text += sprintf(text, "%s=%s", settings->item[i].name, settings->item[i].value) + 1;
		}
	env[count] = NULL;
	return env;
}

char **job_env_build(char *const *sent, const struct params *params, const struct job_env_paths *paths,
		     struct fm_error *err)
{
	struct settings settings = { .count = 0 };
	char **env;

	add_mpi(&settings, params, paths);
	add(&settings, FORCED, JOB_ENV_SOCKET, paths->socket);
	add(&settings, DEFAULT, "HOME", params->home);
	add(&settings, DEFAULT, "USER", params->user);
	add(&settings, DEFAULT, "LOGNAME", params->user);
	add(&settings, DEFAULT, "PATH", GUEST_PATH);
	if (is_missing_dir(job_env_get(sent, "TMPDIR")))
		add(&settings, REMOVED, "TMPDIR", "");
	env = flatten(&settings, sent);
	if (!env)
		fm_fail(err, FM_FAILED, "out of memory");
	return env;
}
