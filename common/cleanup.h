/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cleanup.h - free on scope exit, and handing over what a scope owned.
 *
 *	FM_AUTO_FREE char *s = strdup(x);      freed at the end of the scope
 *	FM_AUTO_CLOSE int fd = open(…);        closed unless -1
 *	return fm_steal_ptr(&s);               the caller owns it now
 */
#ifndef FM_CLEANUP_H
#define FM_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void fm_cleanup_free(void *p)
{
	int saved = errno;

	free(*(void **)p);
	errno = saved;
}

static inline void fm_cleanup_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

#define FM_AUTO_FREE __attribute__((cleanup(fm_cleanup_free)))
#define FM_AUTO_CLOSE __attribute__((cleanup(fm_cleanup_close)))

#define fm_steal_ptr(pp)                                                       \
	__extension__({                                                        \
		__typeof__(*(pp)) fm_stolen_ = *(pp);                          \
		*(pp) = NULL;                                                  \
		fm_stolen_;                                                    \
	})

static inline int fm_steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#endif
