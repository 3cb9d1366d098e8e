// SPDX-License-Identifier: Apache-2.0
// Time-based codes. The step of the newest code that was used is kept in the store: no code counts twice, whichever process it comes to.
#include "auth/mfa.h"

#define SECRET_SIZE 20 // 160 bits, as long as SHA-1 (RFC 4226, section 4)
#define PERIOD_S 30
#define DIGITS 6
#define PENDING_US (3600LL * 1000000)
#define URI_MAX 1024

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static enum ms_err context_of(struct slice user_id, struct arena *arena, struct errinfo *info,
			      struct slice *ret_context)
{
	*ret_context = ms_slice_cstr(ms_arena_printf(arena, "totp:%.*s", MS_SLICE_ARG(user_id)));
	return ret_context->p != NULL ? MS_OK : no_memory(info);
}

struct totp_row {
	bool found;
	struct slice sealed;
	int64_t last_step, created_us, confirmed_us;
};

static enum ms_err read_row(struct store_tx *tx, struct slice user_id, struct errinfo *info, struct totp_row *ret_row)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT sealed, last_step, created_us, confirmed_us FROM totp WHERE user_id = $1",
			      MS_STORE_PARAMS(ms_store_text(user_id)), 1, info, &rows));
	*ret_row = (struct totp_row){.found = rows.count > 0};
	if (rows.count == 0)
		return MS_OK;
	ret_row->sealed = ms_store_get_blob(&rows, 0, 0);
	ret_row->last_step = ms_store_get_int(&rows, 0, 1);
	ret_row->created_us = ms_store_get_int(&rows, 0, 2);
	ret_row->confirmed_us = ms_store_get_int(&rows, 0, 3);
	return MS_OK;
}

static enum ms_err verify(struct store_tx *tx, const struct auth *auth, struct slice user_id,
			  const struct totp_row *row, struct slice code, struct errinfo *info, bool *ret_match,
			  int64_t *ret_step)
{
	struct slice context, secret;
	struct arena *arena = ms_store_arena(tx);
	MS_TRY(context_of(user_id, arena, info, &context));
	if (ms_auth_open(auth, context, row->sealed, arena, info, &secret) != MS_OK) {
		ms_log(auth->options.log, LOG_ERROR, "a TOTP secret cannot be opened", MS_LOG_STR("user.id", user_id),
		       MS_LOG_CSTR("error.message", info != NULL ? info->message : ""));
		return ms_fail(info, MS_ERR_INTERNAL,
			       "the second factor of this user cannot be read: see the log of the server");
	}
	const struct totp totp = {.hash = CRYPTO_SHA1, .digits = DIGITS, .period_s = PERIOD_S, .secret = secret};
	*ret_match = ms_totp_verify(&totp, ms_store_now_us(tx) / 1000000, auth->options.totp_skew, row->last_step, code,
				    ret_step);
	ms_wipe((char *)(uintptr_t)secret.p, secret.n);
	return MS_OK;
}

// People type "123 456".
static struct slice without_spaces(struct slice code, char dst[MS_OTP_SIZE])
{
	size_t n = 0;
	for (size_t i = 0; i < code.n; i++) {
		if (code.p[i] == ' ')
			continue;
		if (n == MS_OTP_SIZE - 1)
			return MS_SLICE_EMPTY;
		dst[n++] = code.p[i];
	}
	return ms_slice(dst, n);
}

enum ms_err ms_totp_check(struct store_tx *tx, const struct auth *auth, struct slice user_id, struct slice code,
			  struct errinfo *info, const char **ret_refusal)
{
	struct totp_row row;
	char digits[MS_OTP_SIZE];
	bool match = false;
	int64_t step = 0;
	MS_TRY(read_row(tx, user_id, info, &row));
	if (!row.found || row.confirmed_us == 0) {
		*ret_refusal = "no TOTP";
		return MS_OK;
	}
	MS_TRY(verify(tx, auth, user_id, &row, without_spaces(code, digits), info, &match, &step));
	*ret_refusal = match ? NULL : "wrong code";
	if (!match)
		return MS_OK;
	return ms_store_run(tx, "UPDATE totp SET last_step = $2 WHERE user_id = $1",
			    MS_STORE_PARAMS(ms_store_text(user_id), ms_store_int(step)), info, NULL);
}

// --- Enrolment ---------------------------------------------------------------------------------------

static void append_escaped(struct buf *out, struct slice text)
{
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			     c == '.' || c == '_' || c == '~' || c == '@';
		if (plain) {
			ms_buf_append_char(out, c);
			continue;
		}
		ms_buf_append_char(out, '%');
		ms_buf_append_char(out, hex[(uint8_t)c >> 4]);
		ms_buf_append_char(out, hex[(uint8_t)c & 15]);
	}
}

// The key URI of authenticator apps. `algorithm`, `digits` and `period` are their defaults, and some apps stumble over them.
static enum ms_err write_texts(const struct auth *auth, const struct auth_user *user, struct slice secret,
			       struct arena *arena, struct errinfo *info, struct auth_totp *totp)
{
	struct buf out;
	struct slice issuer = auth->mfa->rp_id;
	ms_buf_init(&out, URI_MAX);
	ms_base32_append(&out, secret);
	totp->secret = ms_buf_ok(&out) ? ms_arena_copy(arena, ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	ms_wipe(out.p, out.n);
	ms_buf_clear(&out);
	ms_buf_append_cstr(&out, "otpauth://totp/");
	append_escaped(&out, issuer);
	ms_buf_append_char(&out, ':');
	append_escaped(&out, user->username);
	ms_buf_append_cstr(&out, "?secret=");
	ms_buf_append_slice(&out, totp->secret);
	ms_buf_append_cstr(&out, "&issuer=");
	append_escaped(&out, issuer);
	totp->uri = ms_buf_ok(&out) ? ms_arena_copy(arena, ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	if (out.p != NULL)
		ms_wipe(out.p, out.n);
	ms_buf_fini(&out);
	return totp->secret.p != NULL && totp->uri.p != NULL ? MS_OK : no_memory(info);
}

enum ms_err ms_auth_totp_begin(struct store_tx *tx, struct auth *auth, const struct auth_user *user,
			       struct errinfo *info, struct auth_totp *ret_totp)
{
	struct totp_row row;
	struct slice context, sealed;
	struct arena *arena = ms_store_arena(tx);
	uint8_t secret[SECRET_SIZE];
	MS_TRY(read_row(tx, user->id, info, &row));
	if (row.confirmed_us != 0)
		return ms_fail(info, MS_ERR_CONFLICT, "this user has TOTP already: remove it first");
	ms_random_bytes(secret, sizeof(secret));
	MS_TRY(context_of(user->id, arena, info, &context));
	enum ms_err err = ms_auth_seal(auth, context, ms_slice(secret, sizeof(secret)), arena, info, &sealed);
	if (err == MS_OK)
		err = write_texts(auth, user, ms_slice(secret, sizeof(secret)), arena, info, ret_totp);
	ms_wipe(secret, sizeof(secret));
	MS_TRY(err);
	return ms_store_run(
		tx,
		"INSERT INTO totp (user_id, sealed, last_step, created_us, confirmed_us) VALUES ($1, $2, -1, $3, 0) "
		"ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed, last_step = -1, created_us = "
		"excluded.created_us",
		MS_STORE_PARAMS(ms_store_text(user->id), ms_store_blob(sealed), ms_store_int(ms_store_now_us(tx))),
		info, NULL);
}

enum ms_err ms_auth_totp_confirm(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				 struct slice user_id, struct slice code, struct errinfo *info)
{
	struct totp_row row;
	char digits[MS_OTP_SIZE];
	bool match = false;
	int64_t step = 0, now = ms_store_now_us(tx);
	MS_TRY(read_row(tx, user_id, info, &row));
	if (row.confirmed_us != 0)
		return ms_fail(info, MS_ERR_CONFLICT, "TOTP is confirmed already");
	if (!row.found || now - row.created_us > PENDING_US)
		return ms_fail(info, MS_ERR_NOT_FOUND, "no TOTP was begun within the last hour");
	MS_TRY(verify(tx, auth, user_id, &row, without_spaces(code, digits), info, &match, &step));
	if (!match) {
		ms_errinfo_set_field(info, MS_SLICE_LIT("code"));
		return ms_fail(info, MS_ERR_INVALID,
			       "the code is wrong: six digits of this moment are needed; is the device's clock right?");
	}
	MS_TRY(ms_store_run(tx, "UPDATE totp SET last_step = $2, confirmed_us = $3 WHERE user_id = $1",
			    MS_STORE_PARAMS(ms_store_text(user_id), ms_store_int(step), ms_store_int(now)), info,
			    NULL));
	return ms_factor_added(tx, auth, by, user_id, "{\"factor\":\"totp\"}", info);
}

enum ms_err ms_auth_totp_remove(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				struct slice user_id, struct errinfo *info)
{
	struct totp_row row;
	MS_TRY(read_row(tx, user_id, info, &row));
	if (!row.found)
		return ms_fail(info, MS_ERR_NOT_FOUND, "this user has no TOTP");
	MS_TRY(ms_store_run(tx, "DELETE FROM totp WHERE user_id = $1", MS_STORE_PARAMS(ms_store_text(user_id)), info,
			    NULL));
	if (row.confirmed_us == 0)
		return MS_OK; // it was no factor yet
	MS_TRY(ms_factor_removed(tx, auth, user_id, info));
	return ms_factor_record(tx, auth, by, AUTH_FACTOR_REMOVED, user_id, "{\"factor\":\"totp\"}", info);
}
