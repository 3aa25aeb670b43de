/* SPDX-License-Identifier: GPL-2.0-or-later */
/* credentials.c - see credentials.h. Not by conf_parse: its errors show the line, and a copy would stay in memory. */
#include "config.h"

#include "agent/store/levels/credentials.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

#define FILE_MAX ((size_t)8192)

static int open_private(const char *path, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fm_fail(err, errno == ENOENT ? FM_NOT_FOUND : FM_FAILED, "cannot open the credentials %s: %s",
			       path, strerror(errno));
	if (!S_ISREG(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 077))
		return fm_fail(err, FM_DENIED,
			       "the credentials %s must be a file of mode 0600 that belongs to root or to uid %u", path,
			       (unsigned)geteuid());
	return fm_steal_fd(&fd);
}

static int set_value(char *field, size_t size, const char *value, const char *key, struct fm_error *err)
{
	size_t length = strlen(value);

	if (*field)
		return fm_fail(err, FM_USAGE, "%s is given twice", key);
	if (!length || length >= size)
		return fm_fail(err, FM_USAGE, "%s is empty, or longer than %zu bytes", key, size - 1);
	for (const char *p = value; *p; p++)
		if (!isgraph((unsigned char)*p)) /* it goes into a header */
			return fm_fail(err, FM_USAGE, "%s has a space or a character that is not ASCII", key);
	memcpy(field, value, length + 1);
	return 0;
}

static int parse_line(char *line, struct credentials *c, struct fm_error *err)
{
	char *equals = strchr(line, '='), *end;

	line += strspn(line, " \t\r");
	if (!*line || *line == '#')
		return 0;
	if (!equals)
		return fm_fail(err, FM_USAGE, "not key=value");
	*equals = '\0';
	for (end = equals; end > line && isspace((unsigned char)end[-1]);)
		*--end = '\0';
	equals += 1 + strspn(equals + 1, " \t");
	for (end = equals + strlen(equals); end > equals && isspace((unsigned char)end[-1]);)
		*--end = '\0';
	if (!strcmp(line, "access_key"))
		return set_value(c->access_key, sizeof(c->access_key), equals, "access_key", err);
	if (!strcmp(line, "secret_key"))
		return set_value(c->secret_key, sizeof(c->secret_key), equals, "secret_key", err);
	if (!strcmp(line, "session_token"))
		return set_value(c->session_token, sizeof(c->session_token), equals, "session_token", err);
	return fm_fail(err, FM_USAGE, "not one of access_key, secret_key, session_token");
}

static int parse(char *text, struct credentials *c, const char *path, struct fm_error *err)
{
	unsigned number = 1;

	for (char *line = text, *next; line; line = next, number++) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (parse_line(line, c, err) < 0)
			return fm_context(err, "%s:%u", path, number);
	}
	if (!*c->access_key || !*c->secret_key)
		return fm_fail(err, FM_USAGE, "%s: %s is missing", path, *c->access_key ? "secret_key" : "access_key");
	return 0;
}

int credentials_read(const char *path, struct credentials *c, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open_private(path, err);
	char text[FILE_MAX + 1];
	ssize_t n;
	int r = -1;

	memset(c, 0, sizeof(*c));
	if (fd < 0)
		return -1;
	n = fm_read_all(fd, text, FILE_MAX);
	if (n < 0) {
		fm_fail(err, FM_FAILED, "cannot read the credentials %s: %s", path, strerror(errno));
	} else if (n == (ssize_t)FILE_MAX || memchr(text, '\0', (size_t)n)) {
		fm_fail(err, FM_USAGE, "%s is too long, or not text", path);
	} else {
		text[n] = '\0';
		r = parse(text, c, path, err);
	}
	explicit_bzero(text, sizeof(text));
	if (r < 0)
		credentials_wipe(c);
	return r;
}

void credentials_wipe(struct credentials *c)
{
	explicit_bzero(c, sizeof(*c));
}
