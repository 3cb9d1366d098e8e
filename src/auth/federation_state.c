// SPDX-License-Identifier: Apache-2.0
// Between sending somebody to the provider and his return: nothing is stored here. State, nonce and PKCE verifier go into a cookie of the browser,
// sealed with the master key; the same cookie says where to go on, and who wants to link. It counts once.
#include "auth/federation.h"
#include "auth/vault.h"

#define CONTEXT MS_SLICE_LIT("outside sign-in")
#define RANDOM_SIZE 32
#define LIFE_US ((int64_t)MS_FEDERATION_LIFE_S * 1000000)

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static enum ms_err random_text(struct arena *arena, struct errinfo *info, struct slice *ret_text)
{
	uint8_t random[RANDOM_SIZE];
	struct buf text;
	ms_random_bytes(random, sizeof(random));
	ms_buf_init(&text, 256);
	ms_base64url_append(&text, ms_slice(random, sizeof(random)));
	*ret_text = ms_buf_ok(&text) ? ms_arena_copy(arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	return ret_text->p != NULL ? MS_OK : no_memory(info);
}

// --- The cookie --------------------------------------------------------------------------------------

static void write_text(struct json_writer *w, const char *key, struct slice text)
{
	ms_json_key_lit(w, key);
	ms_json_str(w, text);
}

enum ms_err ms_federation_seal(const struct auth *auth, const struct federation_attempt *attempt, struct slice state,
			       int64_t now_us, struct arena *arena, struct errinfo *info, struct slice *ret_cookie)
{
	struct buf plain, text;
	struct json_writer w;
	struct slice sealed;
	ms_buf_init(&plain, 4096);
	ms_json_writer_init(&w, &plain);
	ms_json_begin_object(&w);
	write_text(&w, "s", state);
	write_text(&w, "n", attempt->nonce);
	write_text(&w, "v", attempt->verifier);
	write_text(&w, "r", attempt->request);
	write_text(&w, "d", attempt->user_code);
	write_text(&w, "l", attempt->link_user);
	ms_json_key_lit(&w, "t");
	ms_json_i64(&w, now_us);
	ms_json_end_object(&w);
	enum ms_err err = ms_buf_ok(&plain) ? ms_auth_seal(auth, CONTEXT, ms_buf_slice(&plain), arena, info, &sealed)
					    : ms_fail(info, MS_ERR_LIMIT, "the request is too long to come back to");
	ms_buf_fini(&plain);
	MS_TRY(err);
	ms_buf_init(&text, MS_FEDERATION_COOKIE_MAX);
	ms_base64url_append(&text, sealed);
	*ret_cookie = ms_buf_ok(&text) ? ms_arena_copy(arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	return ret_cookie->p != NULL ? MS_OK : ms_fail(info, MS_ERR_LIMIT, "the request is too long to come back to");
}

// False: none of ours.
static bool unseal(const struct auth *auth, struct slice cookie, struct arena *arena,
		   struct federation_attempt *attempt, struct slice *state, int64_t *begun_us)
{
	struct errinfo ignored;
	struct slice sealed, plain;
	const struct json_value *all;
	ms_errinfo_init(&ignored);
	// Of the present master key alone, as with tickets: strangers shall not have the vault read its file.
	if (cookie.n > MS_FEDERATION_COOKIE_MAX || !ms_base64url_decode(cookie, arena, &sealed) ||
	    !ms_vault_is_current(auth->vault->vault, sealed) ||
	    ms_auth_open(auth, CONTEXT, sealed, arena, &ignored, &plain) != MS_OK ||
	    ms_json_parse(plain, NULL, arena, &ignored, &all) != MS_OK)
		return false;
	*attempt = (struct federation_attempt){0};
	ms_sha256(sealed, attempt->hash);
	return ms_json_as_str(ms_json_get(all, "s"), state) && ms_json_as_str(ms_json_get(all, "n"), &attempt->nonce) &&
	       ms_json_as_str(ms_json_get(all, "v"), &attempt->verifier) &&
	       ms_json_as_str(ms_json_get(all, "r"), &attempt->request) &&
	       ms_json_as_str(ms_json_get(all, "d"), &attempt->user_code) &&
	       ms_json_as_str(ms_json_get(all, "l"), &attempt->link_user) &&
	       ms_json_as_i64(ms_json_get(all, "t"), begun_us);
}

enum ms_err ms_federation_open(const struct auth *auth, struct slice cookie, struct slice state, int64_t now_us,
			       struct arena *arena, struct errinfo *info, struct federation_attempt *ret_attempt)
{
	struct slice wanted;
	int64_t begun_us;
	if (cookie.n == 0 || !unseal(auth, cookie, arena, ret_attempt, &wanted, &begun_us))
		return ms_fail(info, MS_ERR_TOKEN_INVALID, "this browser began no sign-in");
	if (state.n == 0 || !ms_equal_constant_time(state, wanted))
		return ms_fail(info, MS_ERR_TOKEN_INVALID,
			       "the state is not that of the sign-in that this browser began");
	if (now_us - begun_us >= LIFE_US || begun_us - now_us >= LIFE_US)
		return ms_fail(info, MS_ERR_TOKEN_EXPIRED, "the sign-in was begun too long ago");
	return MS_OK;
}

enum ms_err ms_federation_spend(struct store_tx *tx, const struct federation_attempt *attempt, struct errinfo *info)
{
	uint64_t changed;
	// Kept for twice its life: clocks of processes differ.
	MS_TRY(ms_store_run(tx, "INSERT INTO spent (hash, expires_us) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING",
			    MS_STORE_PARAMS(ms_store_blob(ms_slice(attempt->hash, MS_SHA256_SIZE)),
					    ms_store_int(ms_store_now_us(tx) + 2 * LIFE_US)),
			    info, &changed));
	return changed == 1 ? MS_OK : ms_fail(info, MS_ERR_TOKEN_INVALID, "this answer of the provider came before");
}

// --- Begin -------------------------------------------------------------------------------------------

void ms_federation_encode(struct buf *out, struct slice text)
{
	static const char digits[] = "0123456789ABCDEF";
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    (c != '\0' && strchr("-._~", c) != NULL)) {
			ms_buf_append_char(out, (char)c);
			continue;
		}
		ms_buf_append_char(out, '%');
		ms_buf_append_char(out, digits[c >> 4]);
		ms_buf_append_char(out, digits[c & 15]);
	}
}

static void append_parameter(struct buf *out, const char *name, struct slice value)
{
	ms_buf_append_cstr(out, name);
	ms_federation_encode(out, value);
}

static enum ms_err locate(const struct federation *f, const struct provider_metadata *metadata,
			  const struct federation_attempt *attempt, struct slice state, struct arena *arena,
			  struct errinfo *info, struct slice *ret_location)
{
	uint8_t digest[MS_SHA256_SIZE];
	struct buf url;
	bool has_query = ms_slice_find(metadata->authorization, '?') < metadata->authorization.n;
	ms_sha256(attempt->verifier, digest);
	ms_buf_init(&url, 8192);
	ms_buf_append_slice(&url, metadata->authorization);
	append_parameter(&url, has_query ? "&response_type=" : "?response_type=", MS_SLICE_LIT("code"));
	append_parameter(&url, "&client_id=", ms_slice_cstr(f->options.client_id));
	append_parameter(&url, "&redirect_uri=", f->redirect_uri);
	append_parameter(&url, "&scope=", f->scope);
	append_parameter(&url, "&state=", state);
	append_parameter(&url, "&nonce=", attempt->nonce);
	append_parameter(&url, "&code_challenge_method=", MS_SLICE_LIT("S256"));
	ms_buf_append_cstr(&url, "&code_challenge=");
	ms_base64url_append(&url, ms_slice(digest, sizeof(digest)));
	*ret_location = ms_buf_ok(&url) ? ms_arena_copy(arena, ms_buf_slice(&url)) : MS_SLICE_EMPTY;
	ms_buf_fini(&url);
	return ret_location->p != NULL ? MS_OK : no_memory(info);
}

enum ms_err ms_federation_begin(struct auth *auth, const struct federation_attempt *asked, struct arena *arena,
				struct errinfo *info, struct slice *ret_cookie, struct slice *ret_location)
{
	struct provider_metadata metadata;
	struct federation_attempt attempt = *asked;
	struct slice state;
	MS_ASSERT(auth->federation != NULL);
	if (asked->request.n > MS_FEDERATION_REQUEST_MAX)
		return ms_fail(info, MS_ERR_LIMIT, "the request is too long to come back to");
	MS_TRY(ms_provider_metadata(auth->federation, arena, info, &metadata));
	MS_TRY(random_text(arena, info, &state));
	MS_TRY(random_text(arena, info, &attempt.nonce));
	MS_TRY(random_text(arena, info, &attempt.verifier));
	MS_TRY(ms_federation_seal(auth, &attempt, state, ms_clock_wall_ns() / 1000, arena, info, ret_cookie));
	return locate(auth->federation, &metadata, &attempt, state, arena, info, ret_location);
}
