// SPDX-License-Identifier: Apache-2.0
// The address of the broker, from its parts.
#include "bus/private.h"
#include "bus/rabbitmq/rabbitmq.h"

#define URL_MAX 8192

// RFC 3986 section 2.3: all but unreserved characters escaped.
static void escape(struct buf *out, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~", c) != NULL) {
			ms_buf_append_char(out, (char)c);
			continue;
		}
		ms_buf_append_char(out, '%');
		ms_buf_append_char(out, hex[c >> 4]);
		ms_buf_append_char(out, hex[c & 15]);
	}
}

static bool has(const char *text)
{
	return text != NULL && text[0] != '\0';
}

enum ms_err ms_bus_server_url(const struct bus_server *server, struct arena *arena, struct errinfo *info,
			      const char **ret_url)
{
	struct buf out;
	bool is_v6 = strchr(server->host, ':') != NULL && server->host[0] != '[';
	ms_buf_init(&out, URL_MAX);
	ms_buf_append_cstr(&out, server->tls ? "amqps://" : "amqp://");
	if (has(server->user)) {
		escape(&out, server->user);
		ms_buf_append_char(&out, ':');
		escape(&out, has(server->password) ? server->password : "");
		ms_buf_append_char(&out, '@');
	}
	ms_buf_printf(&out, is_v6 ? "[%s]" : "%s", server->host);
	if (server->port > 0)
		ms_buf_printf(&out, ":%u", server->port);
	ms_buf_append_char(&out, '/');
	escape(&out, has(server->vhost) ? server->vhost : "/");
	const char *url = ms_buf_ok(&out) ? ms_arena_cstr(arena, ms_buf_slice(&out)) : NULL;
	ms_buf_fini(&out);
	if (url == NULL)
		return ms_fail(info, MS_ERR_LIMIT, "the address of RabbitMQ is too long");
	*ret_url = url;
	return MS_OK;
}

enum ms_err ms_bus_check(const char *url, const char *exchange, struct errinfo *info)
{
	return has(url) ? ms_rabbitmq_check(url, exchange, info) : MS_OK;
}
