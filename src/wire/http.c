// SPDX-License-Identifier: Apache-2.0
// The home of libcurl.
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/wire.h"

#define HOST_MAX 255
#define HEADER_MAX 4096

struct wire_client {
	struct wire_options options;
};

enum ms_err ms_wire_new(const struct wire_options *options, struct errinfo *info, struct wire_client **ret_client)
{
	// Counted: later ones cost nothing.
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return ms_fail(info, MS_ERR_INTERNAL, "libcurl cannot be used here");
	struct wire_client *client = calloc(1, sizeof(*client));
	if (client == NULL) {
		curl_global_cleanup();
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	}
	client->options = *options;
	*ret_client = client;
	return MS_OK;
}

void ms_wire_free(struct wire_client *client)
{
	if (client == NULL)
		return;
	free(client);
	curl_global_cleanup();
}

// --- Where requests may go ---------------------------------------------------------------------------

struct url {
	char text[MS_WIRE_URL_MAX + 1];
	char host[HOST_MAX + 1]; // without brackets
	bool tls;
};

static enum ms_err bad_url(struct errinfo *info, const char *why)
{
	return ms_fail(info, MS_ERR_INVALID, "the address %s", why);
}

static bool is_loopback_host(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

// Host and port; nothing in front of an '@', which people take for the host.
static enum ms_err take_host(struct slice authority, struct errinfo *info, struct url *url)
{
	struct slice host = authority, port = MS_SLICE_EMPTY;
	if (authority.n > 0 && authority.p[0] == '[') {
		size_t close = ms_slice_find(authority, ']');
		host = ms_slice_sub(authority, 1, close > 0 ? close - 1 : 0);
		port = ms_slice_sub(authority, close + 1, SIZE_MAX);
	} else {
		size_t colon = ms_slice_find(authority, ':');
		host = ms_slice_sub(authority, 0, colon);
		port = ms_slice_sub(authority, colon, SIZE_MAX);
	}
	uint64_t number = 1;
	if (ms_slice_find(authority, '@') < authority.n)
		return bad_url(info, "names a user");
	if (host.n == 0 || host.n > HOST_MAX)
		return bad_url(info, "names no host");
	if (port.n > 0 && (port.p[0] != ':' || !ms_slice_to_u64(ms_slice_sub(port, 1, SIZE_MAX), &number) ||
			   number == 0 || number > 65535))
		return bad_url(info, "has a bad port");
	return ms_slice_to_cstr(host, url->host, sizeof(url->host)) ? MS_OK : bad_url(info, "names no host");
}

static enum ms_err read_url(const struct wire_client *client, struct slice text, struct errinfo *info, struct url *url)
{
	bool http = ms_slice_starts_with(text, MS_SLICE_LIT("http://"));
	url->tls = ms_slice_starts_with(text, MS_SLICE_LIT("https://"));
	if (text.n > MS_WIRE_URL_MAX)
		return bad_url(info, "is longer than 2,000 bytes");
	if (!http && !url->tls)
		return bad_url(info, "must begin with https://");
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] <= 0x20 || text.p[i] >= 0x7f || strchr("\\\"<>^`{|}#", text.p[i]) != NULL)
			return bad_url(info, "holds a character that does not belong there");
	}
	struct slice rest = ms_slice_sub(text, url->tls ? 8 : 7, SIZE_MAX);
	size_t end = 0;
	while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
		end++;
	MS_TRY(take_host(ms_slice_sub(rest, 0, end), info, url));
	if (http && !client->options.allow_plain && !(client->options.allow_loopback && is_loopback_host(url->host)))
		return bad_url(info, "must begin with https://");
	return ms_slice_to_cstr(text, url->text, sizeof(url->text)) ? MS_OK : bad_url(info, "cannot be read");
}

enum ms_err ms_wire_check_url(const struct wire_client *client, struct slice text, struct errinfo *info)
{
	struct url url;
	return read_url(client, text, info, &url);
}

static bool may_connect_v4(const struct wire_client *client, uint32_t address)
{
	if (address >> 24 == 127)
		return client->options.allow_loopback;
	return address >> 24 != 0 && address >> 16 != 0xa9fe /* 169.254 */ &&
	       address >> 28 < 0xe /* multicast, reserved */;
}

static bool may_connect(const struct wire_client *client, const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		struct sockaddr_in v4;
		memcpy(&v4, address, sizeof(v4));
		return may_connect_v4(client, ntohl(v4.sin_addr.s_addr));
	}
	if (address->sa_family != AF_INET6)
		return false;
	struct sockaddr_in6 v6;
	memcpy(&v6, address, sizeof(v6));
	const uint8_t *b = v6.sin6_addr.s6_addr;
	uint32_t last = (uint32_t)b[12] << 24 | (uint32_t)b[13] << 16 | (uint32_t)b[14] << 8 | b[15];
	if (IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr))
		return client->options.allow_loopback;
	if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) || IN6_IS_ADDR_V4COMPAT(&v6.sin6_addr))
		return may_connect_v4(client, last);
	if (b[0] == 0 && b[1] == 0x64 && b[2] == 0xff &&
	    b[3] == 0x9b) // 64:ff9b::/96, an IPv4 address behind a translator
		return may_connect_v4(client, last);
	return !IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr) && !IN6_IS_ADDR_MULTICAST(&v6.sin6_addr);
}

// --- One request -------------------------------------------------------------------------------------

struct transfer {
	const struct wire_client *client;
	const struct wire_request *request;
	struct url url;
	char error[CURL_ERROR_SIZE];
	struct buf body;
	bool refused; // an address that is not connected to
};

// What a name resolved to is looked at here, in the moment of connecting: a second look-up could say something else.
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct transfer *t = arg;
	bool by_proxy = t->client->options.proxy[0] != '\0';
	if (purpose != CURLSOCKTYPE_IPCXN || (!by_proxy && !may_connect(t->client, &address->addr))) {
		t->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t take_body(char *p, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	ms_buf_append(&t->body, p, size * count);
	return ms_buf_ok(&t->body) ? size * count : 0;
}

static bool append_header(struct curl_slist **headers, const char *name, struct slice value)
{
	char line[HEADER_MAX];
	if (value.n == 0)
		return true;
	int n = snprintf(line, sizeof(line), "%s: %.*s", name, MS_SLICE_ARG(value));
	struct curl_slist *longer = n > 0 && (size_t)n < sizeof(line) ? curl_slist_append(*headers, line) : NULL;
	if (longer != NULL)
		*headers = longer;
	for (volatile char *p = line; p < line + sizeof(line); p++)
		*p = '\0'; // it may have been a secret
	return longer != NULL;
}

static bool set_up(CURL *curl, struct transfer *t, struct curl_slist *headers)
{
	const struct wire_options *o = &t->client->options;
	bool ok = true;
#define SET(option, value) ok = ok && curl_easy_setopt(curl, option, value) == CURLE_OK
	SET(CURLOPT_URL, t->url.text);
	SET(CURLOPT_PROTOCOLS_STR, t->url.tls ? "https" : "http");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_PROXY, o->proxy);
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (o->ca_file[0] != '\0') {
		SET(CURLOPT_CAINFO, o->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	SET(CURLOPT_TIMEOUT_MS, (long)o->timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)MS_MAX(o->timeout_ms / 3, (uint64_t)1));
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->request->max_bytes);
	SET(CURLOPT_USERAGENT, o->user_agent);
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_ERRORBUFFER, t->error);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, t);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, t);
	if (t->request->form.p != NULL) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->request->form.n);
		SET(CURLOPT_POSTFIELDS, t->request->form.p);
	}
#undef SET
	return ok;
}

static enum ms_err explain(const struct transfer *t, CURLcode code, struct errinfo *info)
{
	const char *host = t->url.host;
	if (t->body.failed || code == CURLE_FILESIZE_EXCEEDED)
		return ms_fail(info, MS_ERR_LIMIT, "the answer of %s is larger than %zu bytes", host,
			       t->request->max_bytes);
	if (t->refused)
		return ms_fail(info, MS_ERR_WIRE,
			       "%s has an address that is not connected to (of this machine, or link-local)", host);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return ms_fail(info, MS_ERR_WIRE, "%s did not answer within %llu ms", host,
			       (unsigned long long)t->client->options.timeout_ms);
	return ms_fail(info, MS_ERR_WIRE, "%s: %.300s", host,
		       t->error[0] != '\0' ? t->error : curl_easy_strerror(code));
}

static enum ms_err take_answer(CURL *curl, const struct transfer *t, struct arena *arena, struct errinfo *info,
			       struct wire_answer *ret_answer)
{
	long status = 0;
	char *type = NULL;
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
	struct slice body = ms_buf_slice(&t->body);
	ret_answer->status = (int)status;
	ret_answer->content_type = ms_arena_copy(arena, type != NULL ? ms_slice_cstr(type) : MS_SLICE_LIT(""));
	ret_answer->body = ms_arena_copy(arena, body.n > 0 ? body : MS_SLICE_LIT(""));
	return ret_answer->content_type.p != NULL && ret_answer->body.p != NULL
		       ? MS_OK
		       : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for an answer");
}

static enum ms_err run(CURL *curl, struct transfer *t, struct arena *arena, struct errinfo *info,
		       struct wire_answer *ret_answer)
{
	struct curl_slist *headers = NULL;
	enum ms_err err;
	// "Expect:" off: a form is small.
	bool ready = append_header(&headers, "Accept", t->request->accept) &&
		     append_header(&headers, "Host", t->request->host) &&
		     append_header(&headers, "Authorization", t->request->authorization);
	if (ready && t->request->form.p != NULL) {
		struct curl_slist *longer = curl_slist_append(headers, "Expect:");
		ready = longer != NULL;
		headers = ready ? longer : headers;
	}
	if (!ready || !set_up(curl, t, headers)) {
		err = ms_fail(info, MS_ERR_NO_MEMORY, "a request could not be made ready");
	} else {
		CURLcode code = curl_easy_perform(curl);
		err = code == CURLE_OK ? take_answer(curl, t, arena, info, ret_answer) : explain(t, code, info);
	}
	curl_slist_free_all(headers);
	return err;
}

enum ms_err ms_wire_fetch(const struct wire_client *client, const struct wire_request *request, struct arena *arena,
			  struct errinfo *info, struct wire_answer *ret_answer)
{
	struct transfer t = {.client = client, .request = request};
	MS_TRY(read_url(client, request->url, info, &t.url));
	CURL *curl = curl_easy_init();
	if (curl == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	ms_buf_init(&t.body, request->max_bytes);
	enum ms_err err = run(curl, &t, arena, info, ret_answer);
	curl_easy_cleanup(curl);
	ms_buf_fini(&t.body);
	return err;
}
