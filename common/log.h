/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h - leveled log lines on stderr (journald prefixes "<n>" when it is ours).
 *
 * Only programs log; libraries return errors.  Control characters in the text
 * are replaced, since parts of it may come from a guest or a socket.
 */
#ifndef FM_LOG_H
#define FM_LOG_H

enum fm_log_level { FM_LOG_ERROR, FM_LOG_WARNING, FM_LOG_INFO, FM_LOG_DEBUG };

/* ident: program name put in front of each line; keeps the pointer. */
void fm_log_init(const char *ident, enum fm_log_level level);
void fm_log_set_level(enum fm_log_level level);
int fm_log_level_parse(const char *text, enum fm_log_level *level_r);

void fm_log(enum fm_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define fm_err(...) fm_log(FM_LOG_ERROR, __VA_ARGS__)
#define fm_warning(...) fm_log(FM_LOG_WARNING, __VA_ARGS__)
#define fm_info(...) fm_log(FM_LOG_INFO, __VA_ARGS__)
#define fm_debug(...) fm_log(FM_LOG_DEBUG, __VA_ARGS__)

#endif
