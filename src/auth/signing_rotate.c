// SPDX-License-Identifier: Apache-2.0
// The life of the keys that sign tokens: next, active, retired, gone. What is due is decided by ms_signing_plan() from the rows and the
// time alone; ms_signing_do() does it in one transaction, so that processes on one database agree.
#include <stdio.h>
#include <stdlib.h>

#include "auth/vault.h"

#define KEY_TEXT_MAX ((size_t)64 << 10)

// --- What is due -------------------------------------------------------------------------------------

static bool is_state(const struct signing_row *row, const char *state)
{
	return ms_slice_eq_cstr(row->state, state);
}

static size_t find_state(const struct signing_row *rows, size_t count, const char *state)
{
	for (size_t i = count; i-- > 0;) { // the newest, should there be several
		if (is_state(&rows[i], state))
			return i;
	}
	return SIZE_MAX;
}

// When a key that is made now would begin to sign.
static int64_t begin_of_next(const struct signing_row *active, const struct signing_policy *p, int64_t now_us)
{
	if (p->rotate == ROTATE_NOW)
		return now_us;
	int64_t soonest = now_us + p->lead_us, by_age = active->active_us + p->rotation_us;
	bool another_alg = !ms_slice_eq_cstr(active->alg, p->alg);
	return p->rotate == ROTATE_SOON || another_alg || p->rotation_us == 0 ? soonest : MS_MAX(soonest, by_age);
}

static bool wants_next(const struct signing_row *active, const struct signing_policy *p, int64_t now_us)
{
	bool by_age = p->rotation_us > 0 && active->active_us + p->rotation_us - p->lead_us <= now_us;
	return p->rotate != ROTATE_BY_AGE || by_age || !ms_slice_eq_cstr(active->alg, p->alg);
}

void ms_signing_plan(const struct signing_row *rows, size_t count, const struct signing_policy *policy, int64_t now_us,
		     struct signing_plan *ret_plan)
{
	struct signing_plan plan = {.promoted = SIZE_MAX, .retired = SIZE_MAX, .reschedule = SIZE_MAX};
	size_t active = find_state(rows, count, "active"), next = find_state(rows, count, "next");
	for (size_t i = 0; i < count && plan.expired_count < SIGNING_KEYS_MAX; i++) {
		if (is_state(&rows[i], "retired") && rows[i].retired_us + policy->keep_us <= now_us)
			plan.expired[plan.expired_count++] = i;
	}
	int64_t begins = next != SIZE_MAX ? rows[next].active_us : INT64_MAX;
	// A next key of another algorithm than the present setting is still used, once, rather than thrown away: others have read it.
	if (active == SIZE_MAX && next == SIZE_MAX) {
		plan.create = plan.promote = true;
		plan.create_active_us = begins = now_us;
	} else if (active != SIZE_MAX && next == SIZE_MAX && wants_next(&rows[active], policy, now_us)) {
		plan.create = true;
		plan.create_active_us = begins = begin_of_next(&rows[active], policy, now_us);
	} else if (active != SIZE_MAX && next != SIZE_MAX && policy->rotate != ROTATE_BY_AGE) {
		int64_t soonest =
			policy->rotate == ROTATE_NOW ? now_us : MS_MAX(rows[next].created_us + policy->lead_us, now_us);
		if (soonest < begins) {
			plan.reschedule = next;
			plan.create_active_us = begins = soonest;
		}
	}
	if (plan.create || next != SIZE_MAX)
		plan.promote |= begins <= now_us || active == SIZE_MAX;
	if (plan.promote) {
		plan.promoted = next;
		plan.retired = active;
	}
	*ret_plan = plan;
}

// --- Rows --------------------------------------------------------------------------------------------

enum ms_err ms_signing_rows(struct store_tx *tx, struct arena *arena, struct errinfo *info,
			    struct signing_row **ret_rows, size_t *ret_count)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(
		tx,
		"SELECT kid, alg, state, public_jwk, sealed, created_us, active_us, retired_us FROM signing_keys"
		" WHERE purpose = 'token' ORDER BY created_us, kid",
		MS_STORE_NO_PARAMS, SIGNING_KEYS_MAX, info, &rows));
	struct signing_row *out = MS_ARENA_ARRAY(arena, struct signing_row, rows.count + 1);
	if (out == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < rows.count; i++) {
		struct slice *const texts[] = {&out[i].kid, &out[i].alg, &out[i].state, &out[i].public_jwk};
		for (size_t k = 0; k < MS_ARRAY_LEN(texts); k++)
			*texts[k] = ms_arena_copy(arena, ms_store_get_text(&rows, i, k));
		out[i].sealed = ms_arena_copy(arena, ms_store_get_blob(&rows, i, 4));
		out[i].created_us = ms_store_get_int(&rows, i, 5);
		out[i].active_us = ms_store_get_int(&rows, i, 6);
		out[i].retired_us = ms_store_get_int(&rows, i, 7);
		if (out[i].kid.p == NULL || out[i].public_jwk.p == NULL || out[i].sealed.p == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	}
	*ret_rows = out;
	*ret_count = rows.count;
	return MS_OK;
}

enum ms_err ms_signing_list(struct store_tx *tx, struct errinfo *info, struct signing_key_info **ret_keys,
			    size_t *ret_count)
{
	struct signing_row *rows;
	size_t count;
	MS_TRY(ms_signing_rows(tx, ms_store_arena(tx), info, &rows, &count));
	struct signing_key_info *out = MS_ARENA_ARRAY(ms_store_arena(tx), struct signing_key_info, count + 1);
	if (out == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++)
		out[i] = (struct signing_key_info){.kid = rows[i].kid,
						   .alg = rows[i].alg,
						   .state = rows[i].state,
						   .created_us = rows[i].created_us,
						   .active_us = rows[i].active_us,
						   .retired_us = rows[i].retired_us};
	*ret_keys = out;
	*ret_count = count;
	return MS_OK;
}

// --- Doing it ----------------------------------------------------------------------------------------

static enum ms_err record(struct store_tx *tx, const struct signing_step *step, struct slice kid, const char *state,
			  struct errinfo *info)
{
	struct arena *arena = ms_store_arena(tx);
	char *target = ms_arena_printf(arena, "signing-key:%.*s", MS_SLICE_ARG(kid));
	char *details = ms_arena_printf(arena, "{\"state\":\"%s\"}", state);
	if (target == NULL || details == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	const struct audit_entry entry = {.event = AUTH_SIGNING_KEY,
					  .actor = step->actor,
					  .target = ms_slice_cstr(target),
					  .details = ms_slice_cstr(details)};
	return ms_audit_append(tx, NULL, &entry, info);
}

static enum ms_err insert_made(struct store_tx *tx, const struct signing_step *step, int64_t active_us, int64_t now_us,
			       struct errinfo *info)
{
	struct buf plain, public_jwk;
	struct slice sealed, kid = ms_jose_key_id(step->made);
	ms_buf_init(&plain, KEY_TEXT_MAX);
	ms_buf_init(&public_jwk, KEY_TEXT_MAX);
	MS_IGNORE(!ms_buf_reserve(&plain, 8192)); // so that it does not grow and leave copies; failing is seen below
	ms_jose_key_write(step->made, true, &plain);
	ms_jose_key_write(step->made, false, &public_jwk);
	char *context = ms_arena_printf(ms_store_arena(tx), "token-key:%.*s", MS_SLICE_ARG(kid));
	enum ms_err err = context != NULL && ms_buf_ok(&plain) && ms_buf_ok(&public_jwk)
				  ? MS_OK
				  : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	if (err == MS_OK)
		err = ms_vault_seal(step->vault, ms_slice_cstr(context), ms_buf_slice(&plain), ms_store_arena(tx), info,
				    &sealed);
	if (err == MS_OK)
		err = ms_store_run(tx,
				   "INSERT INTO signing_keys (kid, purpose, alg, state, public_jwk, sealed, "
				   "created_us, active_us, retired_us)"
				   " VALUES ($1, 'token', $2, 'next', $3, $4, $5, $6, 0)",
				   MS_STORE_PARAMS(ms_store_text(kid), ms_store_text(ms_slice_cstr(step->policy.alg)),
						   ms_store_text(ms_buf_slice(&public_jwk)), ms_store_blob(sealed),
						   ms_store_int(now_us), ms_store_int(active_us)),
				   info, NULL);
	if (plain.cap > 0)
		ms_wipe(plain.p, plain.cap);
	ms_buf_fini(&plain);
	ms_buf_fini(&public_jwk);
	return err;
}

// The old key's private part is of no more use: it is forgotten at once.
static enum ms_err promote(struct store_tx *tx, const struct signing_step *step, struct slice kid,
			   const struct signing_row *old, int64_t now_us, struct errinfo *info)
{
	if (old != NULL) {
		MS_TRY(ms_store_run(
			tx, "UPDATE signing_keys SET state = 'retired', retired_us = $1, sealed = $2 WHERE kid = $3",
			MS_STORE_PARAMS(ms_store_int(now_us), ms_store_blob(MS_SLICE_LIT("")), ms_store_text(old->kid)),
			info, NULL));
		MS_TRY(record(tx, step, old->kid, "retired", info));
	}
	MS_TRY(ms_store_run(tx, "UPDATE signing_keys SET state = 'active', active_us = $1 WHERE kid = $2",
			    MS_STORE_PARAMS(ms_store_int(now_us), ms_store_text(kid)), info, NULL));
	return record(tx, step, kid, "active", info);
}

static enum ms_err expire(struct store_tx *tx, const struct signing_step *step, const struct signing_row *row,
			  struct errinfo *info)
{
	MS_TRY(ms_store_run(tx, "DELETE FROM signing_keys WHERE kid = $1 AND purpose = 'token'",
			    MS_STORE_PARAMS(ms_store_text(row->kid)), info, NULL));
	return record(tx, step, row->kid, "expired", info);
}

static void answer(struct signing_step *step, const struct signing_row *rows, const struct signing_plan *plan,
		   size_t next, int64_t now_us)
{
	struct slice kid = MS_SLICE_EMPTY;
	if (plan->create)
		kid = ms_jose_key_id(step->made);
	else if (next != SIZE_MAX)
		kid = rows[next].kid;
	snprintf(step->next_kid, sizeof(step->next_kid), "%.*s", MS_SLICE_ARG(kid));
	step->next_us = plan->promote                                  ? now_us
			: plan->create || plan->reschedule != SIZE_MAX ? plan->create_active_us
			: next != SIZE_MAX                             ? rows[next].active_us
								       : 0;
}

static bool is_idle(const struct signing_plan *plan)
{
	return plan->expired_count == 0 && !plan->create && !plan->promote && plan->reschedule == SIZE_MAX;
}

static enum ms_err carry_out(struct store_tx *tx, struct signing_step *step, const struct signing_row *rows,
			     const struct signing_plan *plan, int64_t now_us, struct errinfo *info)
{
	for (size_t i = 0; i < plan->expired_count; i++)
		MS_TRY(expire(tx, step, &rows[plan->expired[i]], info));
	if (plan->create) {
		MS_TRY(insert_made(tx, step, plan->create_active_us, now_us, info));
		MS_TRY(record(tx, step, ms_jose_key_id(step->made), "next", info));
	}
	if (plan->reschedule != SIZE_MAX)
		MS_TRY(ms_store_run(tx, "UPDATE signing_keys SET active_us = $1 WHERE kid = $2",
				    MS_STORE_PARAMS(ms_store_int(plan->create_active_us),
						    ms_store_text(rows[plan->reschedule].kid)),
				    info, NULL));
	if (plan->promote)
		MS_TRY(promote(tx, step,
			       plan->promoted != SIZE_MAX ? rows[plan->promoted].kid : ms_jose_key_id(step->made),
			       plan->retired != SIZE_MAX ? &rows[plan->retired] : NULL, now_us, info));
	return ms_store_notify(tx, SIGNING_CHANGED, info);
}

static enum ms_err look(struct store_tx *tx, struct signing_step *step, struct errinfo *info,
			struct signing_row **ret_rows, struct signing_plan *ret_plan)
{
	size_t count;
	int64_t now_us = step->now_us != 0 ? step->now_us : ms_store_now_us(tx);
	MS_TRY(ms_signing_rows(tx, ms_store_arena(tx), info, ret_rows, &count));
	ms_signing_plan(*ret_rows, count, &step->policy, now_us, ret_plan);
	step->needs_key = ret_plan->create && step->made == NULL;
	step->changed = !is_idle(ret_plan);
	if (!step->needs_key)
		answer(step, *ret_rows, ret_plan, find_state(*ret_rows, count, "next"), now_us);
	return MS_OK;
}

static enum ms_err look_only(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct signing_row *rows;
	struct signing_plan plan;
	return look(tx, arg, info, &rows, &plan);
}

static enum ms_err look_and_do(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct signing_step *step = arg;
	struct signing_row *rows;
	struct signing_plan plan;
	MS_TRY(look(tx, step, info, &rows, &plan));
	if (!step->changed || step->needs_key)
		return MS_OK;
	int64_t now_us = step->now_us != 0 ? step->now_us : ms_store_now_us(tx);
	return carry_out(tx, step, rows, &plan, now_us, info);
}

enum ms_err ms_signing_do(struct signing_step *step, struct errinfo *info)
{
	step->made = NULL;
	enum ms_err err = ms_store_read_wait(step->store, look_only, step, info);
	if (err != MS_OK || !step->changed)
		return err;
	// A key is slow to make, so before the transaction; what others did meanwhile is seen in it, and the key may be for nothing.
	do {
		if (err == MS_OK && step->needs_key)
			err = ms_jose_key_generate(step->algorithm, info, &step->made);
		if (err == MS_OK)
			err = ms_store_write_wait(step->store, look_and_do, step, info);
	} while (err == MS_OK && step->needs_key);
	ms_jose_key_unref(step->made);
	step->made = NULL;
	return err;
}

enum ms_err ms_signing_rotate(struct signing_rotate *rotate, struct errinfo *info)
{
	int64_t lead = MS_MAX(SIGNING_LEAD_US, (int64_t)rotate->token_life_ms * 1000);
	struct signing_step step = {.store = rotate->store,
				    .vault = rotate->vault,
				    .policy = {.alg = ms_jose_alg_name(rotate->algorithm),
					       .lead_us = lead,
					       .keep_us = lead,
					       .rotate = rotate->now ? ROTATE_NOW : ROTATE_SOON},
				    .algorithm = rotate->algorithm,
				    .actor = rotate->actor};
	MS_TRY(ms_signing_do(&step, info));
	rotate->signs_from_us = step.next_us;
	memcpy(rotate->kid, step.next_kid, sizeof(rotate->kid));
	return MS_OK;
}
