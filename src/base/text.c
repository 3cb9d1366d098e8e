// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include "base/utf8.h"

#define NAME_MAX_COMPARED 64

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static size_t min3(size_t a, size_t b, size_t c)
{
	return MS_MIN(MS_MIN(a, b), c);
}

// Optimal string alignment distance; three rows suffice because a swap looks back two.
static size_t edit_distance(struct slice a, struct slice b)
{
	size_t rows[3][NAME_MAX_COMPARED + 1];
	for (size_t j = 0; j <= b.n; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			char x = lower(a.p[i - 1]), y = lower(b.p[j - 1]);
			row[j] = min3(up[j] + 1, row[j - 1] + 1, up[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == lower(b.p[j - 2]) && lower(a.p[i - 2]) == y)
				row[j] = MS_MIN(row[j], up2[j - 2] + 1);
		}
	}
	return rows[a.n % 3][b.n];
}

size_t ms_text_nearest(struct slice name, const struct slice *candidates, size_t count)
{
	if (name.n == 0 || name.n > NAME_MAX_COMPARED)
		return SIZE_MAX;
	size_t best = SIZE_MAX;
	size_t best_distance = MS_MAX(name.n / 3, (size_t)1) + 1; // farther than a third of the letters is no slip
	for (size_t i = 0; i < count; i++) {
		if (candidates[i].n == 0 || candidates[i].n > NAME_MAX_COMPARED)
			continue;
		size_t distance = edit_distance(name, candidates[i]);
		bool alike = distance < MS_MAX(name.n, candidates[i].n); // "x" is no slip of "a"
		if (alike && distance < best_distance) {
			best_distance = distance;
			best = i;
		}
	}
	return best;
}

// Days since 1970-01-01 to a civil date, proleptic Gregorian calendar (H. Hinnant, "chrono-compatible
// low-level date algorithms").
static void civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	unsigned day_of_era = (unsigned)(days - era * 146097);
	unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned shifted_month = (5 * day_of_year + 2) / 153;
	*ret_day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
	*ret_month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
	*ret_year = (int64_t)year_of_era + era * 400 + (*ret_month <= 2);
}

size_t ms_text_rfc3339(int64_t unix_ns, char dst[MS_RFC3339_SIZE])
{
	int64_t ms = unix_ns / 1000000 - (unix_ns % 1000000 < 0);
	int64_t days = ms / 86400000 - (ms % 86400000 < 0);
	unsigned left = (unsigned)(ms - days * 86400000);
	int64_t year;
	unsigned month, day;
	civil_from_days(days, &year, &month, &day);
	// snprintf is too slow for the hot path, which stamps every answer.
	unsigned fields[] = {(unsigned)year,   month,      day, left / 3600000, left / 60000 % 60,
			     left / 1000 % 60, left % 1000};
	static const unsigned char widths[] = {4, 2, 2, 2, 2, 2, 3};
	static const char ends[] = "--T::.Z";
	char *p = dst;
	for (size_t i = 0; i < MS_ARRAY_LEN(fields); i++) {
		for (size_t w = widths[i]; w-- > 0; fields[i] /= 10)
			p[w] = (char)('0' + fields[i] % 10);
		p += widths[i];
		*p++ = ends[i];
	}
	*p = '\0';
	return (size_t)(p - dst);
}

// Days since the Unix epoch, by the same calendar.
static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400;
	unsigned of_era = (unsigned)(y - era * 400);
	unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	return era * 146097 + (int64_t)(of_era * 365 + of_era / 4 - of_era / 100 + of_year) - 719468;
}

// Takes `digits` digits off the front.
static bool take_number(struct slice *rest, size_t digits, unsigned max, unsigned *ret_value)
{
	uint64_t value;
	if (rest->n < digits || !ms_slice_to_u64(ms_slice_sub(*rest, 0, digits), &value) || value > max)
		return false;
	*rest = ms_slice_sub(*rest, digits, rest->n);
	*ret_value = (unsigned)value;
	return true;
}

static bool take_char(struct slice *rest, const char *choices)
{
	if (rest->n == 0 || strchr(choices, rest->p[0]) == NULL || rest->p[0] == '\0')
		return false;
	*rest = ms_slice_sub(*rest, 1, rest->n);
	return true;
}

static bool take_fraction(struct slice *rest, int64_t *ret_ns)
{
	int64_t scale = 100000000, ns = 0;
	size_t n = 0;
	for (; n < rest->n && rest->p[n] >= '0' && rest->p[n] <= '9'; n++, scale /= 10)
		ns += scale * (rest->p[n] - '0');
	*rest = ms_slice_sub(*rest, n, rest->n);
	*ret_ns = ns;
	return n > 0;
}

// "Z" or "+01:00"; all that is left.
static bool take_zone(struct slice rest, int64_t *ret_seconds)
{
	unsigned hours, minutes;
	if (rest.n == 1 && take_char(&rest, "Zz")) {
		*ret_seconds = 0;
		return true;
	}
	bool west = rest.n > 0 && rest.p[0] == '-';
	if (!take_char(&rest, "+-") || !take_number(&rest, 2, 23, &hours) || !take_char(&rest, ":") ||
	    !take_number(&rest, 2, 59, &minutes) || rest.n > 0)
		return false;
	*ret_seconds = (west ? -1 : 1) * (int64_t)(hours * 3600 + minutes * 60);
	return true;
}

static unsigned days_of_month(unsigned year, unsigned month)
{
	static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return month == 2 && leap ? 29 : days[month - 1];
}

bool ms_text_parse_time(struct slice text, int64_t *ret_unix_ns)
{
	unsigned year, month, day, hour = 0, minute = 0, second = 0;
	int64_t zone = 0, ns = 0;
	if (!take_number(&text, 4, 2261, &year) || year < 1970 || !take_char(&text, "-") ||
	    !take_number(&text, 2, 12, &month) || month < 1 || !take_char(&text, "-") ||
	    !take_number(&text, 2, days_of_month(year, month), &day) || day < 1)
		return false;
	if (text.n > 0) {
		if (!take_char(&text, "Tt ") || !take_number(&text, 2, 23, &hour) || !take_char(&text, ":") ||
		    !take_number(&text, 2, 59, &minute))
			return false;
		bool seconds = take_char(&text, ":");
		if (seconds && !take_number(&text, 2, 60, &second))
			return false;
		if (seconds && take_char(&text, ".") && !take_fraction(&text, &ns))
			return false;
		if (!take_zone(text, &zone))
			return false;
	}
	second = MS_MIN(second, 59U);
	int64_t s = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - zone;
	*ret_unix_ns = s * 1000000000 + ns;
	return true;
}

// The escape of one character, or 0 when it stands for itself. `n`: bytes of the character, 0 when it is not UTF-8.
static size_t escape_of(const unsigned char *c, size_t n, char dst[MS_JSON_ESCAPE_MAX])
{
	static const char shorts[0x20] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
	static const char hex[] = "0123456789abcdef";
	if (n == 0) {
		memcpy(dst, "\xef\xbf\xbd", 3);
		return 3;
	}
	unsigned value = c[0];
	if (n == 2 && c[0] == 0xc2 && c[1] < 0xa0)
		value = c[1];
	else if (n > 1 || (value >= 0x20 && value != '"' && value != '\\' && value != 0x7f))
		return 0;
	dst[0] = '\\';
	if (value == '"' || value == '\\' || (value < 0x20 && shorts[value] != 0)) {
		dst[1] = value < 0x20 ? shorts[value] : (char)value;
		return 2;
	}
	memcpy(dst + 1, "u00", 3);
	dst[4] = hex[value >> 4];
	dst[5] = hex[value & 15];
	return 6;
}

// Bytes of the UTF-8 character at the start of `s`, or 0.
static size_t character_length(struct slice s)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	return n <= s.n && ms_utf8_valid_prefix((struct slice){s.p, n}) == n ? n : 0;
}

size_t ms_text_json_escape(struct slice text, char *dst, size_t size, size_t *ret_taken)
{
	size_t taken = 0, n = 0;
	while (taken < text.n) {
		unsigned char c = (unsigned char)text.p[taken];
		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			if (n == size)
				break;
			dst[n++] = (char)c;
			taken++;
			continue;
		}
		char escape[MS_JSON_ESCAPE_MAX];
		size_t length = character_length(ms_slice_sub(text, taken, 4));
		size_t out = escape_of((const unsigned char *)text.p + taken, length, escape);
		const char *from = out > 0 ? escape : text.p + taken;
		if (out == 0)
			out = length;
		if (out > size - n)
			break;
		memcpy(dst + n, from, out);
		n += out;
		taken += MS_MAX(length, (size_t)1);
	}
	*ret_taken = taken;
	return n;
}
