// SPDX-License-Identifier: Apache-2.0
// Where requests may go, and what comes of answers that are not as they should be. The server is a thread that says what it was told.
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/test.h"
#include "wire/wire.h"

static struct wire_client *client_of(bool loopback)
{
	struct wire_client *client = NULL;
	const struct wire_options options = {
		.user_agent = "test", .ca_file = "", .proxy = "", .timeout_ms = 400, .allow_loopback = loopback};
	REQUIRE(ms_wire_new(&options, NULL, &client) == MS_OK);
	return client;
}

static bool may(const struct wire_client *client, const char *url)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	return ms_wire_check_url(client, ms_slice_cstr(url), &info) == MS_OK;
}

TEST(addresses_are_https_of_a_plain_host)
{
	static const char *const good[] = {"https://id.example", "https://id.example:8443/a?b=c",
					   "https://[2001:db8::1]/x", "https://192.0.2.1/"};
	static const char *const bad[] = {"http://id.example/",
					  "ftp://id.example/",
					  "https://",
					  "https:///path",
					  "https://u@id.example/",
					  "https://u:p@id.example/",
					  "https://id.example:0/",
					  "https://id.example:x/",
					  "https://id.example:65536/",
					  "https://id.example/#f",
					  "https://id.example/a b",
					  "https://id.example/\r\nX: y",
					  "https://id.example\\@evil",
					  "https://id.example/\xc3",
					  "file:///etc/passwd",
					  "//id.example/",
					  "",
					  "HTTPS//x"};
	struct wire_client *client = client_of(false);
	for (size_t i = 0; i < MS_ARRAY_LEN(good); i++)
		CHECK(may(client, good[i]));
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++)
		CHECK(!may(client, bad[i]));
	CHECK(!may(client, "http://127.0.0.1/") && !may(client, "http://localhost/"));
	ms_wire_free(client);
	client = client_of(true);
	CHECK(may(client, "http://127.0.0.1:1/") && may(client, "http://localhost/") && may(client, "http://[::1]/"));
	CHECK(!may(client, "http://127.0.0.1.evil.example/") && !may(client, "http://128.0.0.1/"));
	ms_wire_free(client);
}

// --- A server of one answer --------------------------------------------------------------------------

struct peer {
	int listener;
	unsigned port;
	const char *answer; // NULL: none
	char request[2048];
	pthread_t thread;
};

static void *serve(void *arg)
{
	struct peer *peer = arg;
	int fd = accept(peer->listener, NULL, NULL);
	size_t n = 0;
	while (fd >= 0 && n < sizeof(peer->request) - 1 && strstr(peer->request, "\r\n\r\n") == NULL) {
		ssize_t got = read(fd, peer->request + n, sizeof(peer->request) - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
		peer->request[n] = '\0';
	}
	if (fd >= 0 && peer->answer != NULL && write(fd, peer->answer, strlen(peer->answer)) < 0)
		perror("write");
	if (fd >= 0 && peer->answer == NULL)
		CHECK(read(fd, peer->request, 1) <= 0); // until the client gives up
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void peer_begin(struct peer *peer, const char *answer)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(address);
	*peer = (struct peer){.answer = answer, .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	REQUIRE(bind(peer->listener, (struct sockaddr *)&address, size) == 0 && listen(peer->listener, 1) == 0);
	REQUIRE(getsockname(peer->listener, (struct sockaddr *)&address, &size) == 0);
	peer->port = ntohs(address.sin_port);
	REQUIRE(pthread_create(&peer->thread, NULL, serve, peer) == 0);
}

static void peer_end(struct peer *peer)
{
	shutdown(peer->listener, SHUT_RDWR);
	pthread_join(peer->thread, NULL);
	close(peer->listener);
}

static enum ms_err fetch(bool loopback, const char *host, struct peer *peer, struct wire_request *request,
			 struct arena *arena, struct errinfo *info, struct wire_answer *ret_answer)
{
	char url[100];
	struct wire_client *client = client_of(loopback);
	snprintf(url, sizeof(url), "%s:%u/x", host, peer->port);
	request->url = ms_slice_cstr(url);
	ms_errinfo_init(info);
	enum ms_err err = ms_wire_fetch(client, request, arena, info, ret_answer);
	ms_wire_free(client);
	return err;
}

TEST(an_answer_is_whole)
{
	struct arena arena;
	struct errinfo info;
	struct peer peer;
	struct wire_answer answer = {0};
	struct wire_request request = {.form = MS_SLICE_LIT("a=1"),
				       .accept = MS_SLICE_LIT("application/json"),
				       .authorization = MS_SLICE_LIT("Basic secret"),
				       .max_bytes = 100};
	ms_arena_init(&arena, 4096, 1 << 20);
	peer_begin(
		&peer,
		"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Type: text/x\r\nContent-Length: 2\r\n"
		"Set-Cookie: a=b\r\n\r\nhi");
	CHECK_OK(fetch(true, "http://127.0.0.1", &peer, &request, &arena, &info, &answer));
	CHECK_INT(answer.status, 302); // not followed
	CHECK_SLICE(answer.body, "hi");
	CHECK_SLICE(answer.content_type, "text/x");
	peer_end(&peer);
	CHECK_HAS(peer.request, "POST /x HTTP/1.1\r\n");
	CHECK_HAS(peer.request, "Authorization: Basic secret\r\n");
	CHECK_HAS(peer.request, "Content-Type: application/x-www-form-urlencoded\r\n");
	CHECK(strstr(peer.request, "Expect") == NULL);
	ms_arena_fini(&arena);
}

TEST(bodies_have_a_limit_and_answers_a_time)
{
	struct arena arena;
	struct errinfo info;
	struct peer peer;
	struct wire_answer answer = {0};
	struct wire_request request = {.authorization = MS_SLICE_LIT("Basic secret"), .max_bytes = 4};
	ms_arena_init(&arena, 4096, 1 << 20);
	peer_begin(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	CHECK_INT(fetch(true, "http://127.0.0.1", &peer, &request, &arena, &info, &answer), MS_ERR_LIMIT);
	peer_end(&peer);
	peer_begin(&peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
	CHECK_INT(fetch(true, "http://127.0.0.1", &peer, &request, &arena, &info, &answer), MS_ERR_LIMIT);
	peer_end(&peer);
	peer_begin(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour");
	CHECK_OK(fetch(true, "http://127.0.0.1", &peer, &request, &arena, &info, &answer));
	peer_end(&peer);
	peer_begin(&peer, NULL);
	CHECK_INT(fetch(true, "http://127.0.0.1", &peer, &request, &arena, &info, &answer), MS_ERR_WIRE);
	CHECK_HAS(info.message, "did not answer within 400 ms");
	CHECK(strstr(info.message, "secret") == NULL);
	peer_end(&peer);
	ms_arena_fini(&arena);
}

TEST(this_machine_is_not_connected_to_unasked)
{
	static const char *const hosts[] = {
		"https://127.0.0.1", "https://localhost",  "https://[::1]",   "https://[::ffff:127.0.0.1]",
		"https://127.1",     "https://2130706433", "https://0.0.0.0", "https://169.254.169.254",
		"https://[fe80::1]"};
	struct arena arena;
	struct errinfo info;
	struct peer peer;
	struct wire_answer answer = {0};
	struct wire_request request = {.max_bytes = 100};
	ms_arena_init(&arena, 4096, 1 << 20);
	peer_begin(&peer, "no");
	for (size_t i = 0; i < MS_ARRAY_LEN(hosts); i++) {
		CHECK_INT(fetch(false, hosts[i], &peer, &request, &arena, &info, &answer), MS_ERR_WIRE);
		CHECK_HAS(info.message, "not connected to");
	}
	CHECK_STR(peer.request, ""); // nobody came
	peer_end(&peer);
	ms_arena_fini(&arena);
}
