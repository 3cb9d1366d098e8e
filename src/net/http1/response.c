// SPDX-License-Identifier: Apache-2.0
#include "net/http1/http1.h"
#include "net/http1/scan.h"

// The statuses of the IANA registry that a server of this kind may send.
static const struct status {
	uint16_t code;
	const char *reason;
} statuses[] = {
	{100, "Continue"},
	{101, "Switching Protocols"},
	{103, "Early Hints"},
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{203, "Non-Authoritative Information"},
	{204, "No Content"},
	{205, "Reset Content"},
	{206, "Partial Content"},
	{207, "Multi-Status"},
	{300, "Multiple Choices"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{303, "See Other"},
	{304, "Not Modified"},
	{307, "Temporary Redirect"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{402, "Payment Required"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{407, "Proxy Authentication Required"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{410, "Gone"},
	{411, "Length Required"},
	{412, "Precondition Failed"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Range Not Satisfiable"},
	{417, "Expectation Failed"},
	{421, "Misdirected Request"},
	{422, "Unprocessable Content"},
	{423, "Locked"},
	{424, "Failed Dependency"},
	{425, "Too Early"},
	{426, "Upgrade Required"},
	{428, "Precondition Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{451, "Unavailable For Legal Reasons"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
	{507, "Insufficient Storage"},
	{508, "Loop Detected"},
	{511, "Network Authentication Required"},
};

const char *ms_http1_reason(int status)
{
	size_t low = 0, high = MS_ARRAY_LEN(statuses);
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (statuses[middle].code == status)
			return statuses[middle].reason;
		if (statuses[middle].code < status)
			low = middle + 1;
		else
			high = middle;
	}
	return "Unknown";
}

void ms_http1_write_status(struct buf *out, int status)
{
	MS_ASSERT(status >= 100 && status <= 599);
	if (status == 200) { // nearly all
		ms_buf_append_slice(out, MS_SLICE_LIT("HTTP/1.1 200 OK\r\n"));
		return;
	}
	ms_buf_append_slice(out, MS_SLICE_LIT("HTTP/1.1 "));
	ms_buf_append_u64(out, (uint64_t)status);
	ms_buf_append_char(out, ' ');
	ms_buf_append_cstr(out, ms_http1_reason(status));
	ms_buf_append_slice(out, MS_SLICE_LIT("\r\n"));
}

static void write_name(struct buf *out, const char *name)
{
	struct slice s = ms_slice_cstr(name);
	MS_ASSERT(s.n > 0 && scan_token(s.p, 0, s.n) == s.n);
	ms_buf_append_slice(out, s);
	ms_buf_append_slice(out, MS_SLICE_LIT(": "));
}

void ms_http1_write_header(struct buf *out, const char *name, struct slice value)
{
	MS_ASSERT(scan_value(value.p, 0, value.n) == value.n);
	write_name(out, name);
	ms_buf_append_slice(out, value);
	ms_buf_append_slice(out, MS_SLICE_LIT("\r\n"));
}

void ms_http1_write_header_u64(struct buf *out, const char *name, uint64_t value)
{
	write_name(out, name);
	ms_buf_append_u64(out, value);
	ms_buf_append_slice(out, MS_SLICE_LIT("\r\n"));
}

void ms_http1_write_end(struct buf *out)
{
	ms_buf_append_slice(out, MS_SLICE_LIT("\r\n"));
}

// --- Date --------------------------------------------------------------------------------------------

#define SECONDS_PER_DAY 86400
#define NS_PER_SECOND INT64_C(1000000000)

struct civil {
	int64_t year;
	unsigned month; // 1 to 12
	unsigned day;   // 1 to 31
};

// Proleptic Gregorian date of a day counted from 1970-01-01 (H. Hinnant, "chrono-Compatible Low-Level Date
// Algorithms", civil_from_days): years start in March, so that the leap day comes last.
static struct civil civil_from_days(int64_t days)
{
	days += 719468; // to 0000-03-01
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	unsigned day_of_era = (unsigned)(days - era * 146097);
	unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned month_from_march = (5 * day_of_year + 2) / 153;
	struct civil c;
	c.day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
	c.month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
	c.year = (int64_t)year_of_era + era * 400 + (c.month <= 2);
	return c;
}

static char *put2(char *at, unsigned value)
{
	at[0] = (char)('0' + value / 10 % 10);
	at[1] = (char)('0' + value % 10);
	return at + 2;
}

// IMF-fixdate (RFC 9110 section 5.6.7).
static void render_date(struct http1_date *cache, int64_t second)
{
	static const char days[7][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"}; // 1970-01-01 was a Thursday
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	int64_t day = second / SECONDS_PER_DAY;
	unsigned in_day = (unsigned)(second % SECONDS_PER_DAY);
	struct civil c = civil_from_days(day);
	unsigned year = (unsigned)MS_MIN(c.year, INT64_C(9999));
	char *at = cache->line;
	memcpy(at, "Date: ", 6);
	memcpy(at + 6, days[day % 7], 3);
	memcpy(at + 9, ", ", 2);
	at = put2(at + 11, c.day);
	*at++ = ' ';
	memcpy(at, months[c.month - 1], 3);
	at += 3;
	*at++ = ' ';
	at = put2(put2(at, year / 100), year);
	*at++ = ' ';
	at = put2(at, in_day / 3600);
	*at++ = ':';
	at = put2(at, in_day / 60 % 60);
	*at++ = ':';
	at = put2(at, in_day % 60);
	memcpy(at, " GMT\r\n", 6);
	cache->n = (size_t)(at + 6 - cache->line);
	cache->second = second;
}

void ms_http1_write_date(struct buf *out, struct http1_date *cache, int64_t wall_ns)
{
	int64_t second = wall_ns > 0 ? wall_ns / NS_PER_SECOND : 0; // a clock before 1970 is shown as 1970
	if (cache->n == 0 || cache->second != second)
		render_date(cache, second);
	ms_buf_append(out, cache->line, cache->n);
}

void ms_http1_write_chunk_head(struct buf *out, size_t n)
{
	MS_ASSERT(n > 0);
	static const char hex[] = "0123456789abcdef";
	char digits[sizeof(n) * 2 + 2];
	size_t at = sizeof(digits);
	digits[--at] = '\n';
	digits[--at] = '\r';
	for (; n > 0; n >>= 4)
		digits[--at] = hex[n & 15];
	ms_buf_append(out, digits + at, sizeof(digits) - at);
}
