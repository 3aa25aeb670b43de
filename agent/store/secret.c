/* SPDX-License-Identifier: GPL-2.0-or-later */
/* secret.c - see secret.h. */
#include "config.h"

#include "agent/store/secret.h"

#include <stdlib.h>
#include <string.h>

#include "agent/store/manifest.h"
#include "agent/store/seal.h"
#include "common/cleanup.h"
#include "common/hex.h"
#include "common/io.h"

#define SCRIPT_SIZE_MAX ((size_t)16 << 20)
#define SEALED_MORE ((size_t)4096) /* a sealed file is larger by its header */
#define TOKEN_DIGITS 64u

/* ---- the script ---------------------------------------------------------------------------------- */

int store_script_write(const struct store_access *a, const char *script, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/script", a->folder);
	FM_AUTO_FREE char *place = fm_format("%u/script", a->job);
	FM_AUTO_FREE char *store = strdup(a->folder);
	FM_AUTO_FREE void *sealed = NULL;
	size_t size;

	if (!path || !place || !store)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (strlen(script) > SCRIPT_SIZE_MAX)
		return fm_fail(err, FM_USAGE, "the job's script has more than %zu bytes", SCRIPT_SIZE_MAX);
	*strrchr(store, '/') = '\0';
	if (blob_seal(a->key, place, script, strlen(script), &sealed, &size, err) < 0 ||
	    fm_mkdir_all(a->folder, 0700, err) < 0 || fm_fsync_dir(store, err) < 0)
		return -1;
	return fm_file_write(path, 0600, sealed, size, err);
}

char *store_script_read(const struct store_access *a, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/script", a->folder);
	FM_AUTO_FREE char *place = fm_format("%u/script", a->job);
	FM_AUTO_FREE char *sealed = NULL;
	void *script;
	size_t size;

	if (!path || !place) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	sealed = fm_file_read(path, SCRIPT_SIZE_MAX + SEALED_MORE, &size, err);
	if (!sealed && err->code == FM_NOT_FOUND)
		fm_fail(err, FM_NOT_FOUND, "no script of job %u is kept", a->job);
	if (!sealed || blob_open(a->key, place, sealed, size, &script, &size, err) < 0)
		return NULL;
	return script;
}

/* ---- the guest's token --------------------------------------------------------------------------- */

static char *token_place(const struct fm_snapshot_id *id)
{
	return fm_format("%u/%u/token", id->job, id->n);
}

/* *guest_r: the manifest's, copied. */
static int guest_copy(struct json_object *manifest, struct json_object **guest_r, struct fm_error *err)
{
	struct json_object *guest = manifest_get(manifest, "guest");

	*guest_r = NULL;
	if (!guest)
		return fm_fail(err, FM_CORRUPT, "the manifest has no \"guest\"");
	return json_object_deep_copy(guest, guest_r, NULL) < 0 ? fm_fail(err, FM_FAILED, "out of memory") : 0;
}

int store_guest_seal(const struct store_access *a, const struct fm_snapshot_id *id, struct json_object *manifest,
		     struct fm_error *err)
{
	FM_AUTO_FREE char *place = token_place(id), *hex = NULL;
	FM_AUTO_JSON struct json_object *guest = NULL;
	FM_AUTO_FREE void *sealed = NULL;
	const char *token;
	size_t size;

	if (!a->key)
		return 0;
	if (guest_copy(manifest, &guest, err) < 0)
		return -1;
	token = fm_json_string_or(guest, "token", "");
	if (!place)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (blob_seal(a->key, place, token, strlen(token), &sealed, &size, err) < 0)
		return -1;
	if (!(hex = malloc(2 * size + 1)))
		return fm_fail(err, FM_FAILED, "out of memory");
	fm_hex(sealed, size, hex);
	json_object_object_del(guest, "token");
	fm_json_set_string(guest, "token_sealed", hex);
	json_object_object_add(manifest, "guest", fm_steal_ptr(&guest));
	return 0;
}

static int token_open(const struct store_access *a, const struct fm_snapshot_id *id, const char *hex,
		      struct json_object *guest, struct fm_error *err)
{
	FM_AUTO_FREE char *place = token_place(id), *sealed = malloc(strlen(hex) / 2 + 1);
	FM_AUTO_FREE void *token = NULL;
	size_t size = strlen(hex) / 2;

	if (!place || !sealed)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (strlen(hex) % 2 || !fm_unhex(hex, 2 * size, sealed, size))
		return fm_fail(err, FM_CORRUPT, "%s: it is not hexadecimal", place);
	if (blob_open(a->key, place, sealed, size, &token, &size, err) < 0)
		return -1;
	if (size != TOKEN_DIGITS)
		return fm_fail(err, FM_CORRUPT, "%s: it has %zu characters, not %u", place, size, TOKEN_DIGITS);
	json_object_object_del(guest, "token_sealed");
	fm_json_set_string(guest, "token", token);
	seal_wipe(token, size);
	return 0;
}

struct json_object *store_guest_open(const struct store_access *a, const struct fm_snapshot_id *id,
				     struct json_object *manifest, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *guest = NULL;
	FM_AUTO_FREE char *hex = NULL;

	if (guest_copy(manifest, &guest, err) < 0)
		return NULL;
	if (!json_object_object_get(guest, "token_sealed"))
		return fm_steal_ptr(&guest);
	hex = strdup(fm_json_string_or(guest, "token_sealed", ""));
	if (!hex) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	return token_open(a, id, hex, guest, err) == 0 ? fm_steal_ptr(&guest) : NULL;
}
