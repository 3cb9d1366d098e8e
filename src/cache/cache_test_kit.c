// SPDX-License-Identifier: Apache-2.0
#include "cache/cache_test_kit.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

// --- The server --------------------------------------------------------------------------------------

static unsigned free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 &&
		getsockname(fd, (struct sockaddr *)&address, &size) == 0);
	close(fd);
	return ntohs(address.sin_port);
}

static void become_unprivileged(const char *dir, bool in_child)
{
	const struct passwd *nobody = geteuid() == 0 ? getpwnam("nobody") : NULL;
	if (nobody == NULL)
		return;
	if (!in_child)
		REQUIRE(chown(dir, nobody->pw_uid, nobody->pw_gid) == 0);
	else if (setgid(nobody->pw_gid) != 0 || setuid(nobody->pw_uid) != 0)
		_exit(126);
}

static void exec_server(const struct redis_server *server)
{
	char port[16], path[128], log[128];
	const char *argv[64] = {"redis-server",
				"--port",
				port,
				"--bind",
				"127.0.0.1",
				"--unixsocket",
				path,
				"--unixsocketperm",
				"777",
				"--save",
				"",
				"--appendonly",
				"no",
				"--dir",
				server->dir,
				"--logfile",
				log,
				"--enable-debug-command",
				"local"};
	size_t n = 19;
	snprintf(port, sizeof(port), "%u", server->port);
	snprintf(path, sizeof(path), "%s/socket", server->dir);
	snprintf(log, sizeof(log), "%s/log", server->dir);
	for (size_t i = 0; i < server->arg_count; i++)
		argv[n++] = server->args[i];
	become_unprivileged(server->dir, true);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execvp("redis-server", (char *const *)(uintptr_t)argv);
	_exit(127);
}

static int connect_to(const struct redis_server *server)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", server->dir);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(fd >= 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

void ms_redis_test_start(struct redis_server *server)
{
	if (server->dir[0] == '\0') {
		snprintf(server->dir, sizeof(server->dir), "/tmp/mainstay-redis-XXXXXX");
		REQUIRE(mkdtemp(server->dir) != NULL);
		become_unprivileged(server->dir, false);
		server->port = free_port();
	}
	server->pid = fork();
	REQUIRE(server->pid >= 0);
	if (server->pid == 0)
		exec_server(server);
	int fd = connect_to(server);
	for (unsigned i = 0; i < 1000 && fd < 0; i++) {
		usleep(10000);
		fd = connect_to(server);
	}
	REQUIRE(fd >= 0); // redis-server has started
	close(fd);
}

void ms_redis_test_kill(struct redis_server *server, int signum)
{
	REQUIRE(kill(server->pid, signum) == 0);
	if (signum != SIGKILL && signum != SIGTERM)
		return;
	REQUIRE(waitpid(server->pid, NULL, 0) == server->pid);
	server->pid = 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void ms_redis_test_end(struct redis_server *server)
{
	if (server->pid > 0)
		ms_redis_test_kill(server, SIGKILL);
	if (server->dir[0] != '\0')
		nftw(server->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	server->dir[0] = '\0';
}

const char *ms_redis_test_say(const struct redis_server *server, const char *command)
{
	static char reply[4096];
	char line[512];
	int n = snprintf(line, sizeof(line), "%s\r\nQUIT\r\n", command), fd = connect_to(server);
	size_t at = 0;
	REQUIRE(fd >= 0 && write(fd, line, (size_t)n) == n);
	for (ssize_t got; at < sizeof(reply) - 1 && (got = read(fd, reply + at, sizeof(reply) - 1 - at)) > 0;)
		at += (size_t)got;
	close(fd);
	reply[at] = '\0';
	return reply;
}

static struct redis_server shared;

static void end_shared(void)
{
	ms_redis_test_end(&shared);
}

struct redis_server *ms_cache_test_server(void)
{
	if (shared.dir[0] == '\0')
		atexit(end_shared);
	if (shared.pid == 0)
		ms_redis_test_start(&shared);
	return &shared;
}

// --- The cache ---------------------------------------------------------------------------------------

void ms_cache_test_begin(struct fixture *f, bool redis, unsigned loops, const struct cache_options *options)
{
	struct cache_options all = options != NULL ? *options : (struct cache_options){0};
	struct errinfo info;
	ms_errinfo_init(&info);
	*f = (struct fixture){.redis = redis};
	if (redis) {
		f->server = ms_cache_test_server();
		snprintf(f->url, sizeof(f->url), "unix://%s/socket", f->server->dir);
		CHECK_HAS(ms_redis_test_say(f->server, "FLUSHALL"), "+OK");
	}
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = loops}, NULL, &f->rt) == MS_OK);
	f->loop = ms_rt_loop(f->rt, 0);
	all.url = all.url != NULL ? all.url : f->url;
	all.rt = f->rt;
	enum ms_err err = ms_cache_new(&all, &info, &f->cache);
	CHECK_STR(info.message, "");
	REQUIRE(err == MS_OK);
}

void ms_cache_test_end(struct fixture *f)
{
	ms_cache_stop(f->cache);
	ms_rt_free(f->rt);
	ms_cache_free(f->cache);
}

// The value is the driver's, and goes when this returns.
static void on_done(struct cache_op *op)
{
	static char seen[MS_CACHE_VALUE_MAX];
	bool has_value = op->err == MS_OK && op->found && (op->verb == CACHE_GET || op->verb == CACHE_ADD);
	if (has_value && op->value.n > 0)
		memcpy(seen, op->value.p, op->value.n);
	op->value = has_value ? ms_slice(seen, op->value.n) : MS_SLICE_EMPTY;
	op->arg = seen;
}

void ms_cache_test_start(struct fixture *f, struct cache_op *op)
{
	op->done = on_done;
	op->arg = NULL;
	if (ms_cache_run(f->cache, f->loop, op))
		on_done(op);
}

void ms_cache_test_wait(struct fixture *f, const struct cache_op *op)
{
	struct uv_loop_s *uv = ms_loop_uv(f->loop);
	int64_t until_ns = ms_clock_mono_ns() + 10 * (int64_t)1000000000;
	while (op->arg == NULL) {
		REQUIRE(ms_clock_mono_ns() < until_ns);
		uv_run(uv, UV_RUN_ONCE);
	}
}

void ms_cache_test_do(struct fixture *f, struct cache_op *op)
{
	ms_cache_test_start(f, op);
	ms_cache_test_wait(f, op);
}

static void on_turn_over(struct timer *timer, void *arg)
{
	(void)timer;
	*(bool *)arg = true;
}

void ms_cache_test_turn(struct fixture *f, unsigned ms)
{
	struct timer *timer;
	bool over = false;
	REQUIRE(ms_timer_new(f->loop, on_turn_over, &over, &timer) == MS_OK);
	ms_timer_start(timer, ms, 0);
	while (!over)
		uv_run(ms_loop_uv(f->loop), UV_RUN_ONCE);
	ms_timer_free(timer);
	uv_run(ms_loop_uv(f->loop), UV_RUN_NOWAIT);
}

struct cache_op ms_cache_test_get(struct fixture *f, const char *key)
{
	struct cache_op op = {.verb = CACHE_GET, .key = ms_slice_cstr(key)};
	ms_cache_test_do(f, &op);
	return op;
}

void ms_cache_test_set(struct fixture *f, const char *key, const char *value, uint64_t ttl_ms)
{
	struct cache_op op = {
		.verb = CACHE_SET, .key = ms_slice_cstr(key), .value = ms_slice_cstr(value), .ttl_ms = ttl_ms};
	ms_cache_test_do(f, &op);
	CHECK_OK(op.err);
}

struct cache_op ms_cache_test_take(struct fixture *f, const char *key, const struct cache_quota *quotas, size_t count,
				   uint64_t cost)
{
	struct cache_op op = {
		.verb = CACHE_TAKE, .key = ms_slice_cstr(key), .quotas = quotas, .quota_count = count, .cost = cost};
	ms_cache_test_do(f, &op);
	return op;
}
