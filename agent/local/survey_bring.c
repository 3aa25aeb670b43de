/* SPDX-License-Identifier: GPL-2.0-or-later */
/* survey_bring.c - survey_bring(): what StoreDir has damaged or lost, from a node that has just read its own and found it good. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "agent/local/place.h"
#include "agent/local/remote.h"
#include "agent/local/survey_private.h"
#include "agent/store/parity/file.h"
#include "common/cleanup.h"
#include "common/io.h"

static int copy(const struct parity_source *source, const struct parity_sink *sink, struct fm_error *err)
{
	FM_AUTO_FREE unsigned char *data = malloc(REMOTE_PIECE);
	uint64_t size;

	if (!data)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (source->size(source->arg, &size, err))
		return -1;
	for (uint64_t at = 0; at < size;) {
		size_t n = size - at < REMOTE_PIECE ? (size_t)(size - at) : REMOTE_PIECE;

		if (source->read(source->arg, at, data, n, err) || sink->write(sink->arg, data, n, err))
			return -1;
		at += n;
	}
	return sink->commit(sink->arg, err);
}

/* Nothing of what is there is touched before the end. */
static int write_file(const char *to, const struct parity_source *source, struct fm_error *err)
{
	struct parity_out *out = parity_out_create(to, err);
	struct parity_sink sink;
	int rc;

	if (!out)
		return -1;
	parity_out_whole(out, &sink);
	rc = copy(source, &sink, err);
	if (rc)
		sink.abort(sink.arg);
	parity_out_close(out);
	return rc;
}

static int bring_here(const struct survey *s, const char *name, const char *to, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = local_path(s->conf, s->id.job, "pages");
	FM_AUTO_FREE char *from = dir ? fm_format("%s/%s", dir, name) : NULL;
	struct parity_source source;
	struct parity_in *in = from ? parity_in_open(from, 0, PARITY_TO_END, &source, err) : NULL;
	int rc;

	if (!in)
		return from ? -1 : fm_fail(err, FM_FAILED, "out of memory");
	rc = write_file(to, &source, err);
	parity_in_close(in);
	return rc;
}

static int bring_from(const struct survey *s, const char *node, const char *name, const char *to, struct fm_error *err)
{
	struct remotes *remotes = remotes_create(s->conf, err);
	struct parity_source source;
	struct remote_file *file = remotes ? remote_file_open(remotes, node, s->id.job, "pages", name, &source, err) : NULL;
	int rc = file ? write_file(to, &source, err) : -1;

	remote_file_close(file);
	remotes_destroy(remotes);
	return rc;
}

int survey_bring(const struct survey *s, const char *pack, const char *to, const char **from_r, struct fm_error *err)
{
	FM_AUTO_FREE char *name = fm_format("%s" LOCAL_PACK_SUFFIX, pack);

	if (!name)
		return fm_fail(err, FM_FAILED, "out of memory");
	fm_fail(err, FM_NOT_FOUND, "no node's disk has it whole");
	for (size_t i = 0; i < s->nodes; i++) {
		const char *node = s->node[i].name;

		if (!survey_said_good(s, node, "packs", pack))
			continue;
		*from_r = node;
		if ((strcmp(node, s->conf->node_name) == 0 ? bring_here(s, name, to, err) : bring_from(s, node, name, to, err)) == 0)
			return 0;
	}
	return -1;
}
