// SPDX-License-Identifier: Apache-2.0
#include "crypto/crypto.h"

#include "tests/lib/test.h"

static const uint8_t key[MS_BOX_KEY_SIZE] = {1, 2, 3};
static const uint8_t nonce[MS_BOX_NONCE_SIZE] = {4, 5, 6};

TEST(boxes_open_with_their_key_and_context_alone)
{
	struct buf box;
	struct arena a;
	struct slice text = MS_SLICE_EMPTY, context = MS_SLICE_LIT("totp of user 7");
	ms_buf_init(&box, 4096);
	ms_arena_init(&a, 256, 1 << 20);
	ms_box_seal(key, nonce, context, MS_SLICE_LIT("secret"), &box);
	CHECK_INT(box.n, 6 + MS_BOX_OVERHEAD);
	CHECK_INT(box.p[0], 1);
	CHECK_OK(ms_box_open(key, context, ms_buf_slice(&box), &a, &text));
	CHECK_SLICE(text, "secret");
	CHECK_INT(ms_box_open(key, MS_SLICE_LIT("totp of user 8"), ms_buf_slice(&box), &a, &text), MS_ERR_INVALID);
	CHECK_INT(ms_box_open((const uint8_t[MS_BOX_KEY_SIZE]){9}, context, ms_buf_slice(&box), &a, &text),
		  MS_ERR_INVALID);
	for (size_t i = 0; i < box.n; i++) {
		CHECK_INT(ms_box_open(key, context, ms_slice(box.p, i), &a, &text), MS_ERR_INVALID);
		box.p[i] ^= 1;
		CHECK_INT(ms_box_open(key, context, ms_buf_slice(&box), &a, &text), MS_ERR_INVALID);
		box.p[i] ^= 1;
	}
	ms_buf_clear(&box);
	ms_box_seal(key, nonce, MS_SLICE_EMPTY, MS_SLICE_EMPTY, &box);
	CHECK_OK(ms_box_open(key, MS_SLICE_EMPTY, ms_buf_slice(&box), &a, &text));
	CHECK_INT(text.n, 0);
	ms_arena_fini(&a);
	ms_buf_fini(&box);
}

// draft-irtf-cfrg-xchacha-03, A.3.1.
TEST(boxes_are_xchacha20_poly1305)
{
	static const char want[] =
		"bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39"
		"ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
		"21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49";
	struct slice text =
		MS_SLICE_LIT("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
			     "future, sunscreen would be it.");
	static const uint8_t context[] = {0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7};
	uint8_t its_key[MS_BOX_KEY_SIZE], its_nonce[MS_BOX_NONCE_SIZE];
	for (size_t i = 0; i < sizeof(its_key); i++)
		its_key[i] = (uint8_t)(0x80 + i);
	for (size_t i = 0; i < sizeof(its_nonce); i++)
		its_nonce[i] = (uint8_t)(0x40 + i);
	struct buf box, hex;
	ms_buf_init(&box, 4096);
	ms_buf_init(&hex, 4096);
	ms_box_seal(its_key, its_nonce, ms_slice(context, sizeof(context)), text, &box);
	ms_hex_append(&hex, ms_slice_sub(ms_buf_slice(&box), 1 + MS_BOX_NONCE_SIZE, box.n));
	CHECK_SLICE(ms_buf_slice(&hex), want);
	ms_buf_fini(&hex);
	ms_buf_fini(&box);
}

static struct slice from_hex(struct arena *a, const char *hex)
{
	struct slice bytes = MS_SLICE_EMPTY;
	REQUIRE(ms_hex_decode(ms_slice_cstr(hex), a, &bytes));
	return bytes;
}

// RFC 3394, 4.6.
TEST(aes_unwraps_keys)
{
	struct arena a;
	ms_arena_init(&a, 4096, 1 << 16);
	struct slice kek = from_hex(&a, "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F");
	struct slice wrapped =
		from_hex(&a, "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21");
	struct slice got = MS_SLICE_EMPTY;
	CHECK_OK(ms_aes_unwrap(kek, wrapped, &a, &got));
	CHECK(ms_slice_eq(got, from_hex(&a, "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F")));
	CHECK_INT(ms_aes_unwrap(kek, ms_slice_sub(wrapped, 0, 32), &a, &got), MS_ERR_INVALID);
	CHECK_INT(ms_aes_unwrap(kek, ms_slice_sub(wrapped, 0, 39), &a, &got), MS_ERR_INVALID);
	CHECK_INT(ms_aes_unwrap(kek, MS_SLICE_EMPTY, &a, &got), MS_ERR_INVALID);
	CHECK_INT(ms_aes_unwrap(ms_slice_sub(kek, 0, 16), wrapped, &a, &got), MS_ERR_INVALID);
	ms_arena_fini(&a);
}

// The Galois/Counter Mode of Operation, test case 4, and RFC 7518, B.1.
TEST(aes_opens_what_is_whole)
{
	struct arena a;
	ms_arena_init(&a, 4096, 1 << 16);
	struct slice k = from_hex(&a, "feffe9928665731c6d6a8f9467308308"),
		     iv = from_hex(&a, "cafebabefacedbaddecaf888");
	struct slice aad = from_hex(&a, "feedfacedeadbeeffeedfacedeadbeefabaddad2");
	struct slice tag = from_hex(&a, "5bc94fbc3221a5db94fae95ae7121a47");
	struct slice text =
		from_hex(&a, "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c"
			     "7d8f6a5aac84aa051ba30b396a0aac973d58e091");
	struct slice got = MS_SLICE_EMPTY;
	CHECK_OK(ms_aes_gcm_open(k, iv, aad, text, tag, &a, &got));
	CHECK(ms_slice_eq(
		got, from_hex(&a, "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953"
				  "2fcf0e2449a6b525b16aedf5aa0de657ba637b39")));
	CHECK_INT(ms_aes_gcm_open(k, iv, ms_slice_sub(aad, 1, 99), text, tag, &a, &got), MS_ERR_INVALID);
	CHECK_INT(ms_aes_gcm_open(k, iv, aad, text, ms_slice_sub(tag, 0, 15), &a, &got), MS_ERR_INVALID);
	CHECK_INT(ms_aes_gcm_open(k, ms_slice_sub(iv, 0, 8), aad, text, tag, &a, &got), MS_ERR_INVALID);
	k = from_hex(&a, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
	iv = from_hex(&a, "1af38c2dc2b96ffdd86694092341bc04");
	aad = MS_SLICE_LIT("The second principle of Auguste Kerckhoffs");
	text = from_hex(
		&a, "c80edfa32ddf39d5ef00c0b468834279a2e46a1b8049f792f76bfe54b903a9c9a94ac9b47ad2655c5f10f9aef71427e2"
		    "fc6f9b3f399a221489f16362c703233609d45ac69864e3321cf82935ac4096c86e133314c54019e8ca7980dfa4b9cf1b"
		    "384c486f3a54c51078158ee5d79de59fbd34d848b3d69550a67646344427ade54b8851ffb598f7f80074b9473c82e2db");
	tag = from_hex(&a, "652c3fa36b0a7c5b3219fab3a30bc1c4");
	CHECK_OK(ms_aes_cbc_hmac_open(k, iv, aad, text, tag, &a, &got));
	CHECK_SLICE(
		got,
		"A cipher system must not be required to be secret, and it must be able to fall into the hands of the "
		"enemy without inconvenience");
	CHECK_INT(ms_aes_cbc_hmac_open(k, iv, aad, text, ms_slice_sub(tag, 0, 8), &a, &got), MS_ERR_INVALID);
	CHECK_INT(ms_aes_cbc_hmac_open(k, iv, aad, ms_slice_sub(text, 0, 128), tag, &a, &got), MS_ERR_INVALID);
	CHECK_INT(ms_aes_cbc_hmac_open(k, iv, MS_SLICE_EMPTY, text, tag, &a, &got), MS_ERR_INVALID);
	ms_arena_fini(&a);
}

static void seal_and_open(void)
{
	struct buf box;
	struct arena a;
	struct slice text;
	ms_buf_init(&box, 4096);
	ms_arena_init(&a, 64, 4096);
	ms_box_seal(key, nonce, MS_SLICE_EMPTY, MS_SLICE_LIT("secret"), &box);
	if (ms_buf_ok(&box)) {
		enum ms_err err = ms_box_open(key, MS_SLICE_EMPTY, ms_buf_slice(&box), &a, &text);
		CHECK(err == MS_OK || (err == MS_ERR_NO_MEMORY && ms_test_allocation_failed()));
	} else {
		CHECK(ms_test_allocation_failed());
		CHECK_INT(box.n, 0);
	}
	ms_arena_fini(&a);
	ms_buf_fini(&box);
}

TEST(boxes_survive_failing_allocations)
{
	ms_test_torture(seal_and_open);
}
