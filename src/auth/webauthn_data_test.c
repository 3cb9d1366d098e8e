// SPDX-License-Identifier: Apache-2.0
// Keys and authenticator data made here from known parts; then each with one thing wrong.
#include <stdio.h>

#include "auth/webauthn_data.h"
#include "tests/lib/test.h"

// --- A writer of the CBOR that is needed --------------------------------------------------------------

static void put_head(struct buf *out, unsigned major, size_t n)
{
	if (n < 24)
		ms_buf_append_char(out, (char)(major << 5 | n));
	else if (n < 256) {
		ms_buf_append_char(out, (char)(major << 5 | 24));
		ms_buf_append_char(out, (char)n);
	} else {
		ms_buf_append_char(out, (char)(major << 5 | 25));
		ms_buf_append_char(out, (char)(n >> 8));
		ms_buf_append_char(out, (char)n);
	}
}

static void put_int(struct buf *out, int64_t n)
{
	put_head(out, n < 0 ? 1 : 0, (size_t)(n < 0 ? -1 - n : n));
}

static void put_bytes(struct buf *out, int64_t label, struct slice bytes)
{
	put_int(out, label);
	put_head(out, 2, bytes.n);
	ms_buf_append_slice(out, bytes);
}

static void put_pair(struct buf *out, int64_t label, int64_t value)
{
	put_int(out, label);
	put_int(out, value);
}

static void put_text(struct buf *out, const char *text)
{
	put_head(out, 3, strlen(text));
	ms_buf_append_cstr(out, text);
}

static void put_key(struct buf *out, const struct crypto_key *key, enum cose_alg alg, struct arena *arena)
{
	struct crypto_key_params p;
	REQUIRE(ms_crypto_key_to_params(key, false, arena, &p) == MS_OK);
	put_head(out, 5, alg == COSE_ES256 ? 5 : 4);
	put_pair(out, 1, alg == COSE_ES256 ? 2 : alg == COSE_EDDSA ? 1 : 3);
	put_pair(out, 3, alg);
	if (alg == COSE_RS256) {
		put_bytes(out, -1, p.n);
		put_bytes(out, -2, p.e);
		return;
	}
	put_pair(out, -1, alg == COSE_ES256 ? 1 : 6);
	put_bytes(out, -2, p.x);
	if (alg == COSE_ES256)
		put_bytes(out, -3, p.y);
}

static void put_der_integer(struct buf *out, struct slice number)
{
	while (number.n > 1 && number.p[0] == 0)
		number = ms_slice_sub(number, 1, SIZE_MAX);
	bool pad = ((uint8_t)number.p[0] & 0x80) != 0;
	ms_buf_append_char(out, 2);
	ms_buf_append_char(out, (char)(number.n + pad));
	if (pad)
		ms_buf_append_char(out, 0);
	ms_buf_append_slice(out, number);
}

// A signature as an authenticator gives it.
static void put_signature(struct buf *out, const struct crypto_key *key, enum cose_alg alg, struct slice message)
{
	struct buf raw, numbers;
	ms_buf_init(&raw, 1024);
	ms_buf_init(&numbers, 1024);
	enum crypto_scheme scheme = alg == COSE_ES256   ? CRYPTO_ECDSA
				    : alg == COSE_EDDSA ? CRYPTO_EDDSA
							: CRYPTO_RSA_PKCS1;
	REQUIRE(ms_crypto_sign(key, scheme, CRYPTO_SHA256, message, &raw) == MS_OK);
	if (alg == COSE_ES256) {
		put_der_integer(&numbers, ms_slice_sub(ms_buf_slice(&raw), 0, 32));
		put_der_integer(&numbers, ms_slice_sub(ms_buf_slice(&raw), 32, 32));
		ms_buf_append_char(out, 0x30);
		ms_buf_append_char(out, (char)numbers.n);
		ms_buf_append_slice(out, ms_buf_slice(&numbers));
	} else
		ms_buf_append_slice(out, ms_buf_slice(&raw));
	ms_buf_fini(&raw);
	ms_buf_fini(&numbers);
}

// --- Keys --------------------------------------------------------------------------------------------

static const struct {
	enum cose_alg alg;
	enum crypto_key_kind kind;
} algorithms[] = {{COSE_ES256, CRYPTO_P256}, {COSE_EDDSA, CRYPTO_ED25519}, {COSE_RS256, CRYPTO_RSA}};

static void check_algorithm(enum cose_alg alg, enum crypto_key_kind kind)
{
	struct arena arena;
	struct buf text, signature;
	struct crypto_key *own;
	struct cose_key key;
	struct slice message = MS_SLICE_LIT("authenticator data and a hash");
	ms_arena_init(&arena, 1024, 1 << 20);
	ms_buf_init(&text, 4096);
	ms_buf_init(&signature, 4096);
	REQUIRE(ms_crypto_key_generate(kind, 2048, &own) == MS_OK);
	put_key(&text, own, alg, &arena);
	put_signature(&signature, own, alg, message);
	ms_buf_append_char(&text, 'x');
	struct slice rest = ms_buf_slice(&text);
	REQUIRE(ms_cose_key_read(&rest, &arena, NULL, &key) == MS_OK);
	CHECK_INT(rest.n, 1);
	CHECK_INT(key.alg, alg);
	CHECK(ms_cose_verify(&key, message, ms_buf_slice(&signature)));
	CHECK(!ms_cose_verify(&key, MS_SLICE_LIT("another"), ms_buf_slice(&signature)));
	for (size_t bit = 0; bit < 8 * signature.n; bit++) {
		signature.p[bit / 8] = (char)(signature.p[bit / 8] ^ 1 << bit % 8);
		CHECK(!ms_cose_verify(&key, message, ms_buf_slice(&signature)));
		signature.p[bit / 8] = (char)(signature.p[bit / 8] ^ 1 << bit % 8);
	}
	for (size_t n = 0; n < signature.n; n++)
		CHECK(!ms_cose_verify(&key, message, ms_slice(signature.p, n)));
	// A key that is cut is none.
	for (size_t n = 0; n + 1 < text.n; n++) {
		struct cose_key cut;
		rest = ms_slice(text.p, n);
		CHECK(ms_cose_key_read(&rest, &arena, NULL, &cut) != MS_OK);
	}
	ms_crypto_key_unref(key.key);
	ms_crypto_key_unref(own);
	ms_buf_fini(&text);
	ms_buf_fini(&signature);
	ms_arena_fini(&arena);
}

TEST(keys_of_each_algorithm)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(algorithms); i++)
		check_algorithm(algorithms[i].alg, algorithms[i].kind);
}

// A signature in DER with small numbers, which a lax reader would take in many forms.
TEST(signatures_have_one_form)
{
	struct arena arena;
	struct buf text;
	struct crypto_key *own;
	struct cose_key key;
	ms_arena_init(&arena, 1024, 1 << 20);
	ms_buf_init(&text, 4096);
	REQUIRE(ms_crypto_key_generate(CRYPTO_P256, 0, &own) == MS_OK);
	put_key(&text, own, COSE_ES256, &arena);
	struct slice rest = ms_buf_slice(&text);
	REQUIRE(ms_cose_key_read(&rest, &arena, NULL, &key) == MS_OK);
	// Sign until r needs a zero in front; without it, with one more, and with a long form of the length it must not verify.
	bool padded = false;
	for (size_t i = 0; i < 200 && !padded; i++) {
		struct buf s;
		ms_buf_init(&s, 256);
		put_signature(&s, own, COSE_ES256, MS_SLICE_LIT("m"));
		padded = s.p[3] == 33;
		if (padded) {
			CHECK(ms_cose_verify(&key, MS_SLICE_LIT("m"), ms_buf_slice(&s)));
			uint8_t bad[80];
			size_t n = s.n;
			memcpy(bad, s.p, n); // r made negative
			memmove(bad + 4, bad + 5, n - 5);
			bad[1]--, bad[3]--;
			CHECK(!ms_cose_verify(&key, MS_SLICE_LIT("m"), ms_slice(bad, n - 1)));
			memcpy(bad, s.p, n); // a zero more
			memmove(bad + 5, bad + 4, n - 4);
			bad[1]++, bad[3]++;
			CHECK(!ms_cose_verify(&key, MS_SLICE_LIT("m"), ms_slice(bad, n + 1)));
			memcpy(bad, s.p, n); // a byte behind
			bad[n] = 0;
			CHECK(!ms_cose_verify(&key, MS_SLICE_LIT("m"), ms_slice(bad, n + 1)));
			bad[1]++;
			CHECK(!ms_cose_verify(&key, MS_SLICE_LIT("m"), ms_slice(bad, n + 1)));
			memcpy(bad + 3, s.p + 2, n - 2); // the long form of the length
			bad[0] = 0x30, bad[1] = 0x81, bad[2] = (uint8_t)(n - 2);
			CHECK(!ms_cose_verify(&key, MS_SLICE_LIT("m"), ms_slice(bad, n + 1)));
		}
		ms_buf_fini(&s);
	}
	CHECK(padded);
	ms_crypto_key_unref(key.key);
	ms_crypto_key_unref(own);
	ms_buf_fini(&text);
	ms_arena_fini(&arena);
}

TEST(keys_have_exactly_their_parameters)
{
	const char *const zeros = "0000000000000000000000000000000000000000000000000000000000000000";
	const char *const one = "0000000000000000000000000000000000000000000000000000000000000001";
	char other_curve[400], off_curve[400], other_kind[400];
	snprintf(other_curve, sizeof(other_curve), "a5010203262002215820%s225820%s", zeros, zeros);
	snprintf(off_curve, sizeof(off_curve), "a5010203262001215820%s225820%s", one, one);
	snprintf(other_kind, sizeof(other_kind), "a4010103262006215820%s", zeros);
	const char *const refused[] = {
		"a0",
		"a10326",         // no kty
		"a201020338ff",   // an algorithm that nobody offers
		"a201020326",     // no curve
		"a3010203262001", // no point
		other_curve,
		off_curve,
		other_kind, // ES256 with an Ed25519 key
		"80",
	};
	struct arena arena;
	struct slice bytes;
	struct cose_key key;
	ms_arena_init(&arena, 1024, 1 << 20);
	for (size_t i = 0; i < MS_ARRAY_LEN(refused); i++) {
		REQUIRE(ms_hex_decode(ms_slice_cstr(refused[i]), &arena, &bytes));
		CHECK_INT(ms_cose_key_read(&bytes, &arena, NULL, &key), MS_ERR_INVALID);
	}
	ms_arena_fini(&arena);
}

// --- Authenticator data ------------------------------------------------------------------------------

static void put_zeros(struct buf *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ms_buf_append_char(out, 0);
}

static void put_authenticator_data(struct buf *out, unsigned flags, size_t id_size, struct slice key)
{
	put_zeros(out, 32);
	ms_buf_append_char(out, (char)flags);
	ms_buf_append(out, "\x01\x02\x03\x04", 4);
	if ((flags & AUTHENTICATOR_ATTESTED) != 0) {
		put_zeros(out, 16);
		ms_buf_append_char(out, (char)(id_size >> 8));
		ms_buf_append_char(out, (char)id_size);
		put_zeros(out, id_size);
		ms_buf_append_slice(out, key);
	}
	if ((flags & AUTHENTICATOR_EXTENDED) != 0) {
		put_head(out, 5, 1);
		put_text(out, "credProtect");
		put_int(out, 2);
	}
}

static enum ms_err read_made(unsigned flags, size_t id_size, struct slice key, const char *behind, struct arena *arena,
			     struct authenticator_data *ret_data)
{
	struct buf made;
	ms_buf_init(&made, 8192);
	put_authenticator_data(&made, flags, id_size, key);
	ms_buf_append_cstr(&made, behind);
	struct slice kept = ms_arena_copy(arena, ms_buf_slice(&made));
	ms_buf_fini(&made);
	for (size_t n = 0; n < kept.n && behind[0] == '\0'; n++) {
		struct authenticator_data cut;
		CHECK(ms_authenticator_data_read(ms_slice(kept.p, n), arena, NULL, &cut) == MS_ERR_INVALID);
	}
	return ms_authenticator_data_read(kept, arena, NULL, ret_data);
}

TEST(authenticator_data)
{
	struct arena arena;
	struct authenticator_data data;
	struct slice key = MS_SLICE_LIT("\xa1\x01\x02");
	ms_arena_init(&arena, 1024, 16 << 20);
	REQUIRE(read_made(0x05, 0, key, "", &arena, &data) == MS_OK);
	CHECK_INT(data.flags, AUTHENTICATOR_PRESENT | AUTHENTICATOR_VERIFIED);
	CHECK_INT(data.sign_count, 0x01020304);
	CHECK_INT(data.public_key.n, 0);
	REQUIRE(read_made(0xdd, 20, key, "", &arena, &data) == MS_OK);
	CHECK_INT(data.credential_id.n, 20);
	CHECK_INT(data.public_key.n, 3);
	REQUIRE(read_made(0x45, 1023, key, "", &arena, &data) == MS_OK);
	CHECK_INT(read_made(0x45, 1024, key, "x", &arena, &data), MS_ERR_INVALID);
	CHECK_INT(read_made(0x45, 0, key, "x", &arena, &data), MS_ERR_INVALID);
	CHECK_INT(read_made(0x45, 20, key, "x", &arena, &data), MS_ERR_INVALID); // something behind
	CHECK_INT(read_made(0x05, 0, key, "x", &arena, &data), MS_ERR_INVALID);
	CHECK_INT(read_made(0x15, 0, key, "x", &arena, &data), MS_ERR_INVALID); // backed up, and cannot be
	CHECK_INT(read_made(0x45, 20, MS_SLICE_LIT("\x01"), "x", &arena, &data), MS_ERR_INVALID); // the key is no map
	ms_arena_fini(&arena);
}

TEST(attestation_objects)
{
	static const struct {
		const char *hex;
		bool ok;
	} objects[] = {
		{"a363666d74646e6f6e656761747453746d74a0686175746844617461420102", true},
		{"a363666d74646e6f6e656861757468446174614201026761747453746d74a0", true}, // another order
		{"a363666d74667061636b65646761747453746d74a263616c672663736967420000686175746844617461420102",
		 true}, // not believed
		{"a363666d74646e6f6e656761747453746d74a163616c6726686175746844617461420102",
		 false},                                                               // none with a statement
		{"a363666d74646e6f6e656761747453746d74a068617574684461746160", false}, // a text
		{"a263666d74646e6f6e656761747453746d74a0", false},
		{"a363666d74646e6f6e6563666d74646e6f6e656761747453746d74a0", false}, // twice
		{"83010203", false},
	};
	struct arena arena;
	ms_arena_init(&arena, 1024, 1 << 20);
	for (size_t i = 0; i < MS_ARRAY_LEN(objects); i++) {
		struct slice bytes, data;
		REQUIRE(ms_hex_decode(ms_slice_cstr(objects[i].hex), &arena, &bytes));
		CHECK_INT(ms_attestation_read(bytes, &arena, NULL, &data), objects[i].ok ? MS_OK : MS_ERR_INVALID);
		if (objects[i].ok)
			CHECK_INT(data.n, 2);
	}
	ms_arena_fini(&arena);
}

TEST(client_data)
{
	struct arena arena;
	struct client_data data;
	ms_arena_init(&arena, 1024, 1 << 20);
	CHECK_OK(ms_client_data_read(
		MS_SLICE_LIT("{\"type\":\"webauthn.get\",\"challenge\":\"AA\",\"origin\":\"https://a\",\"more\":{}}"),
		&arena, NULL, &data));
	CHECK_SLICE(data.type, "webauthn.get");
	CHECK(!data.cross_origin);
	CHECK_OK(ms_client_data_read(MS_SLICE_LIT("{\"type\":\"webauthn.get\",\"challenge\":\"AA\",\"origin\":\"https:/"
						  "/a\",\"crossOrigin\":true}"),
				     &arena, NULL, &data));
	CHECK(data.cross_origin);
	CHECK_OK(ms_client_data_read(MS_SLICE_LIT("{\"type\":\"webauthn.get\",\"challenge\":\"AA\",\"origin\":\"https:/"
						  "/a\",\"topOrigin\":\"https://b\"}"),
				     &arena, NULL, &data));
	CHECK(data.cross_origin);
	CHECK_INT(ms_client_data_read(MS_SLICE_LIT("{\"type\":\"webauthn.get\",\"challenge\":\"AA\"}"), &arena, NULL,
				      &data),
		  MS_ERR_INVALID);
	CHECK_INT(ms_client_data_read(MS_SLICE_LIT("[]"), &arena, NULL, &data), MS_ERR_INVALID);
	CHECK_INT(ms_client_data_read(MS_SLICE_LIT("{\"type\":\"a\",\"challenge\":\"AA\",\"origin\":\"https://"
						   "a\",\"origin\":\"https://b\"}"),
				      &arena, NULL, &data),
		  MS_ERR_JSON_DUPLICATE_KEY);
	ms_arena_fini(&arena);
}
