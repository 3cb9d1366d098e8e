// SPDX-License-Identifier: Apache-2.0
// Attempts to sign in with a password: throttle, user, hash, verdict. Every attempt that gets as far as the hash costs the same, whether the
// user is there, disabled, without a password, or the password is wrong.
#include <stdio.h>

#include "auth/internal.h"

#define SECOND_NS 1000000000LL

static struct throttle_keys keys_of(const struct auth_attempt *a)
{
	// What can be nobody's name counts as it was typed.
	return ms_throttle_keys(a->auth->people->throttle, a->key.n > 0 ? a->key : a->identifier, a->address);
}

static struct auth_actor actor_of(const struct auth_attempt *a)
{
	return (struct auth_actor){.kind = a->found ? CALLER_USER : CALLER_UNKNOWN,
				   .id = a->found ? a->user.id : MS_SLICE_EMPTY,
				   // A name that no user has is not kept: people type their password there.
				   .name = a->found ? a->user.username : MS_SLICE_EMPTY,
				   .address = a->address,
				   .request_id = a->request_id};
}

static const char *reason_of(const struct auth_attempt *a)
{
	if (a->err == MS_ERR_AUTH_THROTTLED)
		return "too many failed attempts";
	if (a->err == MS_ERR_BUSY)
		return "too many sign-ins at once";
	if (a->err == MS_ERR_FORBIDDEN)
		return "disabled";
	return a->found ? "wrong password" : "unknown user";
}

// Those before the hash cost a stranger nothing: some of them are entries, the others are counted in an entry, so that they cannot fill the disk.
static void record_refusal(struct auth_attempt *a)
{
	bool hashed = a->err == MS_ERR_AUTH_CREDENTIALS || a->err == MS_ERR_FORBIDDEN;
	uint64_t unrecorded = 0;
	if (!hashed && !ms_auth_may_record(a->auth, &unrecorded))
		return;
	struct buf details;
	ms_buf_init(&details, 256);
	ms_buf_printf(&details, "{\"reason\":\"%s\"", reason_of(a));
	if (a->delay_ns > 0)
		ms_buf_printf(&details, ",\"next_after_s\":%lld", (long long)(a->delay_ns / SECOND_NS));
	if (unrecorded > 0)
		ms_buf_printf(&details, ",\"unrecorded\":%llu", (unsigned long long)unrecorded);
	ms_buf_append_char(&details, '}');
	const struct audit_entry entry = {
		.event = AUTH_LOGIN,
		.outcome = AUDIT_REFUSED,
		.actor = actor_of(a),
		.target = a->found ? ms_auth_target("user", a->user.id, a->arena) : MS_SLICE_EMPTY,
		.details = ms_buf_ok(&details) ? ms_buf_slice(&details) : MS_SLICE_EMPTY,
	};
	ms_audit_later(a->auth, &entry);
	ms_buf_fini(&details);
}

static void throttled(struct auth_attempt *a, int64_t wait_ns)
{
	a->retry_after_s = (wait_ns + SECOND_NS - 1) / SECOND_NS;
	a->err = ms_fail(&a->info, MS_ERR_AUTH_THROTTLED, "too many failed attempts: try again in %lld s",
			 (long long)a->retry_after_s);
}

// --- On the passwords pool ---------------------------------------------------------------------------

static bool verify(struct auth_attempt *a, bool *ret_rehash)
{
	struct auth_people *people = a->auth->people;
	struct password_answer answer = {0};
	struct errinfo ignored;
	ms_errinfo_init(&ignored);
	*ret_rehash = false;
	if (a->stored.n == 0) {
		// What it gives is nobody's concern: the work is what counts.
		MS_IGNORE(ms_password_verify_nobody(a->password, &people->cost, &ignored));
		return false;
	}
	if (ms_password_verify(a->stored, a->password, &people->cost, &ignored, &answer) != MS_OK) {
		ms_log(a->auth->options.log, LOG_ERROR, "a stored password cannot be verified",
		       MS_LOG_STR("user.id", a->user.id), MS_LOG_CSTR("error.message", ignored.message));
		return false;
	}
	*ret_rehash = answer.match && answer.needs_rehash;
	return answer.match;
}

static void hash(struct job *job)
{
	struct auth_attempt *a = MS_CONTAINER_OF(job, struct auth_attempt, job);
	struct throttle *throttle = a->auth->people->throttle;
	struct throttle_keys keys = keys_of(a);
	bool rehash;
	if (atomic_load(&a->auth->people->stopping)) {
		a->err = ms_fail(&a->info, MS_ERR_DRAINING, "the server is ending");
		return;
	}
	int64_t wait_ns = ms_throttle_enter(throttle, &keys, ms_clock_mono_ns());
	if (wait_ns > 0) {
		throttled(a, wait_ns);
		return;
	}
	bool match = verify(a, &rehash);
	bool passed = match && a->found && ms_auth_user_is_active(&a->user);
	a->delay_ns =
		ms_throttle_leave(throttle, &keys, passed ? THROTTLE_PASSED : THROTTLE_FAILED, ms_clock_mono_ns());
	if (!passed)
		a->err = match ? MS_ERR_FORBIDDEN : MS_ERR_AUTH_CREDENTIALS; // the first for the record alone
	else if (rehash) {
		struct errinfo ignored;
		ms_errinfo_init(&ignored);
		if (ms_auth_password_hash(a->auth, a->password, a->arena, &ignored, &a->rehashed) != MS_OK)
			a->rehashed = MS_SLICE_EMPTY; // another time
	}
}

// --- On the loop -------------------------------------------------------------------------------------

static void end(struct auth_attempt *a)
{
	static const struct {
		enum ms_err err;
		const char *result;
	} results[] = {{MS_OK, "passed"},
		       {MS_ERR_AUTH_CREDENTIALS, "refused"},
		       {MS_ERR_AUTH_THROTTLED, "throttled"},
		       {MS_ERR_BUSY, "overloaded"}};
	const char *result = "failed";
	for (size_t i = 0; i < MS_ARRAY_LEN(results); i++) {
		if (results[i].err == a->err)
			result = results[i].result;
	}
	ms_auth_count_login(a->auth, result);
	if (a->err == MS_ERR_AUTH_THROTTLED || a->err == MS_ERR_BUSY)
		record_refusal(a);
	a->done(a, a->arg);
}

static void hashed(struct job *job)
{
	struct auth_attempt *a = MS_CONTAINER_OF(job, struct auth_attempt, job);
	if (a->err == MS_ERR_AUTH_CREDENTIALS || a->err == MS_ERR_FORBIDDEN) {
		record_refusal(a);
		a->err = ms_fail(&a->info, MS_ERR_AUTH_CREDENTIALS, "username or password is wrong");
	}
	end(a);
}

static void busy(struct auth_attempt *a, enum ms_err err)
{
	a->retry_after_s = 1;
	a->err = ms_fail(&a->info, err,
			 "too many sign-ins are waiting (setting identity.password_queue): try again later");
	end(a);
}

static void was_read(struct store_work *work)
{
	struct auth_attempt *a = MS_CONTAINER_OF(work, struct auth_attempt, read);
	if (work->err != MS_OK) {
		a->err = work->err;
		a->info = work->info;
		end(a);
		return;
	}
	struct pool *pool = a->auth->people->passwords; // NULL: the server is ending
	enum ms_err err = pool != NULL ? ms_pool_submit(pool, &a->job, a->loop, hash, hashed) : MS_ERR_DRAINING;
	if (err != MS_OK)
		busy(a, err);
}

static enum ms_err read_user(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct auth_attempt *a = arg;
	struct auth_user user;
	struct slice stored = MS_SLICE_EMPTY;
	bool by_id = a->user_id.n > 0;
	a->found = false;
	if (a->key.n == 0)
		return MS_OK; // nobody's name
	MS_TRY(ms_auth_user_look(tx, a->key, by_id, info, &a->found, &user, &stored));
	if (!a->found)
		return MS_OK;
	a->stored = stored.n > 0 ? ms_arena_copy(a->arena, stored) : MS_SLICE_EMPTY;
	if (stored.n > 0 && a->stored.p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	return ms_auth_user_copy(&user, a->arena, info, &a->user);
}

void ms_auth_attempt(struct auth *auth, struct loop *loop, struct auth_attempt *a)
{
	a->auth = auth;
	a->loop = loop;
	a->err = MS_OK;
	a->stored = a->rehashed = a->key = MS_SLICE_EMPTY;
	a->retry_after_s = a->delay_ns = 0;
	ms_errinfo_init(&a->info);
	if (a->user_id.n > 0)
		a->key = a->user_id;
	else if (!ms_auth_name_key(a->identifier, a->arena, &a->key))
		a->key = MS_SLICE_EMPTY;
	struct throttle_keys keys = keys_of(a);
	int64_t wait_ns = ms_throttle_look(auth->people->throttle, &keys, ms_clock_mono_ns());
	if (wait_ns > 0) {
		throttled(a, wait_ns);
		end(a);
		return;
	}
	enum ms_err err = ms_store_read(auth->options.store, &a->read, loop, read_user, a, was_read);
	if (err != MS_OK)
		busy(a, err);
}

enum ms_err ms_auth_slow_down(struct auth *auth, const char *what, struct slice address, struct errinfo *info,
			      int64_t *ret_retry_after_s)
{
	struct throttle *throttle = auth->people->throttle;
	char name[128];
	int64_t now_ns = ms_clock_mono_ns();
	// An account of its own for each address, which no sign-in can name: the space.
	int n = snprintf(name, sizeof(name), "%s %.*s", what, MS_SLICE_ARG(ms_slice_sub(address, 0, 64)));
	struct throttle_keys keys = ms_throttle_keys(throttle, ms_slice(name, (size_t)n), address);
	int64_t wait_ns = ms_throttle_enter(throttle, &keys, now_ns);
	if (wait_ns == 0) {
		(void)ms_throttle_leave(throttle, &keys, THROTTLE_FAILED, now_ns);
		return MS_OK;
	}
	*ret_retry_after_s = (wait_ns + SECOND_NS - 1) / SECOND_NS;
	return ms_fail(info, MS_ERR_AUTH_THROTTLED, "too many of these from one address: try again in %lld s",
		       (long long)*ret_retry_after_s);
}
