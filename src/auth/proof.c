// SPDX-License-Identifier: Apache-2.0
// A second factor is shown: throttle, then one transaction that looks, decides and uses up. Right or wrong, the transaction commits: the challenge
// of a passkey that signed is spent whatever else was wrong. A recovery code is hashed before, with the salt of its set, on the passwords pool.
#include "auth/mfa.h"

#define SECOND_NS 1000000000LL

static struct throttle_keys keys_of(const struct auth_proof *p)
{
	return ms_throttle_keys(p->auth->people->throttle, p->account, p->address);
}

// --- Answers, on the loop ------------------------------------------------------------------------------

// Refusals of a throttle are counted, not recorded, and so are passkeys of nobody: strangers could fill the disk. A passkey alone is not
// throttled, so its refusals are recorded at a limited rate.
static void record_refusal(struct auth_proof *p, bool copied)
{
	uint64_t unrecorded = 0;
	if (p->account_user.n == 0 && !copied && !ms_auth_may_record(p->auth, &unrecorded))
		return;
	const char *details =
		ms_arena_printf(p->arena, "{\"factor\":\"%s\",\"reason\":\"%s\",\"unrecorded\":%llu}",
				ms_auth_factor_name(p->method), p->refusal, (unsigned long long)unrecorded);
	const struct audit_entry entry = {
		.event = copied             ? AUTH_PASSKEY_COPIED
			 : p->user_id.n > 0 ? AUTH_FACTOR_REFUSED
					    : AUTH_LOGIN,
		.outcome = AUDIT_REFUSED,
		.actor = {.kind = CALLER_USER,
			  .id = p->user.id,
			  .name = p->user.username,
			  .address = p->address,
			  .session = p->session,
			  .request_id = p->request_id},
		.target = ms_auth_target("user", p->user.id, p->arena),
		.details = ms_slice_cstr(details),
	};
	ms_audit_later(p->auth, &entry);
}

static void end(struct auth_proof *p)
{
	if (p->entered) {
		struct throttle_keys keys = keys_of(p);
		bool wrong = p->err == MS_ERR_AUTH_CREDENTIALS;
		enum throttle_outcome outcome = p->err == MS_OK ? THROTTLE_PASSED
						: wrong         ? THROTTLE_FAILED
								: THROTTLE_UNDECIDED;
		(void)ms_throttle_leave(p->auth->people->throttle, &keys, outcome, ms_clock_mono_ns());
	}
	p->done(p, p->arg);
}

static void fail(struct auth_proof *p, enum ms_err err, const char *message)
{
	p->err = ms_fail(&p->info, err, "%s", message);
	end(p);
}

static void busy(struct auth_proof *p, enum ms_err err)
{
	p->retry_after_s = 1;
	fail(p, err, "too many requests are waiting: try again later");
}

static bool enter(struct auth_proof *p)
{
	struct throttle_keys keys = keys_of(p);
	int64_t wait_ns = ms_throttle_enter(p->auth->people->throttle, &keys, ms_clock_mono_ns());
	if (wait_ns == 0) {
		p->entered = true;
		return true;
	}
	p->retry_after_s = (wait_ns + SECOND_NS - 1) / SECOND_NS;
	p->err = ms_fail(&p->info, MS_ERR_AUTH_THROTTLED, "too many wrong codes: try again in %lld s",
			 (long long)p->retry_after_s);
	end(p);
	return false;
}

// --- The transaction -----------------------------------------------------------------------------------

static enum ms_err is_spent(struct store_tx *tx, const struct auth_proof *p, struct errinfo *info, bool *ret_spent)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT expires_us FROM spent WHERE hash = $1",
			      MS_STORE_PARAMS(ms_store_blob(ms_slice(p->token_hash, sizeof(p->token_hash)))), 1, info,
			      &rows));
	*ret_spent = rows.count > 0;
	return MS_OK;
}

// The user, who must be as he was when the first step was done.
static enum ms_err find_user(struct store_tx *tx, struct auth_proof *p, struct slice id, struct errinfo *info)
{
	struct auth_user user;
	struct slice password;
	bool found;
	MS_TRY(ms_auth_user_look(tx, id, true, info, &found, &user, &password));
	if (found)
		MS_TRY(ms_auth_user_copy(&user, p->arena, info, &p->user));
	p->known = found;
	if (!found || !ms_auth_user_is_active(&user))
		p->refusal = "the account is disabled";
	else if (p->token.n > 0 && user.password_changed_us != p->token_password_us)
		p->refusal = "the password was changed meanwhile";
	return MS_OK;
}

static enum ms_err check_passkey(struct store_tx *tx, struct auth_proof *p, struct slice user_id, struct errinfo *info,
				 bool *ret_copied)
{
	struct passkey_check check = {.user_id = user_id, .assertion = p->assertion};
	MS_TRY(ms_passkey_check(tx, p->auth, &check, info, &p->refusal));
	*ret_copied = check.copied;
	if (user_id.n > 0 || check.owner.n == 0)
		return MS_OK;
	const char *refusal = p->refusal;
	MS_TRY(find_user(tx, p, check.owner, info));
	if (refusal != NULL)
		p->refusal = refusal;
	return MS_OK;
}

static enum ms_err check_factor(struct store_tx *tx, struct auth_proof *p, struct slice user_id, struct errinfo *info,
				bool *ret_copied)
{
	switch (p->method) {
	case AUTH_FACTOR_TOTP:
		return ms_totp_check(tx, p->auth, user_id, p->code, info, &p->refusal);
	case AUTH_FACTOR_RECOVERY:
		return ms_recovery_spend(tx, user_id, p->recovery_hash, info, &p->refusal);
	case AUTH_FACTOR_PASSKEY:
		return check_passkey(tx, p, user_id, info, ret_copied);
	case AUTH_FACTOR_NONE:
		break;
	}
	p->refusal = "no factor";
	return MS_OK;
}

static enum ms_err completed(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_TOKEN_INVALID, "this sign-in was completed already: begin again with the password");
}

static enum ms_err use_up(struct store_tx *tx, struct auth_proof *p, struct errinfo *info)
{
	bool fresh = true;
	if (p->token.n > 0)
		MS_TRY(ms_ticket_spend(tx, p->token_hash, info, &fresh));
	if (!fresh)
		return completed(info);
	if (p->method != AUTH_FACTOR_RECOVERY)
		return MS_OK;
	const struct auth_actor actor = {.kind = CALLER_USER,
					 .id = p->user.id,
					 .name = p->user.username,
					 .address = p->address,
					 .session = p->session,
					 .request_id = p->request_id};
	return ms_factor_record(tx, p->auth, &actor, AUTH_RECOVERY_USED, p->user.id, "{}", info);
}

static enum ms_err prove(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct auth_proof *p = arg;
	struct slice user_id = p->account_user;
	bool spent = false;
	p->refusal = NULL;
	p->known = p->copied = false;
	if (p->token.n > 0)
		MS_TRY(is_spent(tx, p, info, &spent));
	if (spent)
		return completed(info);
	if (user_id.n > 0)
		MS_TRY(find_user(tx, p, user_id, info));
	if (p->refusal == NULL)
		MS_TRY(check_factor(tx, p, user_id, info, &p->copied));
	return p->refusal == NULL ? use_up(tx, p, info) : MS_OK;
}

static const char *methods_of(const struct auth_proof *p)
{
	const char *own = p->method == AUTH_FACTOR_PASSKEY ? "pop" : "otp";
	if (p->token.n == 0)
		return p->user_id.n == 0 ? "pop user mfa" : own;
	return ms_arena_printf(p->arena, "%.*s %s mfa", MS_SLICE_ARG(p->first_methods), own);
}

static void proved(struct store_work *work)
{
	struct auth_proof *p = work->arg;
	if (work->err != MS_OK) {
		p->err = work->err;
		p->info = work->info;
		end(p);
		return;
	}
	if (p->refusal == NULL) {
		p->methods = ms_slice_cstr(methods_of(p));
		end(p);
		return;
	}
	if (p->known)
		record_refusal(p, p->copied);
	if (p->method == AUTH_FACTOR_PASSKEY) {
		p->err = ms_fail(&p->info, MS_ERR_AUTH_CREDENTIALS, "the passkey was refused: %s", p->refusal);
		end(p);
	} else
		fail(p, MS_ERR_AUTH_CREDENTIALS, "the code is wrong, or was used before");
}

static void submit(struct auth_proof *p)
{
	enum ms_err err = ms_store_write(p->auth->options.store, &p->store, p->loop, prove, p, proved);
	if (err != MS_OK)
		busy(p, err);
}

// --- Recovery codes: the salt, then the hash -----------------------------------------------------------

static void hash(struct job *job)
{
	struct auth_proof *p = MS_CONTAINER_OF(job, struct auth_proof, job);
	struct errinfo ignored;
	ms_errinfo_init(&ignored);
	p->err = ms_recovery_hash(p->code, p->recovery_salt, &p->recovery_cost, p->arena, &ignored, &p->recovery_hash);
	if (p->err == MS_ERR_INVALID) {
		p->err = MS_OK; // refused like any wrong one
		p->recovery_hash = MS_SLICE_EMPTY;
	}
}

static void hashed(struct job *job)
{
	struct auth_proof *p = MS_CONTAINER_OF(job, struct auth_proof, job);
	if (p->err == MS_OK)
		submit(p);
	else
		fail(p, p->err, "out of memory");
}

static enum ms_err read_salt(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct auth_proof *p = arg;
	struct slice salt;
	bool found;
	p->recovery_salt = MS_SLICE_EMPTY;
	MS_TRY(ms_recovery_salt(tx, p->account_user, info, &found, &salt, &p->recovery_cost));
	if (!found)
		return MS_OK;
	p->recovery_salt = ms_arena_copy(p->arena, salt);
	return p->recovery_salt.p != NULL ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static void salt_read(struct store_work *work)
{
	struct auth_proof *p = work->arg;
	if (work->err != MS_OK) {
		p->err = work->err;
		p->info = work->info;
		end(p);
		return;
	}
	if (p->recovery_salt.n == 0) {
		submit(p); // refused there
		return;
	}
	struct pool *pool = p->auth->people->passwords; // NULL: the server is ending
	enum ms_err err = pool != NULL ? ms_pool_submit(pool, &p->job, p->loop, hash, hashed) : MS_ERR_DRAINING;
	if (err != MS_OK)
		busy(p, err);
}

// --- Begin -----------------------------------------------------------------------------------------------

static enum ms_err take_token(struct auth_proof *p)
{
	struct second_token token;
	if (p->token.n == 0) {
		p->account_user = p->user_id;
		return MS_OK;
	}
	MS_TRY(ms_second_open(p->auth, p->token, p->arena, &p->info, &token));
	p->account_user = token.user_id;
	p->first_methods = token.methods;
	p->token_password_us = token.password_changed_us;
	memcpy(p->token_hash, token.hash, sizeof(token.hash));
	return MS_OK;
}

void ms_auth_prove(struct auth *auth, struct loop *loop, struct auth_proof *p)
{
	bool is_passkey = p->method == AUTH_FACTOR_PASSKEY;
	MS_ASSERT(p->token.n == 0 || p->user_id.n == 0);
	MS_ASSERT(is_passkey ? p->assertion != NULL : p->token.n > 0 || p->user_id.n > 0);
	p->auth = auth;
	p->loop = loop;
	p->entered = p->known = p->copied = false;
	p->retry_after_s = 0;
	p->refusal = NULL;
	p->recovery_hash = MS_SLICE_EMPTY;
	ms_errinfo_init(&p->info);
	p->err = take_token(p);
	if (p->err != MS_OK) {
		end(p);
		return;
	}
	// Apart from the passwords: whoever has the password would clear their count with each sign-in that he begins. The colon cannot stand in a name.
	// A passkey alone names no account beforehand, and cannot be guessed: it is not counted.
	const char *account = ms_arena_printf(p->arena, "second:%.*s", MS_SLICE_ARG(p->account_user));
	if (account == NULL) {
		fail(p, MS_ERR_NO_MEMORY, "out of memory");
		return;
	}
	p->account = ms_slice_cstr(account);
	if (p->account_user.n > 0 && !enter(p))
		return;
	if (p->method != AUTH_FACTOR_RECOVERY) {
		submit(p);
		return;
	}
	enum ms_err err = ms_store_read(auth->options.store, &p->store, loop, read_salt, p, salt_read);
	if (err != MS_OK)
		busy(p, err);
}
