// SPDX-License-Identifier: Apache-2.0
// Scopes (RFC 6749, section 3.3): words of OpenID Connect, and grants.
#include "auth/grants.h"
#include "auth/oauth.h"

#define WORDS_MAX (MS_GRANTS_MAX + 8)

const char *const ms_oauth_own_scopes[] = {MS_OAUTH_OPENID, "profile", "email", MS_OAUTH_OFFLINE, NULL};

bool ms_oauth_scope_is_own(struct slice word)
{
	for (size_t i = 0; ms_oauth_own_scopes[i] != NULL; i++) {
		if (ms_slice_eq_cstr(word, ms_oauth_own_scopes[i]))
			return true;
	}
	return false;
}

static bool next_word(struct slice *rest, struct slice *ret_word)
{
	while (ms_slice_next(rest, ' ', ret_word)) {
		if (ret_word->n > 0)
			return true;
	}
	return false;
}

static bool has_word(struct slice scope, struct slice word)
{
	struct slice one;
	while (next_word(&scope, &one)) {
		if (ms_slice_eq(one, word))
			return true;
	}
	return false;
}

bool ms_oauth_scope_has(struct slice scope, const char *word)
{
	return has_word(scope, ms_slice_cstr(word));
}

// What may stand in a scope-token: printable, no space, quote or backslash.
static bool is_token(struct slice word)
{
	for (size_t i = 0; i < word.n; i++) {
		char c = word.p[i];
		if (c <= 0x20 || c >= 0x7f || c == '"' || c == '\\')
			return false;
	}
	return true;
}

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

enum ms_err ms_oauth_scope_read(struct slice text, struct arena *arena, struct errinfo *info, struct slice *ret_scope)
{
	struct slice word, rest = text;
	const struct grants *ignored;
	size_t n = 0, count = 0;
	if (text.n > MS_OAUTH_SCOPE_MAX)
		return ms_fail(info, MS_ERR_INVALID, "the scope has more than %d bytes", MS_OAUTH_SCOPE_MAX);
	char *out = ms_arena_alloc(arena, text.n + 1);
	if (out == NULL)
		return no_memory(info);
	while (next_word(&rest, &word)) {
		if (has_word(ms_slice(out, n), word))
			continue;
		if (++count > WORDS_MAX)
			return ms_fail(info, MS_ERR_INVALID, "the scope has more than %d words", WORDS_MAX);
		if (!is_token(word))
			return ms_fail(info, MS_ERR_INVALID, "the scope holds characters that may not stand there");
		if (!ms_oauth_scope_is_own(word))
			MS_TRY(ms_grants_parse(&word, 1, arena, info, &ignored));
		if (n > 0)
			out[n++] = ' ';
		memcpy(out + n, word.p, word.n);
		n += word.n;
	}
	out[n] = '\0';
	*ret_scope = ms_slice(out, n);
	return MS_OK;
}

enum ms_err ms_oauth_scope_grants(struct slice scope, struct arena *arena, struct errinfo *info,
				  const struct grants **ret_grants)
{
	struct slice word, words[WORDS_MAX];
	size_t count = 0;
	while (next_word(&scope, &word)) {
		if (!ms_oauth_scope_is_own(word) && count < WORDS_MAX)
			words[count++] = word;
	}
	return ms_grants_parse(words, count, arena, info, ret_grants);
}

enum ms_err ms_oauth_scope_within(struct slice inner, struct slice outer, struct arena *arena, struct errinfo *info,
				  bool *ret_within)
{
	const struct grants *asked, *allowed;
	struct slice word, rest = inner;
	*ret_within = true;
	while (next_word(&rest, &word)) {
		if (ms_oauth_scope_is_own(word))
			*ret_within = *ret_within && has_word(outer, word);
	}
	MS_TRY(ms_oauth_scope_grants(inner, arena, info, &asked));
	MS_TRY(ms_oauth_scope_grants(outer, arena, info, &allowed));
	*ret_within = *ret_within && ms_grants_within(asked, allowed);
	return MS_OK;
}

static enum ms_err is_void(struct slice word, const struct grants *limit, struct arena *arena, struct errinfo *info,
			   bool *ret_void)
{
	const struct grants *one, *both;
	MS_TRY(ms_grants_parse(&word, 1, arena, info, &one));
	MS_TRY(ms_grants_intersect(one, limit, arena, info, &both));
	*ret_void = ms_grants_count(both) == 0;
	return MS_OK;
}

// `limit` NULL: the grants all stay, and the words of OpenID Connect go.
static enum ms_err filter(struct slice scope, const struct grants *limit, struct arena *arena, struct errinfo *info,
			  struct slice *ret_scope)
{
	struct slice word;
	size_t n = 0;
	char *out = ms_arena_alloc(arena, scope.n + 1);
	if (out == NULL)
		return no_memory(info);
	while (next_word(&scope, &word)) {
		bool own = ms_oauth_scope_is_own(word), dropped = own && limit == NULL;
		if (!own && limit != NULL)
			MS_TRY(is_void(word, limit, arena, info, &dropped));
		if (dropped)
			continue;
		if (n > 0)
			out[n++] = ' ';
		memcpy(out + n, word.p, word.n);
		n += word.n;
	}
	out[n] = '\0';
	*ret_scope = ms_slice(out, n);
	return MS_OK;
}

enum ms_err ms_oauth_scope_narrow(struct slice scope, const struct grants *limit, struct arena *arena,
				  struct errinfo *info, struct slice *ret_scope)
{
	MS_ASSERT(limit != NULL);
	return filter(scope, limit, arena, info, ret_scope);
}

enum ms_err ms_oauth_scope_plain(struct slice scope, struct arena *arena, struct errinfo *info, struct slice *ret_scope)
{
	return filter(scope, NULL, arena, info, ret_scope);
}
