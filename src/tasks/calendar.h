// SPDX-License-Identifier: Apache-2.0
// Private to tasks. Days of the Gregorian calendar and seconds of a civil time, with no zone. Seconds count from 1970-01-01 00:00:00 of the
// civil time itself.
#ifndef MS_TASKS_CALENDAR_H
#define MS_TASKS_CALENDAR_H

#include "base/base.h"

#define DAY_SECONDS 86400

struct civil {
	int64_t year;
	int month; // 1 to 12
	int day;   // 1 to 31
	int hour, minute, second;
	int weekday; // 0 is Sunday
};

// Howard Hinnant's algorithms for the proleptic Gregorian calendar (eras of 400 years that begin in March).
static inline int64_t ms_civil_days(int64_t year, int month, int day)
{
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t of_era = year - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static inline int64_t ms_civil_floor(int64_t a, int64_t b) // b > 0
{
	return a / b - (a % b < 0);
}

static inline struct civil ms_civil_of(int64_t seconds)
{
	int64_t days = ms_civil_floor(seconds, DAY_SECONDS), rest = seconds - days * DAY_SECONDS;
	int64_t z = days + 719468, era = ms_civil_floor(z, 146097), of_era = z - era * 146097;
	int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t m = (5 * of_year + 2) / 153;
	int month = (int)(m + (m < 10 ? 3 : -9));
	return (struct civil){.year = year_of_era + era * 400 + (month <= 2),
			      .month = month,
			      .day = (int)(of_year - (153 * m + 2) / 5 + 1),
			      .hour = (int)(rest / 3600),
			      .minute = (int)(rest / 60 % 60),
			      .second = (int)(rest % 60),
			      .weekday = (int)(((days + 4) % 7 + 7) % 7)};
}

static inline int ms_civil_month_days(int64_t year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return days[month - 1] + (month == 2 && leap);
}

static inline int64_t ms_civil_seconds(const struct civil *c)
{
	return ms_civil_days(c->year, c->month, c->day) * DAY_SECONDS + c->hour * 3600 + c->minute * 60 + c->second;
}

#endif
