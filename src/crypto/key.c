// SPDX-License-Identifier: Apache-2.0
// Asymmetric keys. There is one way in: the numbers, all of them checked. A PEM file is read by OpenSSL and its numbers
// then taken the same way.
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "crypto/internal.h"

#define PEM_MAX ((size_t)64 << 10)

static const struct {
	const char *type;  // as OpenSSL calls it
	const char *group; // EC
	const char *alias; // what it answers for the group
	const char *name;  // in messages
	uint16_t bits;
	uint16_t field;     // bytes of a coordinate and of the private number
	uint16_t signature; // bytes
} kinds[] = {
	[CRYPTO_RSA] = {"RSA", NULL, NULL, "RSA", 0, 0, 0},
	[CRYPTO_P256] = {"EC", "P-256", "prime256v1", "P-256", 256, 32, 64},
	[CRYPTO_P384] = {"EC", "P-384", "secp384r1", "P-384", 384, 48, 96},
	[CRYPTO_P521] = {"EC", "P-521", "secp521r1", "P-521", 521, 66, 132},
	[CRYPTO_ED25519] = {"ED25519", NULL, NULL, "Ed25519", 256, 32, 64},
	[CRYPTO_X25519] = {"X25519", NULL, NULL, "X25519", 256, 32, 0},
};

static bool is_ec(enum crypto_key_kind kind)
{
	return kinds[kind].group != NULL;
}

size_t ms_crypto_field_size(enum crypto_key_kind kind)
{
	return kinds[kind].field;
}

struct crypto_key *ms_crypto_key_ref(struct crypto_key *key)
{
	atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
	return key;
}

void ms_crypto_key_unref(struct crypto_key *key)
{
	if (key == NULL || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) != 1)
		return;
	EVP_PKEY_free(key->pkey); // clears the private numbers
	free(key);
}

enum crypto_key_kind ms_crypto_key_kind(const struct crypto_key *key)
{
	return key->kind;
}

bool ms_crypto_key_is_private(const struct crypto_key *key)
{
	return key->is_private;
}

size_t ms_crypto_key_bits(const struct crypto_key *key)
{
	return key->bits;
}

size_t ms_crypto_key_signature_size(const struct crypto_key *key)
{
	return key->kind == CRYPTO_RSA ? (key->bits + 7) / 8 : kinds[key->kind].signature;
}

// Takes the pkey, also when it fails.
static enum ms_err wrap(EVP_PKEY *pkey, enum crypto_key_kind kind, bool is_private, struct crypto_key **ret_key)
{
	struct crypto_key *key = calloc(1, sizeof(*key));
	if (key == NULL) {
		EVP_PKEY_free(pkey);
		return MS_ERR_NO_MEMORY;
	}
	*key = (struct crypto_key){.refs = 1, .kind = kind, .is_private = is_private, .pkey = pkey};
	key->bits = kind == CRYPTO_RSA ? (size_t)EVP_PKEY_get_bits(pkey) : kinds[kind].bits;
	*ret_key = key;
	return MS_OK;
}

// --- From numbers ---

// The numbers of one key on their way to OpenSSL, cleared at the end.
struct builder {
	OSSL_PARAM_BLD *bld;
	BIGNUM *numbers[8];
	size_t count;
	bool failed;
};

static BIGNUM *builder_number(struct builder *b, struct slice bytes)
{
	BIGNUM *number = bytes.n <= MS_RSA_MAX_BITS / 8 + 1 ? BN_bin2bn(ms_bytes(bytes), (int)bytes.n, NULL) : NULL;
	if (number == NULL || b->count == MS_ARRAY_LEN(b->numbers)) {
		BN_free(number);
		b->failed = true;
		return NULL;
	}
	b->numbers[b->count++] = number;
	return number;
}

static void builder_push(struct builder *b, const char *name, struct slice bytes)
{
	BIGNUM *number = builder_number(b, bytes);
	b->failed = b->failed || !OSSL_PARAM_BLD_push_BN(b->bld, name, number);
}

static EVP_PKEY *builder_finish(struct builder *b, const char *type, bool is_private)
{
	OSSL_PARAM *params = b->failed ? NULL : OSSL_PARAM_BLD_to_param(b->bld);
	EVP_PKEY_CTX *ctx = params != NULL ? EVP_PKEY_CTX_new_from_name(NULL, type, NULL) : NULL;
	EVP_PKEY *pkey = NULL;
	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &pkey, is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b->bld);
	for (size_t i = 0; i < b->count; i++)
		BN_clear_free(b->numbers[i]);
	return pkey;
}

// OpenSSL's own checks: the point lies on its curve and is of its order; private and public belong together.
static bool is_consistent(EVP_PKEY *pkey, bool is_private)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	bool ok = ctx != NULL && (EVP_PKEY_is_a(pkey, "RSA") || EVP_PKEY_public_check(ctx) == 1) &&
		  (!is_private || EVP_PKEY_pairwise_check(ctx) == 1);
	EVP_PKEY_CTX_free(ctx);
	return ok;
}

// Takes the pkey.
static enum ms_err wrap_checked(EVP_PKEY *pkey, enum crypto_key_kind kind, bool is_private, struct errinfo *info,
				struct crypto_key **ret_key)
{
	bool ok = pkey != NULL && is_consistent(pkey, is_private);
	ERR_clear_error();
	if (!ok) {
		EVP_PKEY_free(pkey);
		return ms_fail(info, MS_ERR_INVALID, "the numbers of this %s key do not belong together",
			       kinds[kind].name);
	}
	return wrap(pkey, kind, is_private, ret_key);
}

// Keys of one faulty generator (CVE-2017-15361, "ROCA") can be factored. Their moduli are powers of 65537 modulo each of
// these primes; of other moduli one in some 2^27 is.
static bool is_roca(const BIGNUM *n)
{
	static const uint8_t primes[] = {11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157};
	for (size_t i = 0; i < sizeof(primes); i++) {
		unsigned want = (unsigned)BN_mod_word(n, primes[i]), power = 1;
		bool found = false;
		for (unsigned k = 0; k < primes[i] && !found; k++) {
			found = power == want;
			power = power * (65537 % primes[i]) % primes[i];
		}
		if (!found)
			return false;
	}
	return true;
}

static enum ms_err check_rsa(const struct crypto_key_params *params, struct errinfo *info)
{
	if (params->n.n > MS_RSA_MAX_BITS / 8 || params->e.n > MS_RSA_MAX_BITS / 8)
		return ms_fail(info, MS_ERR_INVALID, "an RSA key has at most %d bits", MS_RSA_MAX_BITS);
	BIGNUM *n = BN_bin2bn(ms_bytes(params->n), (int)params->n.n, NULL);
	BIGNUM *e = BN_bin2bn(ms_bytes(params->e), (int)params->e.n, NULL);
	enum ms_err err = MS_OK;
	if (n == NULL || e == NULL)
		err = MS_ERR_NO_MEMORY;
	else if (BN_num_bits(n) < MS_RSA_MIN_BITS)
		err = ms_fail(info, MS_ERR_INVALID, "an RSA key has at least %d bits, not %d", MS_RSA_MIN_BITS,
			      BN_num_bits(n));
	else if (!BN_is_odd(n))
		err = ms_fail(info, MS_ERR_INVALID, "the modulus of an RSA key is odd");
	else if (!BN_is_odd(e) || BN_num_bits(e) < 17 || BN_num_bits(e) > 64)
		err = ms_fail(info, MS_ERR_INVALID,
			      "the public exponent of an RSA key is odd, at least 65537 and at most 64 bits long");
	else if (is_roca(n))
		err = ms_fail(info, MS_ERR_INVALID,
			      "this RSA key comes from a faulty generator (CVE-2017-15361); make a new one");
	BN_free(n);
	BN_free(e);
	return err;
}

static enum ms_err rsa_from_params(const struct crypto_key_params *params, struct errinfo *info,
				   struct crypto_key **ret_key)
{
	MS_TRY(check_rsa(params, info));
	bool is_private = params->d.n > 0;
	const struct {
		const char *name;
		struct slice bytes;
	} numbers[] = {
		{OSSL_PKEY_PARAM_RSA_N, params->n},          {OSSL_PKEY_PARAM_RSA_E, params->e},
		{OSSL_PKEY_PARAM_RSA_D, params->d},          {OSSL_PKEY_PARAM_RSA_FACTOR1, params->p},
		{OSSL_PKEY_PARAM_RSA_FACTOR2, params->q},    {OSSL_PKEY_PARAM_RSA_EXPONENT1, params->dp},
		{OSSL_PKEY_PARAM_RSA_EXPONENT2, params->dq}, {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, params->qi},
	};
	size_t count = is_private ? MS_ARRAY_LEN(numbers) : 2;
	for (size_t i = 2; i < count; i++) {
		if (numbers[i].bytes.n == 0 || numbers[i].bytes.n > params->n.n)
			return ms_fail(info, MS_ERR_INVALID, "a private RSA key has d, p, q, dp, dq and qi");
	}
	struct builder b = {.bld = OSSL_PARAM_BLD_new()};
	if (b.bld == NULL)
		return MS_ERR_NO_MEMORY;
	for (size_t i = 0; i < count; i++)
		builder_push(&b, numbers[i].name, numbers[i].bytes);
	return wrap_checked(builder_finish(&b, "RSA", is_private), CRYPTO_RSA, is_private, info, ret_key);
}

static enum ms_err ec_from_params(enum crypto_key_kind kind, const struct crypto_key_params *params,
				  struct errinfo *info, struct crypto_key **ret_key)
{
	size_t size = kinds[kind].field;
	bool is_private = params->d.n > 0;
	if (params->x.n != size || params->y.n != size || (is_private && params->d.n != size))
		return ms_fail(info, MS_ERR_INVALID, "the numbers of a %s key have %zu bytes each", kinds[kind].name,
			       size);
	uint8_t point[1 + 2 * MS_AGREED_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
	memcpy(point + 1, params->x.p, size);
	memcpy(point + 1 + size, params->y.p, size);
	struct builder b = {.bld = OSSL_PARAM_BLD_new()};
	if (b.bld == NULL)
		return MS_ERR_NO_MEMORY;
	b.failed = !OSSL_PARAM_BLD_push_utf8_string(b.bld, OSSL_PKEY_PARAM_GROUP_NAME, kinds[kind].group, 0) ||
		   !OSSL_PARAM_BLD_push_octet_string(b.bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * size);
	if (is_private)
		builder_push(&b, OSSL_PKEY_PARAM_PRIV_KEY, params->d);
	return wrap_checked(builder_finish(&b, "EC", is_private), kind, is_private, info, ret_key);
}

// Ed25519 and X25519: the private key makes the public one, which must then be that which was given.
static enum ms_err okp_from_params(enum crypto_key_kind kind, const struct crypto_key_params *params,
				   struct errinfo *info, struct crypto_key **ret_key)
{
	size_t size = kinds[kind].field;
	bool is_private = params->d.n > 0;
	if (params->x.n != size || (is_private && params->d.n != size))
		return ms_fail(info, MS_ERR_INVALID, "the numbers of an %s key have %zu bytes each", kinds[kind].name,
			       size);
	EVP_PKEY *pkey = is_private ? EVP_PKEY_new_raw_private_key_ex(NULL, kinds[kind].type, NULL,
								      (const uint8_t *)params->d.p, size)
				    : EVP_PKEY_new_raw_public_key_ex(NULL, kinds[kind].type, NULL,
								     (const uint8_t *)params->x.p, size);
	uint8_t x[32];
	size_t n = sizeof(x);
	bool ok =
		pkey != NULL && EVP_PKEY_get_raw_public_key(pkey, x, &n) == 1 && ms_slice_eq(ms_slice(x, n), params->x);
	ERR_clear_error();
	if (!ok) {
		EVP_PKEY_free(pkey);
		return ms_fail(info, MS_ERR_INVALID, "the numbers of this %s key do not belong together",
			       kinds[kind].name);
	}
	return wrap(pkey, kind, is_private, ret_key);
}

enum ms_err ms_crypto_key_from_params(enum crypto_key_kind kind, const struct crypto_key_params *params,
				      struct errinfo *info, struct crypto_key **ret_key)
{
	if (kind == CRYPTO_RSA)
		return rsa_from_params(params, info, ret_key);
	return is_ec(kind) ? ec_from_params(kind, params, info, ret_key) : okp_from_params(kind, params, info, ret_key);
}

// --- To numbers ---

// `size` 0: as long as the number is.
static bool number_of(const EVP_PKEY *pkey, const char *name, size_t size, struct arena *arena, struct slice *ret_bytes)
{
	BIGNUM *number = NULL;
	if (EVP_PKEY_get_bn_param(pkey, name, &number) != 1)
		return false;
	if (size == 0)
		size = (size_t)BN_num_bytes(number);
	uint8_t *bytes = ms_arena_alloc(arena, size);
	bool ok = bytes != NULL && BN_bn2binpad(number, bytes, (int)size) == (int)size;
	BN_clear_free(number);
	if (ok)
		*ret_bytes = ms_slice(bytes, size);
	return ok;
}

static bool okp_numbers(const EVP_PKEY *pkey, bool with_private, struct arena *arena, struct crypto_key_params *params)
{
	size_t n = 32;
	uint8_t *x = ms_arena_alloc(arena, n), *d = ms_arena_alloc(arena, n);
	if (x == NULL || d == NULL || EVP_PKEY_get_raw_public_key(pkey, x, &n) != 1)
		return false;
	params->x = ms_slice(x, n);
	if (with_private) {
		if (EVP_PKEY_get_raw_private_key(pkey, d, &n) != 1)
			return false;
		params->d = ms_slice(d, n);
	}
	return true;
}

static bool numbers_of(const EVP_PKEY *pkey, enum crypto_key_kind kind, bool with_private, struct arena *arena,
		       struct crypto_key_params *params)
{
	size_t size = kinds[kind].field;
	if (is_ec(kind))
		return number_of(pkey, OSSL_PKEY_PARAM_EC_PUB_X, size, arena, &params->x) &&
		       number_of(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, size, arena, &params->y) &&
		       (!with_private || number_of(pkey, OSSL_PKEY_PARAM_PRIV_KEY, size, arena, &params->d));
	if (kind != CRYPTO_RSA)
		return okp_numbers(pkey, with_private, arena, params);
	return number_of(pkey, OSSL_PKEY_PARAM_RSA_N, 0, arena, &params->n) &&
	       number_of(pkey, OSSL_PKEY_PARAM_RSA_E, 0, arena, &params->e) &&
	       (!with_private || (number_of(pkey, OSSL_PKEY_PARAM_RSA_D, 0, arena, &params->d) &&
				  number_of(pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, 0, arena, &params->p) &&
				  number_of(pkey, OSSL_PKEY_PARAM_RSA_FACTOR2, 0, arena, &params->q) &&
				  number_of(pkey, OSSL_PKEY_PARAM_RSA_EXPONENT1, 0, arena, &params->dp) &&
				  number_of(pkey, OSSL_PKEY_PARAM_RSA_EXPONENT2, 0, arena, &params->dq) &&
				  number_of(pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, 0, arena, &params->qi)));
}

enum ms_err ms_crypto_key_to_params(const struct crypto_key *key, bool with_private, struct arena *arena,
				    struct crypto_key_params *ret_params)
{
	MS_ASSERT(!with_private || key->is_private);
	struct crypto_key_params params = {0};
	if (!numbers_of(key->pkey, key->kind, with_private, arena, &params))
		return MS_ERR_NO_MEMORY; // the arena's or OpenSSL's
	*ret_params = params;
	return MS_OK;
}

// --- PEM ---

static bool kind_of(const EVP_PKEY *pkey, enum crypto_key_kind *ret_kind)
{
	char group[64] = "";
	bool ec = EVP_PKEY_is_a(pkey, "EC");
	// A curve spelled out in numbers is refused, also where it is a known one.
	int is_explicit = 0;
	if (ec && (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1 ||
		   EVP_PKEY_get_int_param(pkey, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &is_explicit) != 1 ||
		   is_explicit))
		return false;
	for (size_t i = 0; i < MS_ARRAY_LEN(kinds); i++) {
		if (EVP_PKEY_is_a(pkey, kinds[i].type) && (!ec || strcmp(group, kinds[i].alias) == 0)) {
			*ret_kind = (enum crypto_key_kind)i;
			return true;
		}
	}
	return false;
}

// The one block of the text, decoded by OpenSSL; NULL when it is none of those that are read here.
static EVP_PKEY *read_pem(struct slice pem, bool *ret_private)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	long n = 0;
	EVP_PKEY *pkey = NULL;
	if (bio != NULL && PEM_read_bio(bio, &name, &header, &der, &n) == 1 && header[0] == '\0') {
		const unsigned char *at = der;
		*ret_private = strcmp(name, PEM_STRING_PKCS8INF) == 0;
		if (*ret_private)
			pkey = d2i_AutoPrivateKey(NULL, &at, n);
		else if (strcmp(name, PEM_STRING_PUBLIC) == 0)
			pkey = d2i_PUBKEY(NULL, &at, n);
		if (at != der + n) { // bytes behind the key
			EVP_PKEY_free(pkey);
			pkey = NULL;
		}
	}
	OPENSSL_clear_free(der, n > 0 ? (size_t)n : 0);
	OPENSSL_free(name);
	OPENSSL_free(header);
	BIO_free(bio);
	ERR_clear_error();
	return pkey;
}

enum ms_err ms_crypto_key_from_pem(struct slice pem, struct errinfo *info, struct crypto_key **ret_key)
{
	if (pem.n == 0 || pem.n > PEM_MAX)
		return ms_fail(info, MS_ERR_INVALID, "a PEM key has 1 to %zu bytes", PEM_MAX);
	bool is_private = false;
	EVP_PKEY *pkey = read_pem(pem, &is_private);
	if (pkey == NULL)
		return ms_fail(
			info, MS_ERR_INVALID,
			"no PEM block \"PUBLIC KEY\" or unencrypted \"PRIVATE KEY\" (openssl pkey converts others)");
	enum crypto_key_kind kind = CRYPTO_RSA;
	struct crypto_key_params params = {0};
	struct arena arena;
	ms_arena_init(&arena, 8192, (size_t)64 << 10);
	enum ms_err err = MS_OK;
	if (!kind_of(pkey, &kind) || (kind == CRYPTO_RSA && EVP_PKEY_get_bits(pkey) > MS_RSA_MAX_BITS))
		err = ms_fail(info, MS_ERR_INVALID,
			      "a key is RSA of 2048 to 8192 bits, P-256, P-384, P-521, Ed25519 or X25519");
	else if (!numbers_of(pkey, kind, is_private, &arena, &params))
		err = ms_fail(info, MS_ERR_INVALID, "a PEM key without all of its numbers");
	EVP_PKEY_free(pkey);
	if (err == MS_OK)
		err = ms_crypto_key_from_params(kind, &params, info, ret_key);
	const struct slice secrets[] = {params.d, params.p, params.q, params.dp, params.dq, params.qi};
	for (size_t i = 0; i < MS_ARRAY_LEN(secrets); i++)
		ms_wipe((void *)(uintptr_t)secrets[i].p, secrets[i].n);
	ms_arena_fini(&arena);
	return err;
}

enum ms_err ms_crypto_key_to_pem(const struct crypto_key *key, bool with_private, struct buf *out)
{
	MS_ASSERT(!with_private || key->is_private);
	BIO *bio = BIO_new(BIO_s_secmem());
	bool ok =
		bio != NULL && (with_private ? PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL)
					     : PEM_write_bio_PUBKEY(bio, key->pkey)) == 1;
	if (ok) {
		char *text = NULL;
		long n = BIO_get_mem_data(bio, &text);
		ms_buf_append(out, text, (size_t)n);
	}
	BIO_free(bio);
	ERR_clear_error();
	return ok && ms_buf_ok(out) ? MS_OK : MS_ERR_NO_MEMORY;
}

enum ms_err ms_crypto_key_generate(enum crypto_key_kind kind, unsigned bits, struct crypto_key **ret_key)
{
	EVP_PKEY *pkey;
	if (kind == CRYPTO_RSA) {
		MS_ASSERT(bits >= MS_RSA_MIN_BITS && bits <= MS_RSA_MAX_BITS && bits % 8 == 0);
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
	} else if (is_ec(kind)) {
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", kinds[kind].group);
	} else {
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, kinds[kind].type);
	}
	ERR_clear_error();
	return pkey == NULL ? MS_ERR_NO_MEMORY : wrap(pkey, kind, true, ret_key);
}
