// SPDX-License-Identifier: Apache-2.0
// The formats of JSON Schema that are asserted: simple grammars, read by hand.
#include "schema/internal.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}
static bool is_alpha(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}
static bool is_hex(char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

// `digits` decimal digits off the front.
static bool take_digits(struct slice *s, size_t digits, int *ret_value)
{
	*ret_value = 0;
	if (s->n < digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (!is_digit(s->p[i]))
			return false;
		*ret_value = *ret_value * 10 + (s->p[i] - '0');
	}
	*s = ms_slice_sub(*s, digits, s->n);
	return true;
}

static bool take(struct slice *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = ms_slice_sub(*s, 1, s->n);
	return true;
}

static bool take_date(struct slice *s)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year, month, day;
	if (!take_digits(s, 4, &year) || !take(s, '-') || !take_digits(s, 2, &month) || !take(s, '-') ||
	    !take_digits(s, 2, &day))
		return false;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

// RFC 3339 full-time, leap seconds at 23:59:60 UTC.
static bool take_time(struct slice *s)
{
	int hour, minute, second, zone_hour = 0, zone_minute = 0;
	if (!take_digits(s, 2, &hour) || !take(s, ':') || !take_digits(s, 2, &minute) || !take(s, ':') ||
	    !take_digits(s, 2, &second))
		return false;
	if (take(s, '.')) {
		if (s->n == 0 || !is_digit(s->p[0]))
			return false;
		while (s->n > 0 && is_digit(s->p[0]))
			*s = ms_slice_sub(*s, 1, s->n);
	}
	int sign = 0;
	if (!take(s, 'Z') && !take(s, 'z')) {
		sign = take(s, '+') ? 1 : take(s, '-') ? -1 : 0;
		if (sign == 0 || !take_digits(s, 2, &zone_hour) || !take(s, ':') || !take_digits(s, 2, &zone_minute))
			return false;
	}
	if (hour > 23 || minute > 59 || second > 60 || zone_hour > 23 || zone_minute > 59)
		return false;
	int utc = (hour * 60 + minute - sign * (zone_hour * 60 + zone_minute) + 2880) % 1440;
	return second < 60 || utc == 1439;
}

static bool is_date(struct slice s)
{
	return take_date(&s) && s.n == 0;
}
static bool is_time(struct slice s)
{
	return take_time(&s) && s.n == 0;
}
static bool is_date_time(struct slice s)
{
	return take_date(&s) && (take(&s, 'T') || take(&s, 't')) && take_time(&s) && s.n == 0;
}

// Numbers with the units of `units` behind them, in that order, without gaps between those given.
static bool take_parts(struct slice *s, const char *units, bool gaps)
{
	bool any = false;
	while (s->n > 0 && is_digit(s->p[0])) {
		while (s->n > 0 && is_digit(s->p[0]))
			*s = ms_slice_sub(*s, 1, s->n);
		const char *unit = s->n > 0 && s->p[0] != '\0' ? strchr(units, s->p[0]) : NULL;
		if (unit == NULL || (any && !gaps && unit != units))
			return false;
		units = unit + 1;
		any = true;
		*s = ms_slice_sub(*s, 1, s->n);
	}
	return any;
}

// RFC 3339, appendix A.
static bool is_duration(struct slice s)
{
	if (!take(&s, 'P'))
		return false;
	struct slice weeks = s;
	if (take_parts(&weeks, "W", false) && weeks.n == 0)
		return true;
	bool date = s.n > 0 && s.p[0] != 'T';
	if (date && !take_parts(&s, "YMD", false))
		return false;
	if (s.n == 0)
		return date;
	return take(&s, 'T') && take_parts(&s, "HMS", false) && s.n == 0;
}

static bool is_ipv4(struct slice s)
{
	struct slice part;
	int count = 0;
	for (; ms_slice_next(&s, '.', &part); count++) {
		uint64_t value;
		if (part.n == 0 || part.n > 3 || (part.n > 1 && part.p[0] == '0') || !ms_slice_to_u64(part, &value) ||
		    value > 255)
			return false;
	}
	return count == 4;
}

static bool is_ipv6(struct slice s)
{
	int groups = 0;
	bool gap = false;
	if (ms_slice_starts_with(s, MS_SLICE_LIT("::"))) {
		gap = true;
		s = ms_slice_sub(s, 2, s.n);
		if (s.n == 0)
			return true;
	}
	for (;;) {
		size_t n = ms_slice_find(s, ':');
		struct slice part = ms_slice_sub(s, 0, n);
		if (n == s.n && ms_slice_find(part, '.') < part.n) {
			groups += 2;
			return is_ipv4(part) && (gap ? groups < 8 : groups == 8);
		}
		if (part.n == 0 || part.n > 4)
			return false;
		for (size_t i = 0; i < part.n; i++) {
			if (!is_hex(part.p[i]))
				return false;
		}
		groups++;
		if (n == s.n)
			return gap ? groups < 8 : groups == 8;
		s = ms_slice_sub(s, n + 1, s.n);
		if (take(&s, ':')) {
			if (gap)
				return false;
			gap = true;
			if (s.n == 0)
				return groups < 8;
		}
	}
}

static bool is_uuid(struct slice s)
{
	if (s.n != 36)
		return false;
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? s.p[i] != '-' : !is_hex(s.p[i]))
			return false;
	}
	return true;
}

// RFC 1123 names; by RFC 5890 "--" in the third place is for IDNA's labels alone.
static bool is_name(struct slice s, bool idna, bool international)
{
	struct slice part;
	if (s.n == 0 || s.n > 253)
		return false;
	while (ms_slice_next(&s, '.', &part)) {
		if (part.n == 0 || part.n > 63 || part.p[0] == '-' || part.p[part.n - 1] == '-')
			return false;
		for (size_t i = 0; i < part.n; i++) {
			if (!is_alpha(part.p[i]) && !is_digit(part.p[i]) && part.p[i] != '-' &&
			    !(international && (part.p[i] & 0x80) != 0))
				return false;
		}
		bool dashes = idna && part.n >= 4 && part.p[2] == '-' && part.p[3] == '-';
		if (dashes && (!ms_slice_eq_nocase(ms_slice_sub(part, 0, 2), MS_SLICE_LIT("xn")) || part.n == 4))
			return false;
	}
	return true;
}

static bool is_hostname(struct slice s)
{
	return is_name(s, true, false);
}
static bool is_old_hostname(struct slice s)
{
	return is_name(s, false, false);
}

static bool is_quoted_local(struct slice s, bool international)
{
	for (size_t i = 1; i + 1 < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '\\')
			i++;
		else if (c < 0x20 || c == '"' || c == 0x7f || (c >= 0x80 && !international))
			return false;
		if (i + 1 >= s.n)
			return false;
	}
	return s.n >= 2;
}

// RFC 5321 mailboxes.
static bool is_mailbox(struct slice s, bool international)
{
	size_t at = s.n;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '@')
			at = i;
	}
	struct slice local = ms_slice_sub(s, 0, at), domain = ms_slice_sub(s, at + 1, s.n);
	if (at == s.n || local.n == 0 || local.n > 64)
		return false;
	if (local.p[0] == '"') {
		if (local.p[local.n - 1] != '"' || !is_quoted_local(local, international))
			return false;
	} else {
		struct slice atom;
		while (ms_slice_next(&local, '.', &atom)) {
			if (atom.n == 0)
				return false;
			for (size_t i = 0; i < atom.n; i++) {
				if (!is_alpha(atom.p[i]) && !is_digit(atom.p[i]) &&
				    !(international && (atom.p[i] & 0x80) != 0) &&
				    (atom.p[i] == '\0' || strchr("!#$%&'*+-/=?^_`{|}~", atom.p[i]) == NULL))
					return false;
			}
		}
	}
	if (domain.n > 2 && domain.p[0] == '[' && domain.p[domain.n - 1] == ']') {
		struct slice address = ms_slice_sub(domain, 1, domain.n - 2);
		if (ms_slice_starts_with(address, MS_SLICE_LIT("IPv6:")))
			return is_ipv6(ms_slice_sub(address, 5, address.n));
		return is_ipv4(address);
	}
	return is_name(domain, true, international);
}

static bool is_email(struct slice s)
{
	return is_mailbox(s, false);
}
static bool is_idn_email(struct slice s)
{
	return ms_utf8_valid_prefix(s) == s.n && is_mailbox(s, true);
}

// Characters of a part of a URI: unreserved, sub-delims, `more`, and percent escapes; of an IRI others than ASCII as well.
static bool is_uri_part(struct slice s, const char *more, bool iri)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '%') {
			if (i + 2 >= s.n || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
				return false;
			i += 2;
		} else if (!is_alpha(c) && !is_digit(c) && !(iri && (c & 0x80) != 0) &&
			   (c == '\0' || (strchr("-._~!$&'()*+,;=", c) == NULL && strchr(more, c) == NULL))) {
			return false;
		}
	}
	return true;
}

static bool is_authority(struct slice s, bool iri)
{
	size_t at = ms_slice_find(s, '@');
	if (at < s.n) {
		if (!is_uri_part(ms_slice_sub(s, 0, at), ":", iri))
			return false;
		s = ms_slice_sub(s, at + 1, s.n);
	}
	if (s.n > 0 && s.p[0] == '[') {
		size_t close = ms_slice_find(s, ']');
		struct slice address = ms_slice_sub(s, 1, close - 1);
		bool future = address.n > 0 && (address.p[0] | 0x20) == 'v' && is_uri_part(address, ":", iri);
		if (close == s.n || (!future && !is_ipv6(address)))
			return false;
		s = ms_slice_sub(s, close + 1, s.n);
	} else {
		size_t colon = ms_slice_find(s, ':');
		if (!is_uri_part(ms_slice_sub(s, 0, colon), "", iri))
			return false;
		s = ms_slice_sub(s, colon, s.n);
	}
	if (s.n > 0 && !take(&s, ':'))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_digit(s.p[i]))
			return false;
	}
	return true;
}

static bool is_reference(struct slice s, bool iri)
{
	struct uri u = ms_uri_split(s);
	if (u.authority.p != NULL && !is_authority(u.authority, iri))
		return false;
	// A first segment with a colon would be a scheme.
	size_t colon = ms_slice_find(u.path, ':'), slash = ms_slice_find(u.path, '/');
	if (u.scheme.p == NULL && u.authority.p == NULL && colon < u.path.n && colon < slash)
		return false;
	return is_uri_part(u.path, ":@/", iri) && is_uri_part(u.query, ":@/?", iri) &&
	       is_uri_part(u.fragment, ":@/?", iri);
}

static bool is_uri_reference(struct slice s)
{
	return is_reference(s, false);
}
static bool is_uri(struct slice s)
{
	return ms_uri_split(s).scheme.p != NULL && is_reference(s, false);
}
static bool is_iri_reference(struct slice s)
{
	return ms_utf8_valid_prefix(s) == s.n && is_reference(s, true);
}
static bool is_iri(struct slice s)
{
	return ms_uri_split(s).scheme.p != NULL && is_iri_reference(s);
}

static bool is_template_name(struct slice s)
{
	size_t star = s.n > 0 && s.p[s.n - 1] == '*', colon = ms_slice_find(s, ':');
	if (colon < s.n) {
		struct slice length = ms_slice_sub(s, colon + 1, s.n);
		uint64_t value;
		if (length.n > 4 || !ms_slice_to_u64(length, &value) || length.p[0] == '0')
			return false;
		s.n = colon;
	} else {
		s.n -= star;
	}
	for (size_t i = 0; i < s.n; i++) {
		bool dot = s.p[i] == '.' && i > 0 && i + 1 < s.n && s.p[i - 1] != '.';
		if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) && s.p[i] != '_' && !dot && s.p[i] != '%')
			return false;
	}
	return s.n > 0;
}

// RFC 6570.
static bool is_uri_template(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '{') {
			size_t n = ms_slice_find(ms_slice_sub(s, i, s.n), '}');
			struct slice inside = ms_slice_sub(s, i + 1, n - 1), name;
			if (i + n == s.n || inside.n == 0)
				return false;
			if (strchr("+#./;?&", inside.p[0]) != NULL)
				inside = ms_slice_sub(inside, 1, inside.n);
			do {
				size_t comma = ms_slice_find(inside, ',');
				name = ms_slice_sub(inside, 0, comma);
				if (!is_template_name(name))
					return false;
				inside = comma < inside.n ? ms_slice_sub(inside, comma + 1, inside.n) : MS_SLICE_EMPTY;
				if (comma > name.n || inside.p == NULL)
					break;
			} while (true);
			i += n;
		} else if (c <= ' ' || c == 0x7f || strchr("\"<>\\^`}", c) != NULL) {
			return false;
		} else if (c == '%' && (i + 2 >= s.n || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))) {
			return false;
		}
	}
	return true;
}

static bool is_json_pointer(struct slice s)
{
	if (s.n > 0 && s.p[0] != '/')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '~' && (i + 1 == s.n || (s.p[i + 1] != '0' && s.p[i + 1] != '1')))
			return false;
	}
	return true;
}

static bool is_relative_json_pointer(struct slice s)
{
	size_t n = 0;
	while (n < s.n && is_digit(s.p[n]))
		n++;
	if (n == 0 || (n > 1 && s.p[0] == '0'))
		return false;
	s = ms_slice_sub(s, n, s.n);
	return ms_slice_eq_cstr(s, "#") || is_json_pointer(s);
}

static bool is_regex(struct slice s)
{
	struct buf out;
	ms_buf_init(&out, (size_t)1 << 20);
	bool ok = ms_pattern_translate(s, &out, NULL) == MS_OK;
	ms_buf_fini(&out);
	return ok;
}

#define ALL ~0u
static const struct format formats[] = {
	{"date-time", "a date and time like 2026-11-20T08:30:00Z", ALL, is_date_time},
	{"date", "a date like 2026-11-20", DRAFT_FROM(SCHEMA_DRAFT7), is_date},
	{"time", "a time with zone like 08:30:00Z", DRAFT_FROM(SCHEMA_DRAFT7), is_time},
	{"duration", "a duration like P1DT12H", DRAFT_FROM(SCHEMA_2019_09), is_duration},
	{"email", "an e-mail address", ALL, is_email},
	{"idn-email", "an e-mail address", DRAFT_FROM(SCHEMA_DRAFT7), is_idn_email},
	{"hostname", "a host name", DRAFT_TO(SCHEMA_DRAFT6), is_old_hostname},
	{"hostname", "a host name", DRAFT_FROM(SCHEMA_DRAFT7), is_hostname},
	{"ipv4", "an IPv4 address", ALL, is_ipv4},
	{"ipv6", "an IPv6 address", ALL, is_ipv6},
	{"uri", "a URI", ALL, is_uri},
	{"uri-reference", "a URI or relative reference", DRAFT_FROM(SCHEMA_DRAFT6), is_uri_reference},
	{"iri", "an IRI", DRAFT_FROM(SCHEMA_DRAFT7), is_iri},
	{"iri-reference", "an IRI or relative reference", DRAFT_FROM(SCHEMA_DRAFT7), is_iri_reference},
	{"uri-template", "a URI template (RFC 6570)", DRAFT_FROM(SCHEMA_DRAFT6), is_uri_template},
	{"uuid", "a UUID", DRAFT_FROM(SCHEMA_2019_09), is_uuid},
	{"json-pointer", "a JSON pointer", DRAFT_FROM(SCHEMA_DRAFT6), is_json_pointer},
	{"relative-json-pointer", "a relative JSON pointer", DRAFT_FROM(SCHEMA_DRAFT7), is_relative_json_pointer},
	{"regex", "a regular expression", DRAFT_FROM(SCHEMA_DRAFT7), is_regex},
};

const struct format *ms_format_find(struct slice name, enum schema_draft draft)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(formats); i++) {
		if ((formats[i].drafts & DRAFT_BIT(draft)) != 0 && ms_slice_eq_cstr(name, formats[i].name))
			return &formats[i];
	}
	return NULL;
}
