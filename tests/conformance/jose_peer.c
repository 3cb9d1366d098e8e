// SPDX-License-Identifier: Apache-2.0
// The jose module as a program for tests against others: a JSON object a line on standard input, an answer a line on standard output,
// "ok RESULT" or "error WHY". jose_interop.mjs talks to it.
//   {"do":"verify","jwk":…,"token":…} or {"do":"verify","pem":…,"alg":…,"token":…}   the payload, base64url
//   {"do":"sign","jwk":…,"payload":…}                                               the token
//   {"do":"generate","alg":…}                                                       a private JWK
//   {"do":"decrypt","jwk":…,"token":…}                                              the plaintext, base64url
#include <stdio.h>
#include <stdlib.h>

#include "jose/jose.h"

#define MEMORY ((size_t)16 << 20)

struct call {
	const struct json_value *request;
	struct arena arena;
	struct errinfo info;
	struct buf out;
};

static struct slice text_of(const struct call *call, const char *member)
{
	struct slice text = MS_SLICE_EMPTY;
	MS_IGNORE(!ms_json_as_str(ms_json_get(call->request, member), &text));
	return text;
}

// The JSON text of a member.
static struct slice json_of(struct call *call, const char *member)
{
	const struct json_value *value = ms_json_get(call->request, member);
	struct buf text;
	struct json_writer w;
	ms_buf_init(&text, MEMORY);
	ms_json_writer_init(&w, &text);
	if (value != NULL)
		ms_json_value(&w, value);
	struct slice copy = ms_arena_copy(&call->arena, ms_buf_slice(&text));
	ms_buf_fini(&text);
	return copy;
}

static enum ms_err read_key(struct call *call, struct jose_key **ret_key)
{
	struct slice pem = text_of(call, "pem");
	enum jose_alg alg;
	if (pem.p == NULL)
		return ms_jose_key_parse(json_of(call, "jwk"), JOSE_ALG_COUNT, &call->info, ret_key);
	if (!ms_jose_alg_find(text_of(call, "alg"), &alg))
		return ms_fail(&call->info, MS_ERR_INVALID, "no such algorithm");
	return ms_jose_key_parse_pem(pem, alg, MS_SLICE_EMPTY, &call->info, ret_key);
}

static enum ms_err verify(struct call *call)
{
	struct jose_key *key = NULL;
	struct jws jws;
	MS_TRY(read_key(call, &key));
	enum ms_err err =
		ms_jws_verify(text_of(call, "token"), (struct jose_keys){&key, 1}, &call->arena, &call->info, &jws);
	ms_jose_key_unref(key);
	if (err == MS_OK)
		ms_base64url_append(&call->out, jws.payload);
	return err;
}

static enum ms_err sign(struct call *call)
{
	struct jose_key *key = NULL;
	MS_TRY(read_key(call, &key));
	enum ms_err err = ms_jws_sign(key, MS_SLICE_LIT("JWT"), text_of(call, "payload"), &call->info, &call->out);
	ms_jose_key_unref(key);
	return err;
}

static enum ms_err generate(struct call *call)
{
	struct jose_key *key = NULL;
	enum jose_alg alg;
	if (!ms_jose_alg_find(text_of(call, "alg"), &alg) || alg <= JOSE_HS512)
		return ms_fail(&call->info, MS_ERR_INVALID, "no such algorithm");
	MS_TRY(ms_jose_key_generate(alg, &call->info, &key));
	ms_jose_key_write(key, true, &call->out);
	ms_jose_key_unref(key);
	return MS_OK;
}

static enum ms_err decrypt(struct call *call)
{
	struct jwe_key *key = NULL;
	struct jwe jwe;
	MS_TRY(ms_jwe_key_parse(json_of(call, "jwk"), JWE_ALG_COUNT, &call->info, &key));
	const struct jwe_key *keys[] = {key};
	enum ms_err err = ms_jwe_open(text_of(call, "token"), keys, 1, &call->arena, &call->info, &jwe);
	ms_jwe_key_free(key);
	if (err == MS_OK)
		ms_base64url_append(&call->out, jwe.plaintext);
	return err;
}

static enum ms_err answer(struct call *call, struct slice line)
{
	static const struct {
		const char *name;
		enum ms_err (*run)(struct call *call);
	} verbs[] = {{"verify", verify}, {"sign", sign}, {"generate", generate}, {"decrypt", decrypt}};
	MS_TRY(ms_json_parse(line, NULL, &call->arena, &call->info, &call->request));
	for (size_t i = 0; i < MS_ARRAY_LEN(verbs); i++) {
		if (ms_slice_eq_cstr(text_of(call, "do"), verbs[i].name))
			return verbs[i].run(call);
	}
	return ms_fail(&call->info, MS_ERR_INVALID, "no such verb");
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	while ((n = getline(&line, &size, stdin)) > 0) {
		struct call call = {0};
		ms_errinfo_init(&call.info);
		ms_arena_init(&call.arena, 65536, MEMORY);
		ms_buf_init(&call.out, MEMORY);
		enum ms_err err = answer(&call, ms_slice(line, (size_t)n));
		if (err == MS_OK && ms_buf_ok(&call.out))
			printf("ok %.*s\n", (int)call.out.n, call.out.p);
		else
			printf("error %s\n", call.info.message);
		ms_buf_fini(&call.out);
		ms_arena_fini(&call.arena);
	}
	free(line);
	return ferror(stdin) || ferror(stdout);
}
