// SPDX-License-Identifier: Apache-2.0
// Private to tasks. Cron lines: when is it time next? Text in, times out; the clock and the zone are arguments.
//
// Five fields (minute hour day-of-month month day-of-week), or six with seconds in front; lists, ranges, steps, names (JAN, MON), '?' for '*', 7 for
// Sunday, 'L' the last day of the month, 5L the last Friday, 5#2 the second one; @yearly @annually @monthly @weekly @daily @midnight @hourly. When
// both days are restricted either of them is enough, as in every cron.
//
// Daylight saving, as Debian's cron has it: what runs every hour (an hour field with '*') follows the true time, it runs in both of the hours that
// come twice and never in an hour that does not exist. What runs at given hours runs once a day: at the first of two equal times, and at the
// moment after the gap for times inside the gap.
#ifndef MS_TASKS_CRON_H
#define MS_TASKS_CRON_H

#include "base/base.h"
#include "tasks/zone.h"

struct cron {
	uint64_t seconds, minutes; // bit i: i
	uint32_t hours, days;      // of days bits 1 to 31
	uint16_t months;           // bits 1 to 12
	uint8_t weekdays;          // bits 0 to 6
	uint8_t last_weekdays;     // 5L
	uint8_t nth_weekdays[5];   // 5#2 sets bit 5 of [1]
	bool last_day;             // L
	bool any_day, any_weekday; // '*' or '?'
	bool every_hour;           // the hour field begins with '*'
};

// MS_ERR_INVALID names the field, what is wrong and what would be right; also for a line that is never due (30 February).
MS_MUST_USE enum ms_err ms_cron_parse(struct slice text, struct errinfo *info, struct cron *ret_cron);
// The first time after `after_s` (Unix seconds) at which it is due; false when there is none within 40 years.
MS_MUST_USE bool ms_cron_next(const struct cron *cron, const struct zone *zone, int64_t after_s, int64_t *ret_s);

#endif
