/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * esub.c - esub.fermata: bsub -a "fermata(image=mpi …)".
 *
 * Run by mesub on the submitting host as the user.  What can be wrong with the
 * job is said here, before it is queued.  Any error ends with LSB_SUB_ABORT_VALUE:
 * another exit code would let the job in.  Nothing goes to stdout, which is eexec's.
 *
 * The job is marked in its environment (FERMATA_JOB=lsf, …) for
 * fermata-hostpre; LSB_ECHKPNT_METHOD picks the method.  For brestart and bmod,
 * which cannot change the environment, it only looks.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/conf.h"
#include "common/io.h"
#include "plugins/lsf/checkpoint.h"
#include "plugins/lsf/chkpnt_option.h"
#include "plugins/lsf/parm.h"
#include "plugins/lsf/process.h"
#include "plugins/slurm/lookup.h"

#define ABORT_DEFAULT 97
#define METHOD "fermata"

/* -a's, and what comes of -k; "" and NULL: not given */
struct request {
	const char *image, *memory, *keep, *app;
	struct chkpnt_option chkpnt; /* dir "": not checkpointable */
	int rewritten;               /* bsub did not take -k apart, so this did */
};

static int abort_value(void)
{
	const char *text = getenv("LSB_SUB_ABORT_VALUE");
	long value;

	return text && !lsf_number(text, 1, 255, &value) ? (int)value : ABORT_DEFAULT;
}

/* ---- -a fermata(…) ----------------------------------------------------------------------- */

static int take_argument(struct request *q, char *word, struct fm_error *err)
{
	const struct {
		const char *name;
		const char **value;
		long max; /* of a number; 0: a name */
	} all[] = { { "image=", &q->image, 0 },
		    { "memory=", &q->memory, 16 << 20 },
		    { "keep=", &q->keep, 100000 },
		    { "app=", &q->app, 0 } };
	long number;

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		size_t n = strlen(all[i].name);

		if (strncmp(word, all[i].name, n))
			continue;
		if (*all[i].value)
			return fm_fail(err, FM_USAGE, "-a: %s is given twice", all[i].name);
		*all[i].value = word + n;
		if (all[i].max && lsf_number(word + n, 1, all[i].max, &number))
			return fm_fail(err, FM_USAGE, "-a: \"%s\": no number from 1 to %ld", word, all[i].max);
		for (const char *p = word + n; *p || p == word + n; p++)
			if (!isalnum((unsigned char)*p) && (p == word + n || !strchr("._-+", *p)))
				return fm_fail(err, FM_USAGE, "-a: \"%s\" names nothing", word);
		return 0;
	}
	return fm_fail(err, FM_USAGE, "-a: \"%.64s\" is unknown: image=, memory=, keep=, app=", word);
}

static int take_arguments(struct request *q, char *text, struct fm_error *err)
{
	char *save = NULL;

	for (char *word = strtok_r(text, ", \t", &save); word; word = strtok_r(NULL, ", \t", &save))
		if (take_argument(q, word, err))
			return -1;
	return 0;
}

/* Where mesub passes no arguments: "license fermata(image=mpi) …" says them. NULL: none. */
static char *additional(const struct parm *parm)
{
	const char *text = parm_get(parm, "LSB_SUB_ADDITIONAL"), *begin = text ? strstr(text, METHOD "(") : NULL;
	const char *end = begin ? strchr(begin, ')') : NULL;

	if (!end || (begin > text && !isspace((unsigned char)begin[-1])))
		return NULL;
	begin += strlen(METHOD "(");
	return strndup(begin, (size_t)(end - begin));
}

/* ---- -k ------------------------------------------------------------------------------------ */

static int check_method(const char *method, const char *where, struct fm_error *err)
{
	if (!method || !*method || !strcmp(method, METHOD))
		return 0;
	return fm_fail(err, FM_USAGE, "%s asks for the method \"%.64s\", -a for %s", where, method, METHOD);
}

static int check_chkpnt(struct request *q, const struct parm *parm, struct fm_error *err)
{
	const char *dir = parm_get(parm, "LSB_SUB_CHKPNT_DIR"), *period = parm_get(parm, "LSB_SUB_CHKPNT_PERIOD");
	long seconds = 0;

	if (check_method(getenv("LSB_ECHKPNT_METHOD"), "LSB_ECHKPNT_METHOD", err))
		return -1;
	if (!dir)
		return period ? fm_fail(err, FM_USAGE, "-k: a period without a directory") : 0;
	if (chkpnt_option_parse(&q->chkpnt, dir, err) || check_method(q->chkpnt.method, "-k", err))
		return -1;
	if (period && lsf_number(period, 0, LONG_MAX, &seconds))
		return fm_fail(err, FM_USAGE, "-k: \"%.32s\" is no period", period);
	q->rewritten = strcmp(q->chkpnt.dir, dir) != 0;
	if (q->rewritten && q->chkpnt.init_minutes)
		return fm_fail(err, FM_USAGE, "-k: this LSF does not know init=");
	if (q->chkpnt.minutes && seconds)
		return fm_fail(err, FM_USAGE, "-k: two periods, %ld minutes and %ld seconds", q->chkpnt.minutes, seconds);
	return lsf_checkpoint_dir(q->chkpnt.dir, err) ? fm_context(err, "-k") : 0;
}

/* ---- what LSF is told ------------------------------------------------------------------------- */

static FILE *open_delta(const char *variable, struct fm_error *err)
{
	const char *path = getenv(variable);
	FILE *f;

	if (!path) {
		fm_fail(err, FM_USAGE, "%s is not set", variable);
		return NULL;
	}
	f = fopen(path, "a");
	if (!f)
		fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	return f;
}

static int close_delta(FILE *f, const char *variable, int r, struct fm_error *err)
{
	if (fclose(f) && !r)
		r = fm_fail(err, FM_FAILED, "%s: %s", getenv(variable), strerror(errno));
	return r;
}

static int tell_options(const struct request *q, struct fm_error *err)
{
	FILE *f;
	int r = 0;

	if (!q->rewritten && !q->app)
		return 0;
	f = open_delta("LSB_SUB_MODIFY_FILE", err);
	if (!f)
		return -1;
	if (q->rewritten)
		r = parm_write(f, "LSB_SUB_CHKPNT_DIR", q->chkpnt.dir, err);
	if (q->rewritten && q->chkpnt.minutes) /* bsub's is in minutes, this in seconds */
		fprintf(f, "LSB_SUB_CHKPNT_PERIOD=%ld\n", q->chkpnt.minutes * 60);
	if (!r && q->app)
		r = parm_write(f, "LSB_SUB3_APP", q->app, err);
	return close_delta(f, "LSB_SUB_MODIFY_FILE", r, err);
}

static int tell_environment(const struct request *q, struct fm_error *err)
{
	const struct {
		const char *name, *value;
	} all[] = { { "FERMATA_JOB", "lsf" },
		    { "LSB_ECHKPNT_METHOD", METHOD },
		    { "FERMATA_IMAGE", q->image },
		    { "FERMATA_MEMORY", q->memory },
		    { "FERMATA_KEEP", q->keep } };
	FILE *f = open_delta("LSB_SUB_MODIFY_ENVFILE", err);
	int r = 0;

	if (!f)
		return -1;
	for (size_t i = 0; !r && i < sizeof all / sizeof *all; i++)
		if (all[i].value)
			r = parm_write(f, all[i].name, all[i].value, err);
	return close_delta(f, "LSB_SUB_MODIFY_ENVFILE", r, err);
}

/* ------------------------------------------------------------------------------------------------ */

/* brestart and bmod: the machines stay as they are. */
static int check_again(const struct request *q, const struct parm *parm, struct fm_error *err)
{
	const char *command = parm_get(parm, "LSB_SUB_RESTART") ? "brestart" : "bmod";

	if (q->image || q->memory || q->keep)
		return fm_fail(err, FM_USAGE, "%s cannot change image=, memory= and keep=: submit the job anew", command);
	return 0;
}

static int submit(struct request *q, const struct parm *parm, struct fm_error *err)
{
	struct fm_conf conf = { 0 };
	int r = check_chkpnt(q, parm, err);

	if (parm_get(parm, "LSB_SUB_RESTART") || parm_get(parm, "LSB_SUB_MODIFY"))
		return parm_get(parm, "LSB_SUB_RESTART") || !r ? check_again(q, parm, err) : r;
	if (!r)
		r = fm_conf_load(&conf, NULL, err);
	if (!r)
		r = fm_lookup_image(&conf, q->image ? q->image : conf.default_image, err);
	if (!r)
		r = tell_options(q, err);
	if (!r)
		r = tell_environment(q, err);
	fm_conf_dispose(&conf);
	return r;
}

int main(int argc, char **argv)
{
	const char *path = getenv("LSB_SUB_PARM_FILE");
	FM_AUTO_FREE char *more = NULL;
	struct request q = { 0 };
	struct parm parm = { 0 };
	struct fm_error err;
	int r;

	lsf_log_open("esub.fermata", "");
	r = path ? parm_read(&parm, path, &err) :
		   fm_fail(&err, FM_USAGE, "LSB_SUB_PARM_FILE is not set: bsub runs this, by -a fermata");
	for (int i = 1; !r && i < argc; i++)
		r = take_arguments(&q, argv[i], &err);
	if (!r && argc == 1 && (more = additional(&parm)))
		r = take_arguments(&q, more, &err);
	if (!r)
		r = submit(&q, &parm, &err);
	if (r)
		lsf_failed("", &err);
	parm_dispose(&parm);
	return r ? abort_value() : 0;
}
