// SPDX-License-Identifier: Apache-2.0
// How long a token takes to be verified and signed, next to what OpenSSL takes for the signature alone: the same message and key in the
// same run, taking turns, the best round of each counted. Then passwords and sealed secrets.
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "jose/jose.h"

#define ROUNDS 7
#define ROUND_NS 60000000
#define NOW 1800000000

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench: %s failed\n", what);
	exit(1);
}

typedef void work_fn(void *data);

// Nanoseconds a call, the best of one round more.
static double round_of(work_fn *work, void *data, double best)
{
	unsigned long calls = 0;
	double start = now_ns(), spent;
	do {
		work(data);
		calls++;
		spent = now_ns() - start;
	} while (spent < ROUND_NS);
	double each = spent / (double)calls;
	return best == 0 || each < best ? each : best;
}

struct token_bench {
	enum jose_alg alg;
	struct jose_key *key;
	struct buf token, again;
	struct arena arena;
	struct jwt_policy policy;
	// OpenSSL's side.
	EVP_PKEY *pkey;
	const EVP_MD *md;
	bool pss;
	uint8_t signature[1024], secret[64];
	size_t signature_n;
	struct slice message;
};

static void verify_token(void *data)
{
	struct token_bench *b = data;
	struct jwt_claims claims;
	ms_arena_reset(&b->arena);
	need(ms_jwt_verify(ms_buf_slice(&b->token), (struct jose_keys){&b->key, 1}, &b->policy, &b->arena, NULL,
			   &claims) == MS_OK,
	     "verification");
}

static const char claims_text[] =
	"{\"iss\":\"https://login.example.com/realms/main\",\"aud\":\"https://"
	"api.example.com\",\"sub\":\"5f0c1b9e-2d51-4b0f-9d2c-7a51\","
	"\"exp\":1800003600,\"iat\":1799999990,\"jti\":\"b7a0c6c2f4\",\"scope\":\"models:read predict\"}";

static void sign_token(void *data)
{
	struct token_bench *b = data;
	ms_buf_clear(&b->again);
	need(ms_jws_sign(b->key, MS_SLICE_LIT("at+jwt"), MS_SLICE_LIT(claims_text), NULL, &b->again) == MS_OK,
	     "signing");
}

static void openssl_padding(const struct token_bench *b, EVP_PKEY_CTX *pctx)
{
	if (!b->pss)
		return;
	need(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1,
	     "PSS");
}

static void openssl_verify(void *data)
{
	struct token_bench *b = data;
	const uint8_t *message = (const uint8_t *)b->message.p;
	if (b->pkey == NULL) {
		uint8_t mac[64];
		unsigned n = 0;
		need(HMAC(b->md, b->secret, 64, message, b->message.n, mac, &n) != NULL, "HMAC");
		return;
	}
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	need(EVP_DigestVerifyInit(ctx, &pctx, b->md, NULL, b->pkey) == 1, "OpenSSL");
	openssl_padding(b, pctx);
	need(EVP_DigestVerify(ctx, b->signature, b->signature_n, message, b->message.n) == 1, "OpenSSL's verification");
	EVP_MD_CTX_free(ctx);
}

static void openssl_sign(void *data)
{
	struct token_bench *b = data;
	if (b->pkey == NULL) {
		openssl_verify(data);
		return;
	}
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	need(EVP_DigestSignInit(ctx, &pctx, b->md, NULL, b->pkey) == 1, "OpenSSL");
	openssl_padding(b, pctx);
	b->signature_n = sizeof(b->signature);
	need(EVP_DigestSign(ctx, b->signature, &b->signature_n, (const uint8_t *)b->message.p, b->message.n) == 1,
	     "OpenSSL's signing");
	EVP_MD_CTX_free(ctx);
}

// The same key for both sides, by way of a PEM text.
static void make_keys(struct token_bench *b)
{
	static const enum crypto_key_kind kinds[] = {
		[JOSE_RS256] = CRYPTO_RSA,  [JOSE_PS256] = CRYPTO_RSA,  [JOSE_ES256] = CRYPTO_P256,
		[JOSE_ES384] = CRYPTO_P384, [JOSE_ES512] = CRYPTO_P521, [JOSE_ED25519] = CRYPTO_ED25519,
	};
	b->md = b->alg == JOSE_ES384 ? EVP_sha384() : b->alg == JOSE_ES512 ? EVP_sha512() : EVP_sha256();
	b->pss = b->alg == JOSE_PS256;
	if (b->alg == JOSE_HS256) {
		need(ms_jose_key_hmac(b->alg, ms_slice(b->secret, 64), MS_SLICE_LIT("2026-11"), NULL, &b->key) == MS_OK,
		     "the key");
		return;
	}
	struct crypto_key *key;
	struct buf pem;
	ms_buf_init(&pem, 65536);
	need(ms_crypto_key_generate(kinds[b->alg], 2048, &key) == MS_OK &&
		     ms_crypto_key_to_pem(key, true, &pem) == MS_OK,
	     "the key");
	need(ms_jose_key_parse_pem(ms_buf_slice(&pem), b->alg, MS_SLICE_LIT("2026-11"), NULL, &b->key) == MS_OK,
	     "the key");
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	b->pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	need(b->pkey != NULL, "OpenSSL's key");
	BIO_free(bio);
	if (b->alg == JOSE_ED25519)
		b->md = NULL;
	ms_buf_fini(&pem);
	ms_crypto_key_unref(key);
}

static void bench_token(enum jose_alg alg)
{
	struct token_bench b = {.alg = alg,
				.policy = {.issuer = MS_SLICE_LIT("https://login.example.com/realms/main"),
					   .audience = MS_SLICE_LIT("https://api.example.com"),
					   .typ = MS_SLICE_LIT("at+jwt"),
					   .now_s = NOW,
					   .skew_s = 30,
					   .needs_expiry = true,
					   .needs_subject = true}};
	ms_arena_init(&b.arena, 8192, 1 << 20);
	ms_buf_init(&b.token, MS_JWS_MAX);
	ms_buf_init(&b.again, MS_JWS_MAX);
	make_keys(&b);
	need(ms_jws_sign(b.key, MS_SLICE_LIT("at+jwt"), MS_SLICE_LIT(claims_text), NULL, &b.token) == MS_OK, "signing");
	b.message = ms_slice(b.token.p, (size_t)((char *)memrchr(b.token.p, '.', b.token.n) - b.token.p));
	openssl_sign(&b);
	double best[4] = {0};
	for (int i = 0; i < ROUNDS; i++) {
		best[0] = round_of(verify_token, &b, best[0]);
		best[1] = round_of(openssl_verify, &b, best[1]);
		best[2] = round_of(sign_token, &b, best[2]);
		best[3] = round_of(openssl_sign, &b, best[3]);
	}
	printf("%-6s %5zu %12.2f %12.2f %8.2f %12.2f %12.2f %8.2f\n", ms_jose_alg_name(alg), b.token.n, best[0] / 1e3,
	       best[1] / 1e3, best[0] / best[1], best[2] / 1e3, best[3] / 1e3, best[2] / best[3]);
	EVP_PKEY_free(b.pkey);
	ms_jose_key_unref(b.key);
	ms_buf_fini(&b.token);
	ms_buf_fini(&b.again);
	ms_arena_fini(&b.arena);
}

static void hash_password(void *data)
{
	struct buf *phc = data;
	static const uint8_t salt[MS_PASSWORD_SALT_SIZE] = {1};
	ms_buf_clear(phc);
	need(ms_password_hash(MS_SLICE_LIT("correct horse"), &MS_PASSWORD_COST_DEFAULT, salt, NULL, phc) == MS_OK,
	     "hashing");
}

static void seal(void *data)
{
	struct buf *box = data;
	static const uint8_t key[MS_BOX_KEY_SIZE] = {1}, nonce[MS_BOX_NONCE_SIZE] = {2};
	ms_buf_clear(box);
	ms_box_seal(key, nonce, MS_SLICE_LIT("totp of user 7"), MS_SLICE_LIT("12345678901234567890"), box);
}

int main(void)
{
	static const enum jose_alg algs[] = {JOSE_HS256, JOSE_ED25519, JOSE_ES256, JOSE_ES384,
					     JOSE_ES512, JOSE_RS256,   JOSE_PS256};
	printf("microseconds a token, claims checked; OpenSSL: the signature of the same bytes alone\n");
	printf("%-6s %5s %12s %12s %8s %12s %12s %8s\n", "alg", "bytes", "verify", "OpenSSL", "ratio", "sign",
	       "OpenSSL", "ratio");
	for (size_t i = 0; i < MS_ARRAY_LEN(algs); i++)
		bench_token(algs[i]);
	struct buf out;
	ms_buf_init(&out, 4096);
	double password = 0, box = 0;
	for (int i = 0; i < ROUNDS; i++) {
		password = round_of(hash_password, &out, password);
		box = round_of(seal, &out, box);
	}
	ms_buf_fini(&out);
	printf("argon2id m=19456,t=2,p=1: %.1f ms a password\nsealing 20 bytes: %.2f us\n", password / 1e6, box / 1e3);
	return 0;
}
