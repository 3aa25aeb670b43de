/* SPDX-License-Identifier: GPL-2.0-or-later */
/* track.c - see track.h. */
#include "config.h"

#include "agent/worker/track.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"

void track_begin(struct track *t)
{
	t->asked = false;
	t->result = 0;
	t->err = (struct fm_error){ 0 };
}

void track_dispose(struct track *t)
{
	json_object_put(fm_steal_ptr(&t->root));
	json_object_put(fm_steal_ptr(&t->before));
	free(fm_steal_ptr(&t->map));
}

int track_result(const struct track *t, struct fm_error *err)
{
	*err = t->err;
	return t->result;
}

void track_cut(const struct track *t, const struct save_cut *cut, struct json_object *fields)
{
	if (fields && cut->tracked)
		fm_json_set_bool(fields, "tracked", true);
}

/* A later request is one of the same domain; what was opened for the first serves them all. */
static int check_same(const struct request *r, const struct request *first, struct fm_error *err)
{
	if (r->op == OP_SAVE && r->track && r->job == first->job && strcmp(r->domain.name, first->domain.name) == 0 &&
	    strcmp(r->folder, first->folder) == 0)
		return 0;
	return fm_fail(err, FM_USAGE, "a worker that tracks %s was asked for something else", first->domain.name);
}

const struct request *track_await(struct track *t, struct worker *w, const struct request *last, bool *told_r)
{
	free(t->map);
	t->map = strdup(last->map);
	json_object_put(t->before); /* last may point into root */
	t->before = t->root;
	t->root = control_request(w->control, &t->err);
	if (t->root && fm_json_string_or(t->root, "cmd", NULL)) {
		*told_r = true;
		t->result = 1;
		return NULL;
	}
	if (!t->root) {
		t->result = w->control->at_end ? 0 : -1; /* its last snapshot is saved: to be left alone is no failure */
		return NULL;
	}
	if (request_parse(&t->request, t->root, &t->err) < 0 || check_same(&t->request, w->request, &t->err) < 0) {
		t->result = -1;
		return NULL;
	}
	return &t->request;
}

static int check_base(const struct track *t, const struct request *r, struct fm_error *err)
{
	FM_AUTO_FREE char *manifest = NULL;
	const char *name;

	if (!r->base)
		return fm_fail(err, FM_FAILED, "it is to be a whole one");
	if (!t->map || strcmp(r->base, t->map) != 0)
		return fm_fail(err, FM_FAILED, "the last snapshot is not the one that was tracked from");
	name = strrchr(r->base, '/');
	manifest = fm_format("%.*s/manifest.json", (int)(name - r->base), r->base);
	if (!manifest || access(manifest, F_OK) < 0)
		return fm_fail(err, FM_NOT_FOUND, "the last snapshot is not whole, or was removed");
	return 0;
}

bool track_goes_on(struct track *t, const struct request *r, struct stream_writer *w)
{
	if (check_base(t, r, &t->err) == 0 && stream_writer_continue(w, r->map, &t->err) == 0)
		return true;
	t->result = SAVE_AGAIN;
	return false;
}
