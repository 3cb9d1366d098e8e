// SPDX-License-Identifier: Apache-2.0
// Addresses of databases as text.
#include <stdio.h>

#include "store/private.h"

#define URL_MAX 8192

static void escape(struct buf *out, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	for (; text != NULL && *text != '\0'; text++) {
		if (strchr(plain, *text) != NULL)
			ms_buf_append_char(out, *text);
		else
			ms_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
	}
}

static bool given(const char *text)
{
	return text != NULL && text[0] != '\0';
}

enum ms_err ms_store_server_url(const struct store_server *server, struct arena *arena, struct errinfo *info,
				const char **ret_url)
{
	struct buf out;
	MS_ASSERT(given(server->host));
	ms_buf_init(&out, URL_MAX);
	ms_buf_append_cstr(&out, "postgres://");
	if (given(server->user)) {
		escape(&out, server->user);
		if (given(server->password)) {
			ms_buf_append_char(&out, ':');
			escape(&out, server->password);
		}
		ms_buf_append_char(&out, '@');
	}
	// An IPv6 address has colons; all else goes escaped, a folder's slashes too.
	bool v6 = strchr(server->host, ':') != NULL && server->host[0] != '/' && server->host[0] != '[';
	if (v6)
		ms_buf_printf(&out, "[%s]", server->host);
	else if (server->host[0] == '[')
		ms_buf_append_cstr(&out, server->host);
	else
		escape(&out, server->host);
	if (server->port > 0)
		ms_buf_printf(&out, ":%u", server->port);
	ms_buf_append_char(&out, '/');
	escape(&out, server->name);
	bool fits = ms_buf_ok(&out);
	*ret_url = fits ? ms_arena_cstr(arena, ms_buf_slice(&out)) : NULL;
	ms_buf_fini(&out);
	if (*ret_url != NULL)
		return MS_OK;
	return fits ? ms_fail(info, MS_ERR_NO_MEMORY, "out of memory")
		    : ms_fail(info, MS_ERR_LIMIT, "the address of the database is longer than %d bytes", URL_MAX);
}

void ms_store_place(const char *url, char dst[MS_STORE_PLACE_SIZE])
{
	const struct store_driver *driver = ms_store_driver_for(url);
	if (driver != NULL)
		driver->place(url, dst);
	else
		snprintf(dst, MS_STORE_PLACE_SIZE, "unknown");
}
