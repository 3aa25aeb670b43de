/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest_identity.c - the guest's name and the job's user; see guest.h.
 *
 * /etc/passwd and /etc/group keep what the image has; a line is added only for
 * an id or name that is not there yet.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/runner/guest.h"
#include "common/cleanup.h"
#include "common/io.h"

#define FILE_MAX (4u * 1024 * 1024)

static int append(const char *path, const char *line, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0 || fm_write_all(fd, line, strlen(line)))
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	return 0;
}

static int overwrite(const char *path, const char *text, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0 || fm_write_all(fd, text, strlen(text)))
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	return 0;
}

/* Does a line of a passwd or group file have this third field (the id)? */
static bool has_id(const char *text, unsigned long id)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line ? 1 : 0) {
		const char *p = strchr(line, ':');
		char *end;

		if (p)
			p = strchr(p + 1, ':');
		if (!p || memchr(line, '\n', (size_t)(p - line)))
			continue;
		errno = 0;
		if (strtoul(p + 1, &end, 10) == id && end > p + 1 && *end == ':' && !errno)
			return true;
	}
	return false;
}

static char *read_or_empty(const char *path)
{
	struct fm_error ignored;
	size_t size;
	char *text = fm_file_read(path, FILE_MAX, &size, &ignored);

	return text ? text : strdup("");
}

static const char *login_shell(void)
{
	return access("/bin/bash", X_OK) ? "/bin/sh" : "/bin/bash";
}

static int add_user(const struct params *params, struct fm_error *err)
{
	FM_AUTO_FREE char *text = read_or_empty("/etc/passwd");
	FM_AUTO_FREE char *line = NULL;

	if (!text)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (has_id(text, params->uid))
		return 0;
	line = fm_format("%s%s:x:%u:%u::%s:%s\n", *text && text[strlen(text) - 1] != '\n' ? "\n" : "", params->user,
			 params->uid, params->gid, params->home, login_shell());
	return line ? append("/etc/passwd", line, err) : fm_fail(err, FM_FAILED, "out of memory");
}

static int add_group(const char *name, gid_t gid, const char *member, struct fm_error *err)
{
	FM_AUTO_FREE char *text = read_or_empty("/etc/group");
	FM_AUTO_FREE char *line = NULL;

	if (!text)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (has_id(text, gid))
		return 0;
	if (name)
		line = fm_format("%s:x:%u:%s\n", name, gid, member);
	else
		line = fm_format("g%u:x:%u:%s\n", gid, gid, member);
	return line ? append("/etc/group", line, err) : fm_fail(err, FM_FAILED, "out of memory");
}

static int write_hosts(const struct params *params, struct fm_error *err)
{
	FM_AUTO_FREE char *text = strdup("127.0.0.1 localhost\n");

	for (size_t i = 0; text && i < params->node_count; i++) {
		const char *name = params->nodes[i].name;
		size_t n = strcspn(name, ".");
		char ip[INET_ADDRSTRLEN];
		char *longer;

		inet_ntop(AF_INET, &params->nodes[i].ip, ip, sizeof(ip));
		longer = name[n] ? fm_format("%s%s %s %.*s\n", text, ip, name, (int)n, name) :
				   fm_format("%s%s %s\n", text, ip, name);
		free(text);
		text = longer;
	}
	return text ? overwrite("/etc/hosts", text, err) : fm_fail(err, FM_FAILED, "out of memory");
}

int guest_make_dir(const char *path, uid_t uid, gid_t gid, struct fm_error *err)
{
	char part[PATH_MAX];
	size_t n = strlen(path);

	if (path[0] != '/' || n >= sizeof(part))
		return fm_fail(err, FM_USAGE, "%.200s: no absolute path", path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	for (size_t i = 1; i <= n; i++) {
		if (i < n && path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (!mkdir(part, 0755)) {
			if (i == n && chown(part, uid, gid))
				return fm_fail(err, FM_FAILED, "%.200s: %s", part, strerror(errno));
		} else if (errno != EEXIST) {
			return fm_fail(err, FM_FAILED, "%.200s: %s", part, strerror(errno));
		}
	}
	return 0;
}

int guest_identity(const struct params *params, struct fm_error *err)
{
	const char *name = params->nodes[params->rank].name;

	if (sethostname(name, strlen(name) < HOST_NAME_MAX ? strlen(name) : HOST_NAME_MAX))
		return fm_fail(err, FM_FAILED, "setting the host name: %s", strerror(errno));
	if (mkdir("/etc", 0755) && errno != EEXIST)
		return fm_fail(err, FM_FAILED, "/etc: %s", strerror(errno));
	if (write_hosts(params, err) || add_user(params, err) || add_group(params->user, params->gid, "", err))
		return -1;
	for (size_t i = 0; i < params->gid_count; i++)
		if (add_group(NULL, params->gids[i], params->user, err))
			return -1;
	return guest_make_dir(params->home, params->uid, params->gid, err);
}
