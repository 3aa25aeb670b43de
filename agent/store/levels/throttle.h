/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * throttle.h - a token bucket: all transfers of a process together move at most
 * so many bytes a second (`Bandwidth=`).
 *
 * It is kept as one point in time, when the bucket would be empty (the virtual
 * scheduling form of the generic cell rate algorithm, ITU-T I.371): who takes
 * moves it on and waits until it is reached.  So turns are in the order of the
 * calls, and one that takes more than the bucket holds waits longer, not for ever.
 */
#ifndef FM_STORE_LEVEL_THROTTLE_H
#define FM_STORE_LEVEL_THROTTLE_H

#include <stdint.h>

#include "agent/store/levels/clock.h"
#include "common/error.h"

struct throttle;

/*
 * bytes_per_s 1 to 2^33; burst: bytes that may move at once after a pause.
 * clock NULL: the real one; else it must outlive the throttle.
 */
struct throttle *throttle_create(uint64_t bytes_per_s, uint64_t burst, const struct level_clock *clock,
				 struct fm_error *err);
/* Wait until `bytes` may move. Any thread. NULL: nothing. */
void throttle_take(struct throttle *throttle, uint64_t bytes);
void throttle_destroy(struct throttle *throttle); /* NULL is fine */

#endif
