// SPDX-License-Identifier: Apache-2.0
// The driver on Redis while the server is killed, frozen, full, read only, loading, forgetful or lying.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cache/cache_test_kit.h"

#define MS 1000000

static const struct cache_quota YEARLY = {.kind = QUOTA_YEAR, .limit = 1000000};

static int64_t now_ms(void)
{
	return ms_clock_mono_ns() / MS;
}

// The cache answers within `ms`; returns whether it does.
static bool recovers(struct fixture *f, unsigned ms)
{
	for (int64_t until = now_ms() + ms; now_ms() < until;) {
		if (ms_cache_test_get(f, "probe").err == MS_OK)
			return true;
		ms_cache_test_turn(f, 20);
	}
	return false;
}

static struct cache_op take_one(struct fixture *f, const char *key)
{
	return ms_cache_test_take(f, key, &YEARLY, 1, 1);
}

// --- The log -----------------------------------------------------------------------------------------

static struct log *open_log(int *ret_fd)
{
	struct log *log;
	char path[300];
	snprintf(path, sizeof(path), "%s/log", ms_test_temp_dir());
	*ret_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	REQUIRE(*ret_fd >= 0);
	const struct log_options options = {
		.level = LOG_INFO, .format = LOG_FORMAT_JSON, .fd = *ret_fd, .service = "test", .version = "0"};
	REQUIRE(ms_log_new(&options, NULL, &log) == MS_OK);
	return log;
}

static unsigned lines_with(struct log *log, int fd, const char *text)
{
	static char bytes[65536];
	unsigned count = 0;
	ms_log_flush(log);
	ssize_t n = pread(fd, bytes, sizeof(bytes) - 1, 0);
	bytes[n > 0 ? n : 0] = '\0';
	for (const char *p = bytes; (p = strstr(p, text)) != NULL; p += strlen(text))
		count++;
	return count;
}

// --- Gone and back -----------------------------------------------------------------------------------

TEST(redis_killed_fails_at_once_and_recovers)
{
	struct fixture f;
	int fd;
	struct log *log = open_log(&fd);
	ms_cache_test_begin(&f, true, 1, &(struct cache_options){.timeout_ms = 500, .log = log});
	CHECK_OK(take_one(&f, "a").err);
	CHECK(ms_cache_healthy(f.cache));
	for (unsigned round = 0; round < 2; round++) {
		ms_redis_test_kill(f.server, SIGKILL);
		ms_cache_test_turn(&f, 50);
		for (unsigned i = 0; i < 200; i++) {
			int64_t begun = now_ms();
			CHECK_INT(take_one(&f, "a").err, MS_ERR_CACHE);
			CHECK(now_ms() - begun < 1500);
		}
		CHECK(!ms_cache_healthy(f.cache));
		ms_redis_test_start(f.server);
		CHECK(recovers(&f, 8000));
		CHECK(ms_cache_healthy(f.cache));
		CHECK_OK(take_one(&f, "a").err); // the script is given to it again
	}
	CHECK_INT(lines_with(log, fd, "cannot be reached"), 2);
	CHECK_INT(lines_with(log, fd, "connected to Redis"), 3);
	ms_cache_test_end(&f);
	ms_log_free(log);
	close(fd);
}

TEST(redis_frozen_times_out_and_recovers)
{
	struct fixture f;
	ms_cache_test_begin(&f, true, 1, &(struct cache_options){.timeout_ms = 200});
	CHECK_OK(take_one(&f, "a").err);
	ms_redis_test_kill(f.server, SIGSTOP);
	int64_t begun = now_ms();
	CHECK_INT(take_one(&f, "a").err, MS_ERR_CACHE);
	int64_t took = now_ms() - begun;
	CHECK(took >= 190 && took < 1500);
	// From now on it is known.
	begun = now_ms();
	for (unsigned i = 0; i < 50; i++)
		CHECK_INT(take_one(&f, "a").err, MS_ERR_CACHE);
	CHECK(now_ms() - begun < 1000); // not 50 times 200 ms
	CHECK(!ms_cache_healthy(f.cache));
	ms_cache_test_turn(&f, 700); // attempts hang and end
	CHECK_INT(take_one(&f, "a").err, MS_ERR_CACHE);
	ms_redis_test_kill(f.server, SIGCONT);
	CHECK(recovers(&f, 8000));
	CHECK(ms_cache_healthy(f.cache));
	ms_cache_test_end(&f);
}

// It was this loop that was late, not the server.
TEST(redis_answers_that_waited_for_us_count)
{
	struct fixture f;
	struct cache_op op = {.verb = CACHE_GET, .key = MS_SLICE_LIT("a")};
	ms_cache_test_begin(&f, true, 1, &(struct cache_options){.timeout_ms = 100});
	ms_cache_test_set(&f, "a", "x", 60000);
	ms_redis_test_kill(f.server, SIGSTOP);
	ms_cache_test_start(&f, &op);
	ms_cache_test_turn(&f, 1); // sent
	ms_redis_test_kill(f.server, SIGCONT);
	usleep(250000);
	ms_cache_test_wait(&f, &op);
	CHECK_OK(op.err);
	CHECK_SLICE(op.value, "x");
	usleep(250000); // a turn that takes so long
	CHECK_SLICE(ms_cache_test_get(&f, "a").value, "x");
	ms_cache_test_end(&f);
}

TEST(redis_stops_while_a_name_is_looked_up)
{
	struct fixture f = {0};
	struct cache_op op = {.verb = CACHE_GET, .key = MS_SLICE_LIT("a")};
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = 1}, NULL, &f.rt) == MS_OK);
	f.loop = ms_rt_loop(f.rt, 0);
	const struct cache_options options = {.url = "redis://no-such-name.invalid", .rt = f.rt};
	CHECK_OK(ms_cache_new(&options, NULL, &f.cache));
	ms_cache_test_start(&f, &op);
	ms_cache_test_end(&f);
	CHECK_INT(op.err, MS_ERR_CANCELLED);
}

#define LOAD 64
struct load {
	struct fixture *f;
	struct cache_op ops[LOAD];
	unsigned admitted, failed, under_way;
	bool over;
};

static void load_on(struct load *load, struct cache_op *op);

static void loaded(struct cache_op *op)
{
	struct load *load = op->arg;
	load->under_way--;
	load->admitted += op->err == MS_OK && op->admitted;
	load->failed += op->err != MS_OK;
	if (!load->over && op->err == MS_OK)
		load_on(load, op);
}

static void load_on(struct load *load, struct cache_op *op)
{
	*op = (struct cache_op){.verb = CACHE_TAKE,
				.key = MS_SLICE_LIT("load"),
				.quotas = &YEARLY,
				.quota_count = 1,
				.cost = 1,
				.done = loaded,
				.arg = load};
	load->under_way++;
	if (ms_cache_run(load->f->cache, load->f->loop, op)) {
		load->under_way--;
		load->failed++;
	}
}

// Whatever happens, every operation ends exactly once, and no more pass than were counted.
TEST(redis_killed_under_load_loses_no_operation)
{
	static const int signals[] = {SIGTERM, SIGKILL, SIGSTOP};
	struct fixture f;
	struct load load = {.f = &f};
	ms_cache_test_begin(&f, true, 1, &(struct cache_options){.timeout_ms = 200});
	for (unsigned round = 0; round < 6; round++) {
		int signum = signals[round % MS_ARRAY_LEN(signals)];
		CHECK(recovers(&f, 8000));
		load.over = false;
		for (unsigned i = 0; i < LOAD; i++)
			load_on(&load, &load.ops[i]);
		ms_cache_test_turn(&f, 100);
		CHECK(load.under_way == LOAD);
		ms_redis_test_kill(f.server, signum);
		ms_cache_test_turn(&f, 800);
		CHECK_INT(load.under_way, 0);
		load.over = true;
		if (signum == SIGSTOP)
			ms_redis_test_kill(f.server, SIGCONT);
		else
			ms_redis_test_start(f.server);
	}
	CHECK(load.admitted > 1000);
	CHECK_INT(load.failed, 6 * LOAD);
	CHECK(recovers(&f, 8000));
	ms_cache_test_end(&f);
}

TEST(redis_that_was_never_there_is_found_later)
{
	struct fixture f;
	struct redis_server *server = ms_cache_test_server();
	ms_redis_test_kill(server, SIGTERM);
	char url[160];
	snprintf(url, sizeof(url), "redis://127.0.0.1:%u/2", server->port);
	f = (struct fixture){.server = server};
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = 1}, NULL, &f.rt) == MS_OK);
	f.loop = ms_rt_loop(f.rt, 0);
	CHECK_OK(ms_cache_new(&(struct cache_options){.url = url, .rt = f.rt, .timeout_ms = 300}, NULL, &f.cache));
	int64_t begun = now_ms();
	CHECK_INT(take_one(&f, "a").err, MS_ERR_CACHE);
	CHECK(now_ms() - begun < 1500);
	CHECK(!ms_cache_healthy(f.cache));
	ms_redis_test_start(server);
	CHECK(recovers(&f, 8000));
	ms_cache_test_set(&f, "in-two", "x", 60000);
	CHECK_HAS(ms_redis_test_say(server, "SELECT 2\r\nGET mainstay:in-two"), "$1\r\nx");
	ms_cache_test_end(&f);
}

// --- Refusing ----------------------------------------------------------------------------------------

TEST(redis_without_memory_is_an_error_told_once)
{
	struct fixture f;
	int fd;
	struct log *log = open_log(&fd);
	ms_cache_test_begin(&f, true, 1, &(struct cache_options){.log = log});
	CHECK_OK(take_one(&f, "a").err);
	CHECK_HAS(ms_redis_test_say(f.server, "CONFIG SET maxmemory 1"), "+OK");
	for (unsigned i = 0; i < 20; i++)
		CHECK_INT(take_one(&f, "b").err, MS_ERR_CACHE);
	CHECK(!ms_cache_healthy(f.cache));
	CHECK_OK(ms_cache_test_get(&f, "c").err); // reading goes on
	CHECK_HAS(ms_redis_test_say(f.server, "CONFIG SET maxmemory 0"), "+OK");
	CHECK_OK(take_one(&f, "b").err);
	CHECK_INT(lines_with(log, fd, "no memory left"), 1);
	ms_cache_test_end(&f);
	ms_log_free(log);
	close(fd);
}

TEST(redis_that_only_reads_is_an_error_told_once)
{
	struct fixture f;
	int fd;
	struct log *log = open_log(&fd);
	ms_cache_test_begin(&f, true, 1, &(struct cache_options){.log = log});
	CHECK_OK(take_one(&f, "a").err);
	CHECK_HAS(ms_redis_test_say(f.server, "REPLICAOF 127.0.0.1 1"), "+OK");
	for (unsigned i = 0; i < 20; i++) {
		CHECK_INT(take_one(&f, "b").err, MS_ERR_CACHE);
		ms_cache_test_turn(&f, 10);
	}
	CHECK(!ms_cache_healthy(f.cache));
	CHECK_HAS(ms_redis_test_say(f.server, "REPLICAOF NO ONE"), "+OK");
	CHECK(recovers(&f, 8000));
	CHECK_OK(take_one(&f, "b").err);
	CHECK_INT(lines_with(log, fd, "is a replica"), 1);
	CHECK_INT(lines_with(log, fd, "it only reads"), 1); // the address may lead to another server now
	ms_cache_test_end(&f);
	ms_log_free(log);
	close(fd);
}

TEST(redis_that_forgot_the_script_learns_it_again)
{
	struct fixture f;
	ms_cache_test_begin(&f, true, 1, NULL);
	CHECK_INT(take_one(&f, "a").results[0].remaining, 999999);
	CHECK_HAS(ms_redis_test_say(f.server, "SCRIPT FLUSH"), "+OK");
	CHECK_INT(take_one(&f, "a").results[0].remaining, 999998);
	CHECK_INT(take_one(&f, "a").results[0].remaining, 999997);
	ms_cache_test_end(&f);
}

TEST(redis_keeps_nothing_for_ever)
{
	const struct cache_quota quotas[] = {{.kind = QUOTA_WINDOW, .limit = 10, .period_ms = 100},
					     {.kind = QUOTA_GCRA, .limit = 1, .period_ms = 100, .burst = 3}};
	struct fixture f;
	ms_cache_test_begin(&f, true, 1, NULL);
	CHECK(ms_cache_test_take(&f, "k", quotas, 2, 3).admitted);
	CHECK(!ms_cache_test_take(&f, "k", quotas, 2, 1).admitted);
	CHECK_HAS(ms_redis_test_say(f.server, "EXISTS mainstay:k"), ":1");
	ms_cache_test_turn(&f, 330);
	CHECK_HAS(ms_redis_test_say(f.server, "EXISTS mainstay:k"), ":0");
	ms_cache_test_end(&f);
}

TEST(redis_with_too_much_under_way_says_so)
{
	struct fixture f;
	struct cache_op ops[20];
	ms_cache_test_begin(&f, true, 1, &(struct cache_options){.max_waiting = 10});
	for (unsigned i = 0; i < 20; i++) {
		ops[i] = (struct cache_op){.verb = CACHE_GET, .key = MS_SLICE_LIT("a")};
		ms_cache_test_start(&f, &ops[i]);
	}
	for (unsigned i = 0; i < 20; i++) {
		ms_cache_test_wait(&f, &ops[i]);
		CHECK_INT(ops[i].err, i < 10 ? MS_OK : MS_ERR_BUSY);
	}
	ms_cache_test_end(&f);
}

// --- Who we are --------------------------------------------------------------------------------------

static enum ms_err get_by(const char *url, struct log *log)
{
	struct fixture f = {0};
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = 1}, NULL, &f.rt) == MS_OK);
	f.loop = ms_rt_loop(f.rt, 0);
	const struct cache_options options = {.url = url, .rt = f.rt, .log = log};
	CHECK_OK(ms_cache_new(&options, NULL, &f.cache));
	struct cache_op ops[] = {
		{.verb = CACHE_GET, .key = MS_SLICE_LIT("a")},
		{.verb = CACHE_SET, .key = MS_SLICE_LIT("a"), .ttl_ms = 1000},
		{.verb = CACHE_ADD, .key = MS_SLICE_LIT("a"), .ttl_ms = 1000},
		{.verb = CACHE_REMOVE, .key = MS_SLICE_LIT("a")},
		{.verb = CACHE_TAKE, .key = MS_SLICE_LIT("b"), .quotas = &YEARLY, .quota_count = 1, .cost = 1},
		{.verb = CACHE_CLEAR}};
	enum ms_err err = MS_OK;
	for (size_t i = 0; i < MS_ARRAY_LEN(ops) && err == MS_OK; i++) {
		ms_cache_test_do(&f, &ops[i]);
		err = ops[i].err;
	}
	CHECK(err != MS_OK || (ops[2].found && ops[3].found && ops[4].results[0].remaining == 999999));
	ms_cache_test_end(&f);
	return err;
}

TEST(redis_wants_to_know_who_we_are)
{
	// The second user has the rights that docs/cache.md names, and no others.
	struct redis_server server = {
		.args = {"--requirepass", "p@ss:w/rd%", "--user",  "gate",     "on",    ">s%cret",  "~mainstay:*",
			 "+get",          "+set",       "+unlink", "+scan",    "+eval", "+evalsha", "+script|load",
			 "+hmget",        "+hset",      "+pttl",   "+pexpire", "+time", "+ping",    "+select"},
		.arg_count = 21};
	static const struct {
		const char *user;
		enum ms_err err;
	} cases[] = {
		{":p%40ss%3Aw%2Frd%25@", MS_OK}, {"default:p@ss:w%2Frd%25@", MS_OK},         {"gate:s%25cret@", MS_OK},
		{":wrong@", MS_ERR_CACHE},       {"gate:p%40ss%3Aw%2Frd%25@", MS_ERR_CACHE}, {"", MS_ERR_CACHE}};
	char url[300];
	int fd;
	struct log *log = open_log(&fd);
	ms_redis_test_start(&server);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		snprintf(url, sizeof(url), "redis://%slocalhost:%u/0", cases[i].user, server.port);
		CHECK_INT(get_by(url, log), cases[i].err);
		snprintf(url, sizeof(url), "unix://%s%s/socket", cases[i].user, server.dir);
		CHECK_INT(get_by(url, log), cases[i].err);
	}
	CHECK_INT(lines_with(log, fd, "WRONGPASS"), 4);
	CHECK_INT(lines_with(log, fd, "NOAUTH"), 2);
	CHECK_INT(lines_with(log, fd, "cret") + lines_with(log, fd, "p@ss") + lines_with(log, fd, "p%40ss"), 0);
	CHECK_INT(get_by("redis://no-such-name.invalid:1", log), MS_ERR_CACHE);
	// Where no resolver answers, the deadline comes first.
	CHECK_INT(lines_with(log, fd, "its name is not found") + lines_with(log, fd, "no connection within"), 1);
	ms_log_free(log);
	close(fd);
	ms_redis_test_end(&server);
}

// --- A server that lies ------------------------------------------------------------------------------

struct liar {
	int listener;
	const char *greeting; // NULL: the usual one
	const char *reply;
	size_t repeat;
	unsigned timeout_ms; // of the cache that asks; 0: 250
	bool closes;
	pthread_t thread;
	char url[300];
};

static bool write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

static void *lie(void *arg)
{
	static const char greeting[] = "+PONG\r\n$40\r\n0123456789012345678901234567890123456789\r\n";
	struct liar *liar = arg;
	char bytes[16384];
	const char *hello = liar->greeting != NULL ? liar->greeting : greeting;
	int fd = accept(liar->listener, NULL, NULL);
	if (fd >= 0 && read(fd, bytes, sizeof(bytes)) > 0 && write_all(fd, hello, strlen(hello)) &&
	    read(fd, bytes, sizeof(bytes)) > 0) {
		for (size_t i = 0; i < liar->repeat; i++) {
			if (!write_all(fd, liar->reply, strlen(liar->reply)))
				break;
		}
		while (!liar->closes && read(fd, bytes, sizeof(bytes)) > 0)
			;
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static struct cache_op ask_as(struct liar liar, enum cache_verb verb, struct log *log)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct fixture f = {0};
	snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/liar", ms_test_temp_dir());
	snprintf(liar.url, sizeof(liar.url), "unix://%s", address.sun_path);
	unlink(address.sun_path);
	liar.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(bind(liar.listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
		listen(liar.listener, 4) == 0);
	REQUIRE(pthread_create(&liar.thread, NULL, lie, &liar) == 0);
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = 1}, NULL, &f.rt) == MS_OK);
	f.loop = ms_rt_loop(f.rt, 0);
	CHECK_OK(ms_cache_new(&(struct cache_options){.url = liar.url,
						      .rt = f.rt,
						      .log = log,
						      .timeout_ms = liar.timeout_ms > 0 ? liar.timeout_ms : 250},
			      NULL, &f.cache));
	struct cache_op op = {.verb = verb,
			      .key = MS_SLICE_LIT("a"),
			      .value = MS_SLICE_LIT("v"),
			      .ttl_ms = 1000,
			      .quotas = &YEARLY,
			      .quota_count = 1,
			      .cost = 1};
	ms_cache_test_do(&f, &op);
	ms_cache_test_turn(&f, 5);
	ms_cache_test_end(&f);
	shutdown(liar.listener, SHUT_RDWR);
	pthread_join(liar.thread, NULL);
	close(liar.listener);
	return op;
}

static struct cache_op ask_liar(const char *reply, size_t repeat, bool closes, enum cache_verb verb)
{
	return ask_as((struct liar){.reply = reply, .repeat = repeat, .closes = closes}, verb, NULL);
}

TEST(redis_refusals_are_told_by_their_kind)
{
	static const struct {
		const char *greeting, *reply, *says;
	} cases[] = {
		{"-LOADING Redis is loading the dataset in memory\r\n", "", "it refuses us: LOADING Redis is loading"},
		{"+PONG\r\n-NOPERM this user has no permissions to run the 'script|load' command\r\n",
		 "-NOPERM this user has no permissions to run the 'eval' command\r\n", "does not allow this user"},
		{NULL, "-LOADING Redis is loading the dataset in memory\r\n", "is loading its data"},
		{NULL, "-MISCONF Redis is configured to save RDB snapshots\r\n", "cannot keep its data"},
		{NULL, "-BUSY Redis is busy running a script\r\n", "busy with a script"},
		{NULL, "-MOVED 3999 127.0.0.1:6381\r\n", "is a cluster"},
		{NULL, "-ERR max number of something, hush\r\n", "answers with an error"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		int fd;
		struct log *log = open_log(&fd);
		const struct liar liar = {.greeting = cases[i].greeting, .reply = cases[i].reply, .repeat = 1};
		CHECK_INT(ask_as(liar, CACHE_TAKE, log).err, MS_ERR_CACHE);
		CHECK_INT(lines_with(log, fd, cases[i].says), 1);
		CHECK_INT(lines_with(log, fd, "hush"), 0);
		ms_log_free(log);
		close(fd);
	}
}

TEST(redis_that_lies_is_not_believed)
{
	static const char *const replies[] = {
		"garbage\r\n",
		":1\r\n",
		"*1\r\n$1\r\na\r\n",
		"*-1\r\n:9\r\n:9\r\n",
		"+OK\r\n",
		"$99999999999999\r\n",
		"$-5\r\n",
		"*1000000000\r\n",
		"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
		"*99999\r\n",
		"$5\r\nab",
		"-ERR no\r\n",
		"-\r\n",
		":99999999999999999999999\r\n",
		"*4\r\n:1\r\n:2\r\n:-3\r\n:4\r\n",
		"*2\r\n$1\r\n0\r\n:1\r\n",
		"*2\r\n$1\r\n0\r\n*1\r\n:5\r\n",
		"*0\r\n",
		"$1\r\na\r\n",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(replies); i++) {
		for (unsigned verb = CACHE_GET; verb <= CACHE_CLEAR; verb++) {
			bool fits = (verb == CACHE_SET && replies[i][0] == '+') ||
				    (verb == CACHE_REMOVE && strcmp(replies[i], ":1\r\n") == 0) ||
				    ((verb == CACHE_GET || verb == CACHE_ADD) &&
				     (strcmp(replies[i], "$1\r\na\r\n") == 0 || strncmp(replies[i], "*-1", 3) == 0));
			struct cache_op op = ask_liar(replies[i], 1, i % 2 == 0, (enum cache_verb)verb);
			if (!CHECK_INT(op.err, fits ? MS_OK : MS_ERR_CACHE))
				printf("# reply %zu, verb %u\n", i, verb);
			CHECK(fits || (!op.found && !op.admitted));
		}
	}
	CHECK_INT(ask_liar("", 0, true, CACHE_GET).err, MS_ERR_CACHE);
	CHECK_INT(ask_liar("+OK\r\n", 100000, true, CACHE_SET).err, MS_OK); // and then what nobody asked
}

TEST(redis_that_answers_without_end_is_left)
{
	static char endless[(1 << 20) + 1];
	memset(endless, 'x', sizeof(endless) - 1);
	memcpy(endless, "$2000000000\r\n", 13);
	int fd;
	struct log *log = open_log(&fd);
	CHECK_INT(ask_as((struct liar){.reply = endless, .repeat = 40, .timeout_ms = 8000}, CACHE_GET, log).err,
		  MS_ERR_CACHE);
	CHECK_INT(lines_with(log, fd, "too large"), 1);
	const struct liar many = {.reply = "*1048577\r\n", .repeat = 1, .timeout_ms = 8000};
	CHECK_INT(ask_as(many, CACHE_GET, log).err, MS_ERR_CACHE);
	CHECK_INT(lines_with(log, fd, "cannot be used"), 1);
	ms_log_free(log);
	close(fd);
}

// --- Loops -------------------------------------------------------------------------------------------

static void in_short_memory(void)
{
	struct fixture f = {0};
	char url[200];
	snprintf(url, sizeof(url), "unix://%s/socket", ms_cache_test_server()->dir);
	if (ms_rt_new(&(struct rt_options){.loops = 1}, NULL, &f.rt) != MS_OK)
		return;
	f.loop = ms_rt_loop(f.rt, 0);
	if (ms_cache_new(&(struct cache_options){.url = url, .rt = f.rt}, NULL, &f.cache) == MS_OK) {
		struct cache_op op = take_one(&f, "short");
		CHECK(op.err == MS_OK || op.err == MS_ERR_CACHE || op.err == MS_ERR_NO_MEMORY);
		ms_cache_stop(f.cache);
	}
	ms_rt_free(f.rt);
	ms_cache_free(f.cache);
}

TEST(redis_with_short_memory_is_an_error)
{
	(void)ms_cache_test_server();
	ms_test_torture(in_short_memory);
}

#define LOOPS 3
#define OPS 16

struct many;
struct worker {
	struct mail start;
	struct many *many;
	struct loop *loop;
	struct timer *tick;
	struct cache_op ops[OPS];
	bool busy[OPS], over;
	unsigned counts[MS_ERR_COUNT];
};
struct many {
	struct fixture f;
	struct timer *script;
	unsigned step, waited;
	bool recovered;
	atomic_uint left;
	struct worker workers[LOOPS];
};

static void worked(struct cache_op *op)
{
	struct worker *w = op->arg;
	w->counts[op->err]++;
	w->over |= op->err == MS_ERR_CANCELLED;
	w->busy[op - w->ops] = false;
}

// Every ten milliseconds all that are idle begin anew, until the cache has stopped.
static void on_tick(struct timer *timer, void *arg)
{
	struct worker *w = arg;
	unsigned busy = 0;
	for (size_t i = 0; i < OPS; i++) {
		if (!w->busy[i] && !w->over) {
			w->ops[i] = (struct cache_op){.verb = i % 2 == 0 ? CACHE_TAKE : CACHE_CLEAR,
						      .key = MS_SLICE_LIT("many"),
						      .quotas = &YEARLY,
						      .quota_count = 1,
						      .cost = 1,
						      .done = worked,
						      .arg = w};
			w->busy[i] = true;
			if (ms_cache_run(w->many->f.cache, w->loop, &w->ops[i]))
				worked(&w->ops[i]);
		}
		busy += w->busy[i];
	}
	if (!w->over || busy > 0)
		return;
	ms_timer_free(timer);
	if (atomic_fetch_sub(&w->many->left, 1) == 1)
		ms_rt_stop(w->many->f.rt);
}

static void on_worker(struct mail *mail)
{
	struct worker *w = MS_CONTAINER_OF(mail, struct worker, start);
	REQUIRE(ms_timer_new(w->loop, on_tick, w, &w->tick) == MS_OK);
	ms_timer_start(w->tick, 1, 10);
}

static void on_script(struct timer *timer, void *arg)
{
	struct many *m = arg;
	switch (m->step++) {
	case 0:
		CHECK(ms_cache_healthy(m->f.cache));
		ms_redis_test_kill(m->f.server, SIGKILL);
		break;
	case 1:
		CHECK(!ms_cache_healthy(m->f.cache));
		ms_redis_test_start(m->f.server);
		break;
	case 2:
		m->recovered = ms_cache_healthy(m->f.cache);
		if (!m->recovered && m->waited++ < 30)
			m->step--;
		break;
	case 3:
		ms_cache_stop(m->f.cache);
		ms_timer_free(timer);
		break;
	default:
		break;
	}
}

TEST(redis_killed_and_stopped_while_many_loops_run)
{
	struct many *m = calloc(1, sizeof(*m));
	REQUIRE(m != NULL);
	ms_cache_test_begin(&m->f, true, LOOPS, &(struct cache_options){.timeout_ms = 5000});
	atomic_store(&m->left, LOOPS);
	for (unsigned i = 0; i < LOOPS; i++) {
		m->workers[i].many = m;
		m->workers[i].loop = ms_rt_loop(m->f.rt, i);
		ms_loop_post(m->workers[i].loop, &m->workers[i].start, on_worker);
	}
	REQUIRE(ms_timer_new(m->f.loop, on_script, m, &m->script) == MS_OK);
	ms_timer_start(m->script, 1500, 300);
	CHECK_OK(ms_rt_run(m->f.rt, NULL));
	CHECK(m->recovered);
	for (unsigned i = 0; i < LOOPS; i++) {
		const unsigned *counts = m->workers[i].counts;
		CHECK(counts[MS_OK] > 50 && counts[MS_ERR_CACHE] > 10);
		CHECK(counts[MS_ERR_CANCELLED] > 0 && counts[MS_ERR_BUSY] == 0);
	}
	ms_cache_test_end(&m->f);
	free(m);
}
