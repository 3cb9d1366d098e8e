// SPDX-License-Identifier: Apache-2.0
// Any bytes as what an authenticator or a browser sends: attestation object, authenticator data, public key, client data, signature.
#include "auth/webauthn_data.h"
#include "fuzz/fuzz.h"

#define MEMORY ((size_t)16 << 20)

static bool is_within(struct slice part, struct slice whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void try_key(struct slice bytes, struct arena *arena)
{
	struct cose_key key;
	struct slice rest = bytes;
	if (ms_cose_key_read(&rest, arena, NULL, &key) != MS_OK)
		return;
	MS_ASSERT(rest.n < bytes.n);
	// Nobody signed this.
	MS_ASSERT(!ms_cose_verify(&key, MS_SLICE_LIT("a message"), bytes));
	ms_crypto_key_unref(key.key);
}

static void try_authenticator_data(struct slice bytes, struct arena *arena)
{
	struct authenticator_data data;
	if (ms_authenticator_data_read(bytes, arena, NULL, &data) != MS_OK)
		return;
	MS_ASSERT(is_within(data.rp_id_hash, bytes) && is_within(data.credential_id, bytes) &&
		  is_within(data.public_key, bytes));
	MS_ASSERT(data.rp_id_hash.n == 32);
	MS_ASSERT(((data.flags & AUTHENTICATOR_ATTESTED) != 0) == (data.public_key.n > 0));
	if (data.public_key.n > 0)
		try_key(data.public_key, arena);
}

// A fixed key, and the input as the signature.
static void try_signature(struct slice signature)
{
	static const uint8_t x[] = {0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6,
				    0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb,
				    0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96};
	static const uint8_t y[] = {0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb,
				    0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31,
				    0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5};
	const struct crypto_key_params params = {.x = ms_slice(x, sizeof(x)), .y = ms_slice(y, sizeof(y))};
	struct cose_key key = {.alg = COSE_ES256};
	// The generator of the curve: its private key is 1, so a fuzzer could sign; it does not know how.
	MS_ASSERT(ms_crypto_key_from_params(CRYPTO_P256, &params, NULL, &key.key) == MS_OK);
	MS_ASSERT(!ms_cose_verify(&key, MS_SLICE_LIT("a message"), signature));
	ms_crypto_key_unref(key.key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice bytes = ms_slice(data, size), auth_data;
	struct client_data client;
	struct arena arena;
	ms_arena_init(&arena, 4096, MEMORY);
	if (ms_attestation_read(bytes, &arena, NULL, &auth_data) == MS_OK) {
		MS_ASSERT(is_within(auth_data, bytes));
		try_authenticator_data(auth_data, &arena);
	}
	try_authenticator_data(bytes, &arena);
	try_key(bytes, &arena);
	if (size < 128)
		try_signature(bytes);
	MS_IGNORE(ms_client_data_read(bytes, &arena, NULL, &client));
	ms_arena_fini(&arena);
	return 0;
}
