// SPDX-License-Identifier: Apache-2.0
// Addresses of Redis servers as text (RFC 3986). Nothing of what is wrong is shown but the scheme and the host: the rest may be a password.
#include "wire/redis/internal.h"

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// False: too long, a NUL, or not escaped as an URL is.
static bool unescape(struct slice text, char *dst, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++, n++) {
		char c = text.p[i];
		if (c == '%') {
			int high = i + 2 < text.n ? hex_value(text.p[i + 1]) : -1;
			int low = i + 2 < text.n ? hex_value(text.p[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (c == '\0' || n + 1 >= size)
			return false;
		dst[n] = c;
	}
	dst[n] = '\0';
	return true;
}

static enum ms_err bad(struct errinfo *info, const char *what)
{
	return ms_fail(info, MS_ERR_CONFIG, "the address of Redis: %s", what);
}

static enum ms_err parse_user(struct slice text, struct errinfo *info, struct redis_address *a)
{
	size_t colon = ms_slice_find(text, ':');
	if (colon == text.n)
		return bad(info, "what stands before '@' must be user:password or :password");
	if (!unescape(ms_slice_sub(text, 0, colon), a->user, sizeof(a->user)))
		return bad(info, "the user is too long or not escaped as %XX");
	if (!unescape(ms_slice_sub(text, colon + 1, SIZE_MAX), a->password, sizeof(a->password)))
		return bad(info, "the password is too long or not escaped as %XX");
	return a->password[0] != '\0' ? MS_OK : bad(info, "the password before '@' is empty");
}

static enum ms_err parse_db(struct slice text, struct errinfo *info, struct redis_address *a)
{
	uint64_t db;
	if (!ms_slice_to_u64(text, &db) || db > 100000)
		return bad(info, "the database must be a number, as in redis://host:6379/0");
	a->db = (unsigned)db;
	return MS_OK;
}

static bool is_host(struct slice host)
{
	if (host.n == 0 || host.n >= REDIS_NAME_MAX)
		return false;
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		      c == '.' || c == '_' || c == ':'))
			return false;
	}
	return true;
}

static enum ms_err parse_host(struct slice text, struct errinfo *info, struct redis_address *a)
{
	struct slice host = ms_slice_sub(text, 0, ms_slice_find(text, ':')),
		     port = ms_slice_sub(text, host.n, SIZE_MAX);
	uint64_t number = 6379;
	if (text.n > 0 && text.p[0] == '[') {
		size_t end = ms_slice_find(text, ']');
		if (end == text.n)
			return bad(info, "an IPv6 address ends with ']'");
		host = ms_slice_sub(text, 1, end - 1);
		port = ms_slice_sub(text, end + 1, SIZE_MAX);
	} else if (port.n > 0 && ms_slice_find(ms_slice_sub(port, 1, SIZE_MAX), ':') != port.n - 1) {
		return bad(info, "an IPv6 address stands in brackets, redis://[::1]:6379");
	}
	if (host.n == 0)
		return bad(info, "it names no host; redis://host:6379 is right");
	if (!is_host(host))
		return bad(info, "the host is not a name or address");
	if (port.n > 0 && (port.p[0] != ':' || !ms_slice_to_u64(ms_slice_sub(port, 1, SIZE_MAX), &number) ||
			   number == 0 || number > 65535))
		return bad(info, "the port must be a number from 1 to 65535");
	a->port = (unsigned)number;
	memcpy(a->host, host.p, host.n);
	a->host[host.n] = '\0';
	return MS_OK;
}

static enum ms_err parse_unix(struct slice text, struct errinfo *info, struct redis_address *a)
{
	size_t query = ms_slice_find(text, '?');
	struct slice path = ms_slice_sub(text, 0, query), rest = ms_slice_sub(text, query, SIZE_MAX);
	a->is_unix = true;
	if (path.n == 0 || path.p[0] != '/')
		return bad(info, "a socket is named by its whole path, unix:///run/redis/redis.sock");
	if (!unescape(path, a->path, sizeof(a->path)))
		return bad(info, "the path of the socket is longer than 107 bytes or not escaped as %XX");
	if (rest.n == 0)
		return MS_OK;
	if (!ms_slice_starts_with(rest, MS_SLICE_LIT("?db=")))
		return bad(info, "behind the path of a socket only ?db=NUMBER may stand");
	return parse_db(ms_slice_sub(rest, 4, SIZE_MAX), info, a);
}

static enum ms_err parse_tcp(struct slice text, struct errinfo *info, struct redis_address *a)
{
	size_t slash = ms_slice_find(text, '/');
	struct slice db = ms_slice_sub(text, slash + 1, SIZE_MAX);
	if (ms_slice_find(text, '?') != text.n || ms_slice_find(text, '#') != text.n)
		return bad(info, "it has no options behind '?' or '#'");
	MS_TRY(parse_host(ms_slice_sub(text, 0, slash), info, a));
	return db.n > 0 ? parse_db(db, info, a) : MS_OK;
}

enum ms_err ms_redis_parse_url(const char *url, struct errinfo *info, struct redis_address *ret_address)
{
	struct slice text = ms_slice_cstr(url), tcp = MS_SLICE_LIT("redis://"), local = MS_SLICE_LIT("unix://");
	bool is_unix = ms_slice_starts_with(text, local);
	*ret_address = (struct redis_address){.port = 6379};
	if (ms_slice_starts_with(text, MS_SLICE_LIT("rediss://")))
		return bad(info, "rediss:// is not possible: the Redis library of this build has no TLS. Use redis:// "
				 "in a network "
				 "that is trusted, unix://, or a TLS tunnel on this machine");
	if (!is_unix && !ms_slice_starts_with(text, tcp))
		return bad(info, "it must begin with redis:// or unix://");
	text = ms_slice_sub(text, is_unix ? local.n : tcp.n, SIZE_MAX);
	// The last '@' before the path: a password that holds one unescaped is understood too.
	size_t end = is_unix ? text.n : ms_slice_find(text, '/'), at = end;
	while (at > 0 && text.p[at - 1] != '@')
		at--;
	if (at > 0 && !(is_unix && text.p[0] == '/')) {
		MS_TRY(parse_user(ms_slice_sub(text, 0, at - 1), info, ret_address));
		text = ms_slice_sub(text, at, SIZE_MAX);
	}
	return is_unix ? parse_unix(text, info, ret_address) : parse_tcp(text, info, ret_address);
}

enum ms_err ms_redis_check_url(const char *url, struct errinfo *info)
{
	struct redis_address address;
	return ms_redis_parse_url(url, info, &address);
}
