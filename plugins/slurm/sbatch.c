/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sbatch.c - see sbatch.h. */
#include "config.h"

#include "plugins/slurm/sbatch.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <slurm/spank.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "plugins/slurm/options.h"

#define COMMAND_LINE_MAX (4 << 20)

/* slurm_opt.h, which Slurm does not install */
struct slurm_calls {
	void *opt;
	char *(*get)(void *opt, const char *name);
	bool (*isset)(void *opt, const char *name);
	int (*set)(void *opt, const char *name, const char *value, bool early);
	struct option *(*table_create)(void *opt, char **short_options);
	void (*table_destroy)(struct option *table);
};

/* Only the program's own `opt` will do, not any library's variable of that name. */
static void *program_opt(void)
{
	void *opt = dlsym(RTLD_DEFAULT, "opt");
	Dl_info found, program;

	if (!opt || !dladdr(opt, &found) || !dladdr((void *)getauxval(AT_ENTRY), &program) ||
	    found.dli_fbase != program.dli_fbase)
		return NULL;
	return opt;
}

/* POSIX lets dlsym's result become a function pointer this way only. */
#define LOOK_UP(field, name) (*(void **)&c->field = dlsym(RTLD_DEFAULT, name))

static int look_up(struct slurm_calls *c)
{
	c->opt = program_opt();
	return c->opt && LOOK_UP(get, "slurm_option_get") && LOOK_UP(isset, "slurm_option_isset") &&
	       LOOK_UP(set, "slurm_option_set") && LOOK_UP(table_create, "slurm_option_table_create") &&
	       LOOK_UP(table_destroy, "slurm_option_table_destroy") ? 0 : -1;
}

int fm_is_sbatch(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	const char *name;

	if (n <= 0)
		return 0;
	path[n] = '\0';
	name = strrchr(path, '/');
	return !strcmp(name ? name + 1 : path, "sbatch");
}

/* /proc/self/cmdline as an argument vector; free(*argv_r) and free(*text_r). */
static int own_arguments(char **text_r, char ***argv_r, int *argc_r, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	FM_AUTO_FREE char *text = NULL;
	char **argv;
	size_t size = 0;
	ssize_t n = 0;
	int argc = 0;

	if (fd < 0 || !(text = malloc(COMMAND_LINE_MAX + 1)))
		return fm_fail(err, FM_FAILED, "cannot read the command line: %s", strerror(errno));
	while (size < COMMAND_LINE_MAX && (n = read(fd, text + size, COMMAND_LINE_MAX - size)) > 0)
		size += (size_t)n;
	text[size] = '\0';
	for (size_t i = 0; i < size; i++)
		argc += text[i] == '\0';
	argv = calloc((size_t)argc + 1, sizeof *argv);
	if (n < 0 || !argc || !argv) {
		free(argv);
		return fm_fail(err, FM_FAILED, "cannot read the command line");
	}
	argc = 0;
	for (char *p = text; p < text + size; p += strlen(p) + 1)
		if (strcmp(p, ":")) /* sbatch drops the separator of heterogeneous jobs, too */
			argv[argc++] = p;
	*text_r = fm_steal_ptr(&text);
	*argv_r = argv;
	*argc_r = argc;
	return 0;
}

static void keep_value(struct fm_command_line *line, const char *value)
{
	snprintf(line->restart_from, sizeof line->restart_from, "%s", value ? value : "");
}

/* With sbatch's own table every option, also an abbreviated one, is known. */
static void read_with_table(struct fm_command_line *line, const struct slurm_calls *c, int argc, char **argv)
{
	char *short_options = NULL; /* left to sbatch's exit: only Slurm can free it */
	struct option *table = c->table_create(c->opt, &short_options);
	int index = -1, saved = opterr, found;

	if (!table || !short_options)
		return;
	opterr = 0; /* sbatch will complain itself */
	optind = 0;
	while ((found = getopt_long(argc, argv, short_options, table, &index)) != -1) {
		if (index < 0 || found == '?')
			continue;
		if (!strcmp(table[index].name, FM_OPTION_RESTART))
			keep_value(line, optarg);
		else if (!strcmp(table[index].name, "wrap"))
			line->has_script = 1;
		index = -1;
	}
	if (optind < argc)
		line->has_script = 1;
	opterr = saved;
	optind = 1;
	c->table_destroy(table);
}

/* Without it, only --restart-from's own spelling is; a script cannot be told from a value. */
static void read_without_table(struct fm_command_line *line, int argc, char **argv)
{
	const size_t n = strlen("--" FM_OPTION_RESTART);

	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], "--" FM_OPTION_RESTART, n)) {
			if (argv[i][n] == '=')
				keep_value(line, argv[i] + n + 1);
			else if (!argv[i][n] && i + 1 < argc)
				keep_value(line, argv[i + 1]);
		}
}

int fm_command_line_read(struct fm_command_line *line, struct fm_error *err)
{
	struct slurm_calls calls;
	FM_AUTO_FREE char *text = NULL;
	FM_AUTO_FREE char **argv = NULL;
	int argc = 0;

	memset(line, 0, sizeof *line);
	if (own_arguments(&text, &argv, &argc, err))
		return -1;
	if (look_up(&calls))
		read_without_table(line, argc, argv);
	else
		read_with_table(line, &calls, argc, argv);
	return 0;
}

/* "2", "2-4"; sbatch writes no upper bound as "2-0". */
static int parse_nodes(const char *text, long *min_r, long *max_r)
{
	char *end;

	if (!text)
		return -1;
	*min_r = *max_r = strtol(text, &end, 10);
	if (end == text)
		return -1;
	if (*end == '-')
		*max_r = strtol(end + 1, &end, 10);
	return *end ? -1 : 0;
}

int fm_nodes_require(long members, const char *what, struct fm_error *err)
{
	struct slurm_calls c;
	char number[24];
	long min, max;
	int given;

	/* slurm_option_get's text stays allocated until sbatch ends: only Slurm can free it */
	if (look_up(&c) || parse_nodes(c.get(c.opt, "nodes"), &min, &max)) {
		if (members > 1)
			slurm_info("fermata: snapshot %s has %ld members; ask for --nodes=%ld", what,
				   members, members);
		return 0;
	}
	given = c.isset(c.opt, "nodes") || min > 1;
	if (given && max > 0 && max < members)
		return fm_fail(err, FM_USAGE, "snapshot %s has %ld members: %ld node%s too few, use --nodes=%ld",
			       what, members, max, max == 1 ? " is" : "s are", members);
	if (given && min > members)
		return fm_fail(err, FM_USAGE, "snapshot %s has %ld member%s: %ld nodes are too many, use --nodes=%ld",
			       what, members, members == 1 ? "" : "s", min, members);
	if (min == members && max == members)
		return 0;
	snprintf(number, sizeof number, "%ld", members);
	if (c.set(c.opt, "nodes", number, false))
		return fm_fail(err, FM_FAILED, "snapshot %s has %ld members: use --nodes=%ld", what, members,
			       members);
	return 0;
}

/* "300", "2G": sbatch's own way to write MiB; 0 is all a node has. -1 when it is not that. */
static long parse_memory(const char *text)
{
	static const char units[] = "MGTP";
	const char *unit;
	char *end;
	long n;

	n = text ? strtol(text, &end, 10) : -1;
	if (!text || end == text || n < 0)
		return -1;
	for (unit = units; *end && *unit && *unit != *end; unit++)
		n *= 1024;
	return n;
}

int fm_memory_require(long mib, const char *what, struct fm_error *err)
{
	struct slurm_calls c;
	char number[24];
	long given;

	if (mib <= 0 || look_up(&c) || c.isset(c.opt, "mem-per-cpu") || c.isset(c.opt, "mem-per-gpu"))
		return 0;
	if (c.isset(c.opt, "mem")) {
		given = parse_memory(c.get(c.opt, "mem"));
		return given > 0 && given < mib
			       ? fm_fail(err, FM_USAGE, "snapshot %s needs %ld MiB a node: --mem=%ld is too little",
					 what, mib, given)
			       : 0;
	}
	snprintf(number, sizeof number, "%ldM", mib);
	if (c.set(c.opt, "mem", number, false))
		return fm_fail(err, FM_FAILED, "snapshot %s needs %ld MiB a node: use --mem=%ld", what, mib, mib);
	return 0;
}

int fm_cpus_require(long cpus, const char *what, struct fm_error *err)
{
	struct slurm_calls c;
	char number[24];

	if (cpus <= 1 || look_up(&c) || c.isset(c.opt, "mincpus"))
		return 0;
	snprintf(number, sizeof number, "%ld", cpus);
	if (c.set(c.opt, "mincpus", number, false))
		return fm_fail(err, FM_FAILED, "snapshot %s needs %ld processors a node: use --mincpus=%ld", what,
			       cpus, cpus);
	return 0;
}
