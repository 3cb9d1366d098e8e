// SPDX-License-Identifier: Apache-2.0
// Listening, many connections, draining.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/server_test_kit.h"

// --- Addresses ---------------------------------------------------------------------------------------

static enum ms_err try_address(const char *address, struct errinfo *info)
{
	struct rt *rt;
	struct metrics *metrics;
	struct http_server *server = NULL;
	struct http_listen listen = {address, NULL};
	ms_errinfo_init(info);
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = 2}, info, &rt) == MS_OK);
	REQUIRE(ms_metrics_new(2, &metrics) == MS_OK);
	struct http_server_options options = {.rt = rt, .metrics = metrics, .listens = &listen, .listen_count = 1};
	enum ms_err err = ms_http_server_new(&options, info, &server);
	if (err == MS_OK)
		ms_http_server_free(server);
	ms_metrics_free(metrics);
	ms_rt_free(rt);
	return err;
}

TEST(listen_explains_bad_addresses)
{
	static const struct {
		const char *address;
		const char *part;
	} cases[] = {
		{"", "the port is missing"},
		{"127.0.0.1", "the port is missing"},
		{"127.0.0.1:", "number from 0 to 65535"},
		{"127.0.0.1:65536", "number from 0 to 65535"},
		{"127.0.0.1:-1", "number from 0 to 65535"},
		{"127.0.0.1:80x", "number from 0 to 65535"},
		{"localhost:80", "must be an IP address"},
		{"::1:80", "IPv6 in brackets"},
		{"[::1:80", "must be an IP address"},
		{"[]:80", "must be an IP address"},
		{"[127.0.0.1]:80", "must be an IP address"},
		{"1.2.3:80", "must be an IP address"},
		{"unix:", "path of the socket is missing"},
		{"https://127.0.0.1:0", "needs a certificate"},
		{"192.0.2.1:0", "does not have that address"},
		{"unix:/nonexistent/folder/x.sock", "folder does not exist"},
		{"unix:/"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaaaaaaaaaaaa",
		 "at most 107 bytes"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct errinfo info;
		CHECK_INT(try_address(cases[i].address, &info), MS_ERR_ADDRESS);
		CHECK_HAS(info.message, cases[i].part);
	}
}

TEST(listen_finds_an_address_in_use)
{
	struct kit kit;
	struct errinfo info;
	char address[200];
	kit_start(&kit, &(struct kit_options){.loops = 2});
	snprintf(address, sizeof(address), "127.0.0.1:%u", kit.port);
	CHECK_INT(try_address(address, &info), MS_ERR_ADDRESS);
	CHECK_HAS(info.message, "in use");
	CHECK_INT(kit_ask(&kit, GET("/"), NULL, 0), 200); // the first one is not disturbed
	kit_stop(&kit);
	CHECK_OK(try_address(address, &info)); // free again at once, in spite of the connection before
}

static int ask_at(int family, const struct sockaddr *to, socklen_t n)
{
	struct client c = {.fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	struct answer a;
	int status = 0;
	ms_buf_init(&c.in, 1 << 20);
	if (c.fd >= 0 && connect(c.fd, to, n) == 0)
		status = client_ask(&c, GET("/items/peer"), &a);
	client_close(&c);
	return status;
}

TEST(listen_serves_both_families)
{
	static const char *const addresses[] = {":0", "[::]:0", "[::1]:0", "0.0.0.0:0", "http://127.0.0.1:0"};
	static const bool v4[] = {true, false, false, true, true}, v6[] = {true, true, true, false, false};
	struct errinfo info;
	bool has_v6 = try_address("[::1]:0", &info) == MS_OK;
	for (size_t i = 0; i < MS_ARRAY_LEN(addresses); i++) {
		struct kit kit;
		if (!has_v6 && addresses[i][0] == '[')
			continue;
		kit_start(&kit, &(struct kit_options){.address = addresses[i], .loops = 3});
		CHECK(kit.port > 0);
		struct sockaddr_in to4 = {.sin_family = AF_INET,
					  .sin_port = htons((uint16_t)kit.port),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		struct sockaddr_in6 to6 = {
			.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)kit.port), .sin6_addr = in6addr_loopback};
		for (int k = 0; k < 20; k++) { // enough that every loop gets some
			CHECK_INT(ask_at(AF_INET, (struct sockaddr *)&to4, sizeof(to4)), v4[i] ? 201 : 0);
			if (has_v6)
				CHECK_INT(ask_at(AF_INET6, (struct sockaddr *)&to6, sizeof(to6)), v6[i] ? 201 : 0);
		}
		kit_stop(&kit);
	}
}

TEST(listen_names_a_mapped_peer_as_ipv4)
{
	struct kit kit;
	char body[200];
	kit_start(&kit, &(struct kit_options){.address = ":0"});
	CHECK_INT(kit_ask(&kit, GET("/items/x"), body, sizeof(body)), 201);
	CHECK_HAS(body, "|127.0.0.1|");
	kit_stop(&kit);
}

TEST(listen_on_a_unix_socket)
{
	struct kit kit;
	struct errinfo info;
	struct stat st;
	char path[100], address[110];
	snprintf(path, sizeof(path), "%s/s.sock", ms_test_temp_dir());
	snprintf(address, sizeof(address), "unix:%s", path);
	kit_start(&kit, &(struct kit_options){.address = address, .loops = 2});
	CHECK_INT(kit.port, 0);
	REQUIRE(stat(path, &st) == 0);
	CHECK_INT(st.st_mode & 0777, 0660);
	for (int i = 0; i < 50; i++) {
		struct client c;
		struct answer a;
		client_connect_unix(&c, path);
		CHECK_INT(client_ask(&c, GET("/items/u"), &a), 201);
		char body[200];
		snprintf(body, sizeof(body), "%.*s", MS_SLICE_ARG(a.body));
		CHECK_HAS(body, "|unix|");
		client_close(&c);
	}
	CHECK_INT(try_address(address, &info), MS_ERR_ADDRESS); // somebody listens
	CHECK_HAS(info.message, "in use");
	atomic_uint drained = 0;
	kit_drain(&kit, 0, &drained);
	CHECK(KIT_WAIT(drained == 1));
	CHECK(stat(path, &st) != 0); // and took its file along
	kit_stop(&kit);
}

TEST(listen_replaces_a_stale_unix_socket_only)
{
	struct kit kit;
	struct errinfo info;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char path[sizeof(un.sun_path)], address[sizeof(path) + 5];
	int n = snprintf(path, sizeof(path), "%s/s.sock", ms_test_temp_dir());
	REQUIRE(n > 0 && (size_t)n < sizeof(path));
	snprintf(address, sizeof(address), "unix:%s", path);
	memcpy(un.sun_path, path, sizeof(path));
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0);
	close(fd); // its file stays, as after a crash
	kit_start(&kit, &(struct kit_options){.address = address});
	struct client c;
	struct answer a;
	client_connect_unix(&c, path);
	CHECK_INT(client_ask(&c, GET("/"), &a), 200);
	client_close(&c);
	// Another's file under our name is not removed when we end.
	REQUIRE(unlink(path) == 0);
	FILE *f = fopen(path, "w");
	REQUIRE(f != NULL);
	fclose(f);
	kit_stop(&kit);
	CHECK(access(path, F_OK) == 0);
	CHECK_INT(try_address(address, &info), MS_ERR_ADDRESS); // a plain file is not ours to remove
	CHECK_HAS(info.message, "not a socket");
	CHECK(access(path, F_OK) == 0);
}

// --- Many --------------------------------------------------------------------------------------------

static size_t resident_bytes(void)
{
	struct process_stats stats;
	ms_process_stats(&stats);
	return stats.resident_bytes;
}

TEST(many_idle_connections_are_cheap)
{
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_NOFILE, &files);
	size_t count = MS_MIN((size_t)10000, (size_t)(files.rlim_cur - 200) / 2);
	struct kit kit;
	kit_start(&kit, &(struct kit_options){.loops = 2, .quiet = true});
	struct client *clients = calloc(count, sizeof(*clients));
	REQUIRE(clients != NULL);
	size_t before = resident_bytes();
	for (size_t i = 0; i < count; i++) {
		struct answer a;
		client_connect(&clients[i], kit.port);
		REQUIRE(client_ask(&clients[i], GET("/"), &a) == 200);
		ms_buf_fini(&clients[i].in);
		ms_buf_init(&clients[i].in, 1 << 20);
	}
	CHECK_F64(kit_metric(&kit, "active_connections"), (double)count);
	size_t each = (resident_bytes() - MS_MIN(before, resident_bytes())) / count;
	printf("# %zu idle connections, %zu bytes of memory each\n", count, each);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	CHECK(each < 4096);
#endif
	for (size_t i = 0; i < count; i += 97) { // they still work
		struct answer a;
		CHECK_INT(client_ask(&clients[i], GET("/"), &a), 200);
	}
	for (size_t i = 0; i < count; i++)
		client_close(&clients[i]);
	CHECK(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
	free(clients);
	kit_stop(&kit);
}

// --- Drain -------------------------------------------------------------------------------------------

TEST(drain_of_an_idle_server)
{
	struct kit kit;
	struct client c, d;
	struct answer a;
	atomic_uint drained = 0;
	kit_start(&kit, &(struct kit_options){.loops = 2});
	client_connect(&c, kit.port); // never used
	client_connect(&d, kit.port);
	CHECK_INT(client_ask(&d, GET("/"), &a), 200);
	client_consume(&d, a.bytes);
	CHECK(!ms_http_server_draining(kit.server));
	kit_drain(&kit, 0, &drained);
	CHECK(ms_http_server_draining(kit.server));
	CHECK(client_read_to_end(&c));
	CHECK(client_read_to_end(&d));
	CHECK_INT(c.in.n + d.in.n, 0);
	CHECK(KIT_WAIT(drained == 1));
	kit_drain(&kit, 0, &drained); // a second signal
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)kit.port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CHECK_INT(ask_at(AF_INET, (struct sockaddr *)&to, sizeof(to)), 0);
	CHECK_INT(drained, 1);
	client_close(&c);
	client_close(&d);
	kit_stop(&kit);
}

TEST(drain_before_the_server_was_started)
{
	struct kit kit;
	struct errinfo info;
	char address[100];
	atomic_uint drained = 0;
	kit_make(&kit, NULL);
	kit_run(&kit);
	kit_drain(&kit, 0, &drained);
	CHECK(KIT_WAIT(drained == 1));
	snprintf(address, sizeof(address), "127.0.0.1:%u", kit.port);
	CHECK_OK(try_address(address, &info)); // the address is free again
	kit_stop(&kit);
}

TEST(drain_answers_what_was_received)
{
	struct kit kit;
	struct client c, d, half, health;
	struct answer a;
	atomic_uint drained = 0;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	client_connect(&d, kit.port);
	client_connect(&half, kit.port);
	client_connect(&health, kit.port);
	client_send_text(&c, GET("/later"));
	REQUIRE(KIT_WAIT(kit.waiting == 1));
	client_send_text(&half, "POST /length HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\nabc");
	CHECK_INT(client_ask(&d, GET("/"), &a), 200); // half's bytes came before these on the same loop
	client_consume(&d, a.bytes);
	kit_drain(&kit, 3600000, &drained); // the grace period: everything is served, connections close
	CHECK_INT(client_ask(&health, GET("/health"), &a), 200);
	CHECK(answer_header(&a, "Connection").p == NULL);
	client_consume(&health, a.bytes);
	CHECK_INT(client_ask(&health, GET("/health"), &a), 200);
	CHECK_INT(client_ask(&d, GET("/"), &a), 200);
	CHECK_SLICE(answer_header(&a, "Connection"), "close");
	CHECK_INT(kit_ask(&kit, GET("/"), NULL, 0), 200); // new connections too
	CHECK_INT(client_ask(&half, "def", &a), 200);
	CHECK_SLICE(a.body, "6");
	kit_answer(&kit, 3);
	REQUIRE(client_answer(&c, &a));
	CHECK_SLICE(a.body, "abc");
	CHECK_SLICE(answer_header(&a, "Connection"), "close");
	CHECK_INT(drained, 0);
	client_close(&c);
	client_close(&d);
	client_close(&half);
	client_close(&health);
	kit_stop(&kit);
}

TEST(drain_waits_for_handlers_until_its_timeout)
{
	struct kit kit;
	struct client c, d;
	struct answer a;
	atomic_uint drained = 0;
	struct http_limits limits = MS_HTTP_DEFAULT_LIMITS;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	client_send_text(&c, GET("/later"));
	REQUIRE(KIT_WAIT(kit.waiting == 1));
	client_connect(&d, kit.port);
	client_send_text(&d, "GET / HT");
	kit_drain(&kit, 0, &drained);
	CHECK_INT(client_ask(&d, "TP/1.1\r\nHost: t\r\n\r\n", &a), 200); // it had begun before the drain did
	client_consume(&d, a.bytes);
	CHECK(client_read_to_end(&d));
	CHECK_INT(drained, 0);
	kit_answer(&kit, 7);
	REQUIRE(client_answer(&c, &a));
	CHECK_INT(a.body.n, 7);
	client_close(&c);
	client_close(&d);
	CHECK(KIT_WAIT(drained == 1));
	kit_stop(&kit);

	limits.drain_timeout_ms = 300;
	drained = 0;
	kit_start(&kit, &(struct kit_options){.limits = &limits});
	client_connect(&c, kit.port);
	client_send_text(&c, GET("/later"));
	REQUIRE(KIT_WAIT(kit.waiting == 1));
	kit_drain(&kit, 0, &drained);
	CHECK(KIT_WAIT(drained == 1)); // though the handler never answers
	CHECK(!client_read(&c));
	CHECK(kit_logged(&kit, "cut"));
	kit_answer(&kit, 7); // too late, and harmless
	client_close(&c);
	kit_stop(&kit);
}

static void cut_now(struct kit *kit, void *arg)
{
	(void)arg;
	ms_http_server_cut(kit->server);
}

TEST(drain_ends_at_once_when_told_to)
{
	// While the grace lasts, and after it, when the loops wait for a handler.
	for (unsigned grace_ms = 0; grace_ms <= 3600000; grace_ms += 3600000) {
		struct kit kit;
		struct client c, d;
		struct answer a;
		atomic_uint drained = 0;
		kit_start(&kit, &(struct kit_options){.loops = 2});
		client_connect(&c, kit.port);
		client_send_text(&c, GET("/later"));
		REQUIRE(KIT_WAIT(kit.waiting == 1));
		client_connect(&d, kit.port);
		CHECK_INT(client_ask(&d, GET("/"), &a), 200);
		kit_drain(&kit, grace_ms, &drained);
		CHECK_INT(drained, 0);
		int64_t start_ns = ms_clock_mono_ns();
		kit_on_loop(&kit, cut_now, NULL);
		kit_on_loop(&kit, cut_now, NULL); // again is fine
		CHECK(KIT_WAIT(drained == 1));    // far from the drain timeout of 30 s
		CHECK((ms_clock_mono_ns() - start_ns) / 1000000 < 10000);
		CHECK(!client_read(&c));
		CHECK(kit_logged(&kit, "the stop was asked for again"));
		struct sockaddr_in to = {.sin_family = AF_INET,
					 .sin_port = htons((uint16_t)kit.port),
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		CHECK_INT(ask_at(AF_INET, (struct sockaddr *)&to, sizeof(to)), 0);
		kit_answer(&kit, 7); // too late, and harmless
		client_close(&c);
		client_close(&d);
		kit_on_loop(&kit, cut_now, NULL); // also when all is over
		CHECK_INT(drained, 1);
		kit_stop(&kit);
	}
}

TEST(drain_cut_before_the_server_was_started)
{
	struct kit kit;
	atomic_uint drained = 0;
	kit_make(&kit, NULL);
	kit_run(&kit);
	kit_drain(&kit, 3600000, &drained);
	kit_on_loop(&kit, cut_now, NULL);
	CHECK(KIT_WAIT(drained == 1));
	kit_stop(&kit);
}

// Clients that ask without pause while the server drains. Every request that could be sent whole on a
// connection that the server had not announced to close is answered; connecting may be refused at the end.
struct load {
	unsigned port;
	bool keep_alive;
	atomic_bool stop;
	atomic_uint answered;
	unsigned lost;
};

static bool connect_quietly(struct client *c, unsigned port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	*c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	ms_buf_init(&c->in, 1 << 20);
	struct timeval patience = {.tv_sec = 5};
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return true;
	client_close(c);
	return false;
}

static void *make_load(void *arg)
{
	struct load *load = arg;
	struct client c;
	while (!load->stop && connect_quietly(&c, load->port)) {
		bool open = true;
		while (open && !load->stop) {
			struct answer a;
			if (client_ask(&c,
				       load->keep_alive ? GET("/")
							: "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
				       &a) != 200) {
				load->lost++;
				break;
			}
			load->answered++;
			open = answer_header(&a, "Connection").p == NULL;
			client_consume(&c, a.bytes);
		}
		client_close(&c);
	}
	return NULL;
}

TEST(drain_under_load_loses_no_request)
{
	enum { CLIENTS = 8 };
	for (unsigned grace_ms = 0; grace_ms <= 100; grace_ms += 50) {
		struct kit kit;
		struct load loads[CLIENTS];
		pthread_t threads[CLIENTS];
		atomic_uint drained = 0;
		kit_start(&kit, &(struct kit_options){.loops = 2, .quiet = true});
		for (unsigned i = 0; i < CLIENTS; i++) {
			memset(&loads[i], 0, sizeof(loads[i]));
			loads[i].port = kit.port;
			loads[i].keep_alive = i % 2 == 0;
			REQUIRE(pthread_create(&threads[i], NULL, make_load, &loads[i]) == 0);
		}
		for (unsigned i = 0; i < CLIENTS; i++)
			CHECK(KIT_WAIT(loads[i].answered > 20));
		kit_drain(&kit, grace_ms, &drained);
		CHECK(KIT_WAIT(drained == 1));
		unsigned answered = 0;
		for (unsigned i = 0; i < CLIENTS; i++) {
			loads[i].stop = true;
			pthread_join(threads[i], NULL); // ended by itself when it could not connect any more
			CHECK_INT(loads[i].lost, 0);
			answered += loads[i].answered;
		}
		CHECK_INT(kit.handled, answered);
		kit_stop(&kit);
	}
}
