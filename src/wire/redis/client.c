// SPDX-License-Identifier: Apache-2.0
// The loops' side of it: commands under way, deadlines, attempts, what the log is told.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/redis/internal.h"

#define TIMEOUT_MS 1000
#define WAITING_MAX 10000
#define SENDING_MAX ((size_t)64 << 20)
#define REPLY_MAX ((size_t)32 << 20)
#define RETRY_FIRST_MS 50
#define RETRY_LAST_MS 5000
#define STEADY_MS 1000       // a connection that lived so long was a good one
#define PING_MS 5000         // a connection that is quiet is asked
#define REFUSED_MS 5000      // how long a refusal counts against the health
#define READ_ONLY_MS 5000    // a server that only reads is left for another look this often
#define TELL_AGAIN_MS 600000 // the same trouble is told again

static void connect_now(struct redis_loop *rl);

// --- Trouble -----------------------------------------------------------------------------------------

static const struct {
	const char *code; // first word of the reply
	enum redis_trouble trouble;
} codes[] = {
	{"OOM", TROUBLE_MEMORY},         {"READONLY", TROUBLE_READ_ONLY}, {"LOADING", TROUBLE_LOADING},
	{"MASTERDOWN", TROUBLE_LOADING}, {"MISCONF", TROUBLE_DISK},       {"NOREPLICAS", TROUBLE_DISK},
	{"NOPERM", TROUBLE_FORBIDDEN},   {"NOAUTH", TROUBLE_FORBIDDEN},   {"BUSY", TROUBLE_BUSY},
	{"MOVED", TROUBLE_CLUSTER},      {"ASK", TROUBLE_CLUSTER},        {"CLUSTERDOWN", TROUBLE_CLUSTER},
	{"CROSSSLOT", TROUBLE_CLUSTER},
};
static const char *const explanations[TROUBLES] = {
	[TROUBLE_MEMORY] = "Redis has no memory left (maxmemory) and refuses to write",
	[TROUBLE_READ_ONLY] = "Redis is a replica and refuses to write",
	[TROUBLE_LOADING] = "Redis is loading its data",
	[TROUBLE_DISK] = "Redis refuses to write while it cannot keep its data",
	[TROUBLE_FORBIDDEN] = "Redis does not allow this user what he asks for",
	[TROUBLE_BUSY] = "Redis is busy with a script",
	[TROUBLE_CLUSTER] =
		"Redis is a cluster, of which this server has only a part; give the address of a single one",
	[TROUBLE_OTHER] = "Redis answers with an error",
};

static struct slice code_of(struct slice error)
{
	return ms_slice_sub(error, 0, MS_MIN(ms_slice_find(error, ' '), 32U));
}

// Once in a while for each trouble, not for each command. Of the reply only the code: the rest may name keys.
static void tell_trouble(struct redis *redis, enum redis_trouble trouble, struct slice code, int64_t now_ns)
{
	int64_t told_ns = atomic_load(&redis->told_ns[trouble]);
	if (told_ns != 0 && now_ns - told_ns < (int64_t)TELL_AGAIN_MS * NS_PER_MS)
		return;
	if (atomic_compare_exchange_strong(&redis->told_ns[trouble], &told_ns, now_ns))
		ms_log(redis->options.log, LOG_WARN, explanations[trouble], MS_LOG_CSTR("server.address", redis->place),
		       MS_LOG_STR("error.code", code));
}

// What the caller did wrong (a value of another kind, a script unknown) is the caller's to say.
static void note_error(struct redis_loop *rl, struct slice error)
{
	struct redis *redis = rl->redis;
	struct slice code = code_of(error);
	enum redis_trouble trouble = TROUBLE_OTHER;
	int64_t now_ns = ms_clock_mono_ns();
	if (ms_slice_eq_cstr(code, "WRONGTYPE") || ms_slice_eq_cstr(code, "NOSCRIPT"))
		return;
	for (size_t i = 0; i < MS_ARRAY_LEN(codes); i++) {
		if (ms_slice_eq_cstr(code, codes[i].code))
			trouble = codes[i].trouble;
	}
	if (trouble != TROUBLE_OTHER)
		atomic_store(&redis->refused_ns, now_ns);
	tell_trouble(redis, trouble, code, now_ns);
	// After a failover the name may lead to the new master.
	if (trouble == TROUBLE_READ_ONLY && now_ns - rl->read_only_ns > (int64_t)READ_ONLY_MS * NS_PER_MS) {
		rl->read_only_ns = now_ns;
		ms_redis_loop_lost(rl, false, "it only reads");
	}
}

static void tell_away(struct redis *redis, const char *reason)
{
	if (!atomic_exchange(&redis->told_away, true))
		ms_log(redis->options.log, LOG_WARN, "Redis cannot be reached; trying again",
		       MS_LOG_CSTR("server.address", redis->place), MS_LOG_CSTR("error.message", reason));
}

static void tell_ready(struct redis *redis)
{
	bool first = !atomic_exchange(&redis->told_ready, true), was_away = atomic_exchange(&redis->told_away, false);
	if (first || was_away)
		ms_log(redis->options.log, LOG_INFO, "connected to Redis", MS_LOG_CSTR("server.address", redis->place));
}

// --- Time --------------------------------------------------------------------------------------------

static struct redis_command *first_command(const struct redis_loop *rl)
{
	struct list_node *node = ms_list_first(&rl->commands);
	return node != NULL ? MS_CONTAINER_OF(node, struct redis_command, own.node) : NULL;
}

static void arm(struct redis_loop *rl, int64_t due_ns)
{
	int64_t now_ns = ms_clock_mono_ns();
	if (due_ns >= rl->armed_ns)
		return;
	rl->armed_ns = due_ns;
	ms_timer_start(rl->timer, due_ns > now_ns ? (uint64_t)((due_ns - now_ns) / NS_PER_MS) + 1 : 1, 0);
}

static void arm_next(struct redis_loop *rl)
{
	const struct redis_command *first = first_command(rl);
	if (first != NULL)
		arm(rl, first->own.until_ns);
	if (rl->retry_ns != 0)
		arm(rl, rl->retry_ns);
	if (rl->link != NULL && rl->link->until_ns != 0)
		arm(rl, rl->link->until_ns);
	if (rl->state == REDIS_READY && !rl->pinging)
		arm(rl, MS_MAX(rl->seen_ns, rl->ready_ns) + (int64_t)PING_MS * NS_PER_MS);
}

static void on_pong(struct redis_command *command, enum ms_err err, const struct redis_reply *reply)
{
	struct redis_loop *rl = command->arg;
	(void)err, (void)reply;
	rl->pinging = false;
}

static void ping_if_quiet(struct redis_loop *rl, int64_t now_ns)
{
	const struct slice ping = MS_SLICE_LIT("PING");
	bool quiet = now_ns - MS_MAX(rl->seen_ns, rl->ready_ns) >= (int64_t)PING_MS * NS_PER_MS;
	if (rl->state != REDIS_READY || !quiet || rl->pinging)
		return;
	rl->ping = (struct redis_command){.done = on_pong, .arg = rl};
	rl->pinging = ms_redis_send(rl->redis, rl->loop, &rl->ping, &ping, 1) == MS_OK;
	if (!rl->pinging)
		rl->seen_ns = now_ns; // looked at again later
}

static void on_timer(struct timer *timer, void *arg)
{
	struct redis_loop *rl = arg;
	int64_t now_ns = ms_clock_mono_ns();
	const struct redis_command *first = first_command(rl);
	(void)timer;
	rl->armed_ns = INT64_MAX;
	bool greeting = rl->link != NULL && rl->link->until_ns != 0 && rl->link->until_ns <= now_ns;
	bool late = greeting || (first != NULL && first->own.until_ns <= now_ns);
	// It may have been this loop that was late, and the answer waits to be read: that comes before the timers of the next turn.
	bool looked = rl->late;
	rl->late = late;
	if (late && looked)
		ms_redis_loop_lost(rl, true, greeting ? "no connection within %u ms" : "no answer within %u ms",
				   rl->redis->options.timeout_ms);
	else if (!late && rl->retry_ns != 0 && rl->retry_ns <= now_ns)
		connect_now(rl);
	else if (!late)
		ping_if_quiet(rl, now_ns);
	if (rl->state != REDIS_STOPPED)
		arm_next(rl);
}

// --- Connections -------------------------------------------------------------------------------------

// Ends all that is under way; what their callbacks send is not among it.
static void end_commands(struct redis_loop *rl, enum ms_err err)
{
	for (size_t n = rl->commands.count; n > 0 && !ms_list_empty(&rl->commands); n--) {
		struct redis_command *command =
			MS_CONTAINER_OF(ms_list_pop(&rl->commands), struct redis_command, own.node);
		command->done(command, err, NULL);
	}
}

static void retry_later(struct redis_loop *rl)
{
	unsigned doublings = MS_MIN(rl->attempts, 10U);
	uint64_t delay_ms = MS_MIN((uint64_t)RETRY_FIRST_MS << doublings, (uint64_t)RETRY_LAST_MS);
	delay_ms = delay_ms / 2 + ms_rand_below(ms_loop_rand(rl->loop), delay_ms / 2 + 1);
	rl->attempts++;
	rl->retry_ns = ms_clock_mono_ns() + (int64_t)delay_ms * NS_PER_MS;
	arm_next(rl);
}

static void connect_now(struct redis_loop *rl)
{
	rl->retry_ns = 0;
	if (ms_redis_link_open(rl) != MS_OK) {
		rl->state = REDIS_AWAY;
		tell_away(rl->redis, "out of memory");
		retry_later(rl);
	}
}

void ms_redis_loop_lost(struct redis_loop *rl, bool hangs, const char *fmt, ...)
{
	char reason[REDIS_REASON_SIZE];
	va_list args;
	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	int64_t now_ns = ms_clock_mono_ns();
	bool was_ready = rl->state == REDIS_READY;
	bool steady = was_ready && now_ns - rl->ready_ns > (int64_t)STEADY_MS * NS_PER_MS;
	ms_redis_link_close(rl->link);
	rl->link = NULL;
	rl->late = false;
	ms_buf_clear(&rl->out);
	if (was_ready)
		atomic_fetch_sub(&rl->redis->ready, 1);
	if (steady)
		rl->attempts = 0;
	// A connection that broke is made again at once, and commands wait for it; everything else means that the server is away.
	rl->state = steady && !hangs ? REDIS_CONNECTING : REDIS_AWAY;
	if (rl->state == REDIS_CONNECTING) {
		rl->retry_ns = now_ns;
		arm_next(rl);
	} else {
		tell_away(rl->redis, reason);
		retry_later(rl);
	}
	end_commands(rl, MS_ERR_WIRE);
}

void ms_redis_loop_ready(struct redis_loop *rl)
{
	struct redis *redis = rl->redis;
	rl->state = REDIS_READY;
	rl->ready_ns = ms_clock_mono_ns();
	if (atomic_fetch_add(&redis->ready, 1) + 1 == redis->loop_count)
		tell_ready(redis);
	ms_redis_link_flush(rl->link);
}

// --- Commands ----------------------------------------------------------------------------------------

static void append_head(struct buf *out, char kind, size_t n)
{
	ms_buf_append_char(out, kind);
	ms_buf_append_u64(out, n);
	ms_buf_append(out, "\r\n", 2);
}

void ms_redis_append_part(struct buf *tail, struct slice part)
{
	append_head(tail, '$', part.n);
	ms_buf_append_slice(tail, part);
	ms_buf_append(tail, "\r\n", 2);
}

void ms_redis_append_number(struct buf *tail, uint64_t number)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
	ms_redis_append_part(tail, ms_slice(digits, (size_t)n));
}

void ms_redis_append_command(struct buf *out, const struct slice *parts, size_t count)
{
	append_head(out, '*', count);
	for (size_t i = 0; i < count; i++)
		ms_redis_append_part(out, parts[i]);
}

static void append_script(struct redis_loop *rl, struct redis_command *command)
{
	size_t script = command->own.script;
	bool by_sha = rl->sha_known[script] && !command->own.again;
	append_head(&rl->out, '*', 2 + command->own.tail_parts);
	ms_redis_append_part(&rl->out, by_sha ? MS_SLICE_LIT("EVALSHA") : MS_SLICE_LIT("EVAL"));
	ms_redis_append_part(&rl->out, by_sha ? ms_slice(rl->sha[script], REDIS_SHA_SIZE)
					      : ms_slice_cstr(rl->redis->options.scripts[script]));
	ms_buf_append_slice(&rl->out, command->own.tail);
}

static void start_loop(struct redis_loop *rl)
{
	if (rl->state != REDIS_NEW)
		return;
	if (ms_timer_new(rl->loop, on_timer, rl, &rl->timer) != MS_OK)
		return;                                    // the next command tries again
	uv_prepare_init(ms_loop_uv(rl->loop), &rl->flush); // never fails
	rl->flush.data = rl;
	rl->state = REDIS_CONNECTING;
	connect_now(rl);
	arm_next(rl);
}

static void on_turn_end(uv_prepare_t *flush)
{
	struct redis_loop *rl = flush->data;
	uv_prepare_stop(flush);
	if (rl->state == REDIS_READY)
		ms_redis_link_flush(rl->link);
}

// Room for `size` bytes more, of all that is not sent.
static enum ms_err admit(struct redis_loop *rl, size_t size)
{
	const struct redis_options *o = &rl->redis->options;
	if (rl->state == REDIS_NEW)
		start_loop(rl);
	if (rl->state == REDIS_STOPPED)
		return MS_ERR_CANCELLED;
	if (rl->state == REDIS_NEW)
		return MS_ERR_NO_MEMORY;
	if (rl->state == REDIS_AWAY)
		return MS_ERR_WIRE;
	size_t sending = rl->link != NULL ? rl->link->sending.n : 0;
	if (rl->commands.count >= o->max_waiting || size > o->max_sending - MS_MIN(rl->out.n + sending, o->max_sending))
		return MS_ERR_BUSY;
	if (ms_buf_reserve(&rl->out, size))
		return MS_OK;
	rl->out.failed = false; // nothing was appended
	return MS_ERR_NO_MEMORY;
}

static void begin(struct redis_loop *rl, struct redis_command *command)
{
	// Not the time of the turn, which may have begun long ago.
	command->own.until_ns = ms_clock_mono_ns() + (int64_t)rl->redis->options.timeout_ms * NS_PER_MS;
	ms_list_append(&rl->commands, &command->own.node);
	if (command->own.until_ns < rl->armed_ns)
		arm(rl, command->own.until_ns);
	uv_prepare_start(&rl->flush, on_turn_end);
}

enum ms_err ms_redis_send(struct redis *redis, struct loop *loop, struct redis_command *command,
			  const struct slice *parts, size_t count)
{
	struct redis_loop *rl = &redis->loops[ms_loop_index(loop)];
	size_t size = 32;
	for (size_t i = 0; i < count; i++)
		size += parts[i].n + 32;
	MS_TRY(admit(rl, size));
	command->own.is_script = command->own.again = false;
	ms_redis_append_command(&rl->out, parts, count);
	begin(rl, command);
	return MS_OK;
}

enum ms_err ms_redis_eval(struct redis *redis, struct loop *loop, struct redis_command *command, size_t script,
			  struct slice tail, size_t parts)
{
	struct redis_loop *rl = &redis->loops[ms_loop_index(loop)];
	MS_ASSERT(script < redis->options.script_count);
	MS_TRY(admit(rl, tail.n + strlen(redis->options.scripts[script]) + 128));
	command->own.is_script = true;
	command->own.again = false;
	command->own.script = script;
	command->own.tail = tail;
	command->own.tail_parts = parts;
	append_script(rl, command);
	begin(rl, command);
	return MS_OK;
}

// The server forgot the script (SCRIPT FLUSH, a failover behind the address): once more with its text, which it then knows.
static bool sent_again(struct redis_loop *rl, struct redis_command *command, const struct redis_reply *reply)
{
	bool unknown = reply->kind == REDIS_ERROR && ms_slice_eq_cstr(code_of(reply->text), "NOSCRIPT");
	if (!unknown || !command->own.is_script || command->own.again)
		return false;
	command->own.again = true;
	if (!ms_buf_reserve(&rl->out,
			    command->own.tail.n + strlen(rl->redis->options.scripts[command->own.script]) + 128)) {
		rl->out.failed = false;
		return false;
	}
	append_script(rl, command);
	ms_list_append(&rl->commands, &command->own.node);
	uv_prepare_start(&rl->flush, on_turn_end);
	return true;
}

void ms_redis_loop_reply(struct redis_loop *rl, const struct redis_reply *reply)
{
	struct redis_link *link = rl->link;
	struct redis_command *command = first_command(rl);
	rl->seen_ns = ms_loop_now_ns(rl->loop);
	rl->late = false;
	if (command == NULL) {
		ms_redis_loop_lost(rl, true, "it answers what nobody asked");
		return;
	}
	ms_list_remove(&rl->commands, &command->own.node);
	if (sent_again(rl, command, reply))
		return;
	bool is_error = reply->kind == REDIS_ERROR;
	struct slice error = is_error ? reply->text : MS_SLICE_EMPTY;
	command->done(command, MS_OK, reply);
	if (is_error && link->rl != NULL)
		note_error(rl, error);
}

// --- Life --------------------------------------------------------------------------------------------

static void on_start(struct mail *mail)
{
	start_loop(MS_CONTAINER_OF(mail, struct redis_loop, start_mail));
}

static void on_stop(struct mail *mail)
{
	struct redis_loop *rl = MS_CONTAINER_OF(mail, struct redis_loop, stop_mail);
	if (rl->state == REDIS_READY)
		atomic_fetch_sub(&rl->redis->ready, 1);
	if (rl->link != NULL)
		ms_redis_link_close(rl->link);
	rl->link = NULL;
	if (rl->state != REDIS_NEW)
		uv_close((uv_handle_t *)&rl->flush, NULL);
	ms_timer_free(rl->timer);
	rl->timer = NULL;
	rl->state = REDIS_STOPPED;
	end_commands(rl, MS_ERR_CANCELLED);
}

static void take_options(struct redis *redis, const struct redis_options *options)
{
	struct redis_options *o = &redis->options;
	*o = *options;
	o->url = NULL; // the caller's
	o->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS;
	o->max_waiting = o->max_waiting > 0 ? o->max_waiting : WAITING_MAX;
	o->max_sending = o->max_sending > 0 ? o->max_sending : SENDING_MAX;
	o->max_reply = o->max_reply > 0 ? o->max_reply : REPLY_MAX;
	const struct redis_address *a = &redis->address;
	bool v6 = strchr(a->host, ':') != NULL;
	if (a->is_unix)
		snprintf(redis->place, sizeof(redis->place), "%s", a->path);
	else
		snprintf(redis->place, sizeof(redis->place), v6 ? "[%s]:%u" : "%s:%u", a->host, a->port);
}

enum ms_err ms_redis_new(const struct redis_options *options, struct errinfo *info, struct redis **ret_redis)
{
	struct redis_address address;
	MS_ASSERT(options->script_count <= MS_REDIS_SCRIPTS_MAX);
	MS_TRY(ms_redis_parse_url(options->url, info, &address));
	struct redis *redis = calloc(1, sizeof(*redis));
	struct redis_loop *loops = calloc(ms_rt_loop_count(options->rt), sizeof(*loops));
	if (redis == NULL || loops == NULL) {
		free(redis);
		free(loops);
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the connections to Redis");
	}
	redis->address = address;
	redis->loops = loops;
	redis->loop_count = ms_rt_loop_count(options->rt);
	take_options(redis, options);
	for (unsigned i = 0; i < redis->loop_count; i++) {
		struct redis_loop *rl = &loops[i];
		rl->redis = redis;
		rl->loop = ms_rt_loop(options->rt, i);
		rl->armed_ns = INT64_MAX;
		ms_list_init(&rl->commands);
		ms_buf_init(&rl->out, redis->options.max_sending + 65536);
	}
	*ret_redis = redis;
	return MS_OK;
}

void ms_redis_start(struct redis *redis)
{
	for (unsigned i = 0; i < redis->loop_count; i++)
		ms_loop_post(redis->loops[i].loop, &redis->loops[i].start_mail, on_start);
}

void ms_redis_stop(struct redis *redis)
{
	for (unsigned i = 0; i < redis->loop_count; i++)
		ms_loop_post(redis->loops[i].loop, &redis->loops[i].stop_mail, on_stop);
}

void ms_redis_free(struct redis *redis)
{
	if (redis == NULL)
		return;
	for (unsigned i = 0; i < redis->loop_count; i++) {
		MS_ASSERT(redis->loops[i].link == NULL); // ms_redis_stop was called
		ms_buf_fini(&redis->loops[i].out);
	}
	explicit_bzero(&redis->address, sizeof(redis->address));
	free(redis->loops);
	free(redis);
}

bool ms_redis_healthy(const struct redis *redis)
{
	int64_t refused_ns = atomic_load(&redis->refused_ns);
	return atomic_load(&redis->ready) == redis->loop_count &&
	       (refused_ns == 0 || ms_clock_mono_ns() - refused_ns > (int64_t)REFUSED_MS * NS_PER_MS);
}

const char *ms_redis_place(const struct redis *redis)
{
	return redis->place;
}
