/* SPDX-License-Identifier: GPL-2.0-or-later */
/* params.c - see params.h. */
#include "config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "agent/runner/params.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/json.h"

/* Names end up in /etc/passwd and /etc/hosts: what has a meaning there is refused. */
static int check_text(const char *key, const char *text, const char *forbidden, struct fm_error *err)
{
	if (!*text || strlen(text) > 255)
		return fm_fail(err, FM_USAGE, "'%s' is empty or too long", key);
	for (; *text; text++)
		if (iscntrl((unsigned char)*text) || strchr(forbidden, *text))
			return fm_fail(err, FM_USAGE, "'%s' has a character it may not have", key);
	return 0;
}

static int get_text(struct json_object *o, const char *key, const char *forbidden, char **text_r,
		    struct fm_error *err)
{
	const char *text;

	if (fm_json_string(o, key, &text, err) || check_text(key, text, forbidden, err))
		return -1;
	*text_r = strdup(text);
	return *text_r ? 0 : fm_fail(err, FM_FAILED, "out of memory");
}

static int get_address(struct json_object *o, struct in_addr *ip_r, struct fm_error *err)
{
	const char *text;

	if (fm_json_string(o, "ip", &text, err))
		return -1;
	if (inet_pton(AF_INET, text, ip_r) != 1)
		return fm_fail(err, FM_USAGE, "'ip' is not an IPv4 address");
	return 0;
}

static int get_numbers(struct params *params, struct json_object *o, struct fm_error *err)
{
	int64_t job, rank, uid, gid, prefix, port;

	if (fm_json_int(o, "job", 0, UINT32_MAX, &job, err) ||
	    fm_json_int(o, "rank", 0, PARAMS_MAX_NODES - 1, &rank, err) ||
	    fm_json_int(o, "uid", 0, UINT32_MAX - 1, &uid, err) ||
	    fm_json_int(o, "gid", 0, UINT32_MAX - 1, &gid, err) ||
	    fm_json_int(o, "prefix", 1, 32, &prefix, err) || fm_json_int(o, "port", 1, 65535, &port, err))
		return -1;
	params->job = (uint32_t)job;
	params->rank = (unsigned)rank;
	params->uid = (uid_t)uid;
	params->gid = (gid_t)gid;
	params->prefix = (unsigned)prefix;
	params->port = (uint16_t)port;
	params->incarnation = (unsigned)fm_json_int_or(o, "incarnation", 0);
	return 0;
}

static int get_gids(struct params *params, struct json_object *o, struct fm_error *err)
{
	struct json_object *array;
	size_t count;

	if (!json_object_object_get(o, "gids"))
		return 0;
	if (fm_json_array(o, "gids", PARAMS_MAX_GIDS, &array, err))
		return -1;
	count = json_object_array_length(array);
	params->gids = calloc(count + 1, sizeof(*params->gids));
	if (!params->gids)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);
		int64_t gid = json_object_is_type(item, json_type_int) ? json_object_get_int64(item) : -1;

		if (gid < 0 || gid >= UINT32_MAX)
			return fm_fail(err, FM_USAGE, "'gids' has something that is no group id");
		params->gids[params->gid_count++] = (gid_t)gid;
	}
	return 0;
}

static int get_nodes(struct params *params, struct json_object *o, struct fm_error *err)
{
	struct json_object *array;
	size_t count;

	if (fm_json_array(o, "nodes", PARAMS_MAX_NODES, &array, err))
		return -1;
	count = json_object_array_length(array);
	params->nodes = calloc(count + 1, sizeof(*params->nodes));
	if (!params->nodes)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);

		if (!json_object_is_type(item, json_type_object))
			return fm_fail(err, FM_USAGE, "'nodes' has something that is no object");
		if (get_text(item, "name", " \t#", &params->nodes[i].name, err))
			return -1;
		params->node_count++;
		if (get_address(item, &params->nodes[i].ip, err))
			return -1;
	}
	if (params->rank >= params->node_count)
		return fm_fail(err, FM_USAGE, "rank %u of %zu nodes", params->rank, params->node_count);
	return 0;
}

static int get_token(struct params *params, struct json_object *o, struct fm_error *err)
{
	const char *hex;

	return fm_json_string(o, "token", &hex, err) || fm_token_parse(hex, params->token, err) ? -1 : 0;
}

int params_parse(struct params *params, const char *text, size_t size, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *o = NULL;

	memset(params, 0, sizeof(*params));
	o = fm_json_parse(text, size, err);
	if (!o)
		return -1;
	if (get_numbers(params, o, err) || get_gids(params, o, err) || get_nodes(params, o, err) ||
	    get_text(o, "user", ":/ \t", &params->user, err) || get_text(o, "home", ":", &params->home, err) ||
	    get_address(o, &params->ip, err) || get_token(params, o, err))
		return -1;
	if (params->home[0] != '/')
		return fm_fail(err, FM_USAGE, "'home' is no absolute path");
	return 0;
}

int params_load(struct params *params, const char *path, struct fm_error *err)
{
	FM_AUTO_FREE char *text = NULL;
	size_t size;

	memset(params, 0, sizeof(*params));
	text = fm_file_read(path, PARAMS_MAX, &size, err);
	if (!text)
		return -1;
	if (params_parse(params, text, size, err))
		return fm_context(err, "%s", path);
	return 0;
}

void params_dispose(struct params *params)
{
	for (size_t i = 0; i < params->node_count; i++)
		free(params->nodes[i].name);
	free(params->nodes);
	free(params->gids);
	free(params->user);
	free(params->home);
	explicit_bzero(params, sizeof(*params));
}

const struct params_node *params_node(const struct params *params, const char *host)
{
	const struct params_node *partial = NULL;
	struct in_addr ip;

	if (!strcmp(host, "localhost"))
		return &params->nodes[params->rank];
	for (size_t i = 0; i < params->node_count; i++) {
		const struct params_node *node = &params->nodes[i];
		size_t n = strcspn(node->name, ".");

		if (!strcmp(node->name, host))
			return node;
		if (strlen(host) == n && !strncmp(node->name, host, n))
			partial = node;
	}
	if (!partial && inet_pton(AF_INET, host, &ip) == 1)
		for (size_t i = 0; i < params->node_count; i++)
			if (params->nodes[i].ip.s_addr == ip.s_addr)
				partial = &params->nodes[i];
	return partial;
}
