// SPDX-License-Identifier: Apache-2.0
#include <argon2.h>
#include <stdio.h>

#include "crypto/crypto.h"

#include "tests/lib/test.h"

static const struct password_cost cheap = {.memory_kib = 64, .time = 1, .lanes = 1};
static const uint8_t salt[MS_PASSWORD_SALT_SIZE] = "0123456789abcdef";

static bool matches(const char *stored, const char *password)
{
	struct password_answer answer = {0};
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = ms_password_verify(ms_slice_cstr(stored), ms_slice_cstr(password), &cheap, &info, &answer);
	if (!CHECK_OK(err))
		printf("# %s: %s\n", stored, info.message);
	return answer.match;
}

TEST(new_hashes_are_argon2id_as_the_reference_has_it)
{
	struct buf phc;
	ms_buf_init(&phc, 512);
	CHECK_OK(ms_password_hash(MS_SLICE_LIT("correct horse"), &MS_PASSWORD_COST_DEFAULT, salt, NULL, &phc));
	ms_buf_append_char(&phc, '\0');
	CHECK(strncmp(phc.p, "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$", 54) == 0);
	CHECK_INT(phc.n - 1, 54 + 43);
	CHECK_INT(argon2id_verify(phc.p, "correct horse", 13), ARGON2_OK);
	struct password_answer answer;
	struct slice stored = ms_slice(phc.p, phc.n - 1);
	CHECK_OK(ms_password_verify(stored, MS_SLICE_LIT("correct horse"), &MS_PASSWORD_COST_DEFAULT, NULL, &answer));
	CHECK(answer.match && !answer.needs_rehash);
	CHECK_OK(ms_password_verify(stored, MS_SLICE_LIT("correct horsf"), &cheap, NULL, &answer));
	CHECK(!answer.match && answer.needs_rehash);
	CHECK_OK(ms_password_verify(stored, MS_SLICE_EMPTY, &cheap, NULL, &answer));
	CHECK(!answer.match);
	ms_buf_fini(&phc);
}

// Lanes are of libargon2; the same cost with one lane of libsodium.
TEST(lanes_and_bytes_of_any_value_count)
{
	struct buf phc;
	ms_buf_init(&phc, 512);
	for (uint32_t lanes = 1; lanes <= 4; lanes++) {
		struct password_cost cost = {.memory_kib = 128, .time = 2, .lanes = lanes};
		ms_buf_clear(&phc);
		CHECK_OK(ms_password_hash(MS_SLICE_LIT("a\0b\xff"), &cost, salt, NULL, &phc));
		ms_buf_append_char(&phc, '\0');
		CHECK_INT(argon2id_verify(phc.p, "a\0b\xff", 4), ARGON2_OK);
		CHECK(argon2id_verify(phc.p, "a\0b\xfe", 4) != ARGON2_OK);
		struct password_answer answer;
		CHECK_OK(
			ms_password_verify(ms_slice(phc.p, phc.n - 1), MS_SLICE_LIT("a\0b\xff"), &cost, NULL, &answer));
		CHECK(answer.match && !answer.needs_rehash);
		CHECK_OK(ms_password_verify(ms_slice(phc.p, phc.n - 1), MS_SLICE_LIT("a"), &cost, NULL, &answer));
		CHECK(!answer.match);
	}
	ms_buf_fini(&phc);
}

TEST(hashes_of_other_programs_verify)
{
	static const struct {
		const char *stored, *password;
	} cases[] = {
		// The reference implementation's own examples.
		{"$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG", "password"},
		{"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
		{"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password"},
		// crypt_blowfish.
		{"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
		{"$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"},
		{"$2y$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"},
		// passlib 1.7, argon2-cffi and Django.
		{"$pbkdf2-sha256$1000$MWYsBUAoZWyttXZOSUkpBQ$aekaK97IImTj/XfBj7fX4sPn9ESdzamXRSyltUMA8mA",
		 "correct horse"},
		{"$pbkdf2-sha512$1000$VUoJQUgJISTk3BsDAEAoBQ$XGrUppvSPRP3kg0mUFq9YfGyXb08uYUZxMM19fHumm9HfR8/"
		 "ISawZV99gKqE1sZS0PuWzokudgVUlEUlZj.c0g",
		 "correct horse"},
		{"$2b$05$aRyLrxFNZVCSoMl315BUt.S6sqIP2TA4OFn0CbqAEgxhfZA5Pgknu", "correct horse"},
		{"$argon2id$v=19$m=4096,t=3,p=4$BKdm+Jdey2Jj69ADGGX3IA$NTN7USRBBu8RqmyAh8Et1GhlDgMaVSg9pvPGi2YwLtU",
		 "correct horse"},
		{"pbkdf2_sha256$1000$seasaltseasalt$nFEtiBJrsFKs/zt16fe0xZYOaKEZwkghPKgXrtcV9Hc=", "correct horse"},
		// hashlib.pbkdf2_hmac of Python, written as Django and passlib write it.
		{"pbkdf2_sha256$1000$seasalt2$oksQ9Bdi8Bce0okH61Cis7qICJfP+cYfDOnMdNPMzK8=", "correct horse"},
		{"pbkdf2_sha512$1000$seasalt2$Ie8zKRyrATdXtVnBfDGEpQ3YCrXjOl32s87b8PYh6ZKBYQeIAorWIE7UIqbDuxkjM39+"
		 "KvUUJ4Is6CYL"
		 "gsvh7Q==",
		 "correct horse"},
		{"$pbkdf2-sha512$1000$8PHy8/T19vf4.fr7/P3./"
		 "w$xqu1f3FSdHbs02z9AocIk0UpBf6S9uqlRTfcS56zkPqTxPMhm.kj4D.e8E9DRlH/"
		 "uXf/Pe1g59vHIM0MwcvtiA",
		 "correct horse"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		if (!CHECK(matches(cases[i].stored, cases[i].password)))
			printf("# %s\n", cases[i].stored);
		CHECK(!matches(cases[i].stored, "U*U?"));
		struct password_answer answer;
		CHECK_OK(ms_password_verify(ms_slice_cstr(cases[i].stored), ms_slice_cstr(cases[i].password),
					    &MS_PASSWORD_COST_DEFAULT, NULL, &answer));
		CHECK(answer.needs_rehash);
		// A hash that was changed is another one.
		char changed[256];
		REQUIRE(ms_slice_to_cstr(ms_slice_cstr(cases[i].stored), changed, sizeof(changed)));
		char *at = &changed[strlen(changed) - 6];
		*at = *at == 'A' ? 'B' : 'A';
		CHECK_OK(ms_password_verify(ms_slice_cstr(changed), ms_slice_cstr(cases[i].password), &cheap, NULL,
					    &answer));
		CHECK(!answer.match);
	}
}

TEST(any_other_cost_wants_a_new_hash)
{
	static const struct password_cost others[] = {{65, 1, 1}, {64, 2, 1}, {64, 1, 2}, {63, 1, 1}};
	struct buf phc;
	struct password_answer answer;
	ms_buf_init(&phc, 512);
	CHECK_OK(ms_password_hash(MS_SLICE_LIT("x"), &cheap, salt, NULL, &phc));
	CHECK_OK(ms_password_verify(ms_buf_slice(&phc), MS_SLICE_LIT("x"), &cheap, NULL, &answer));
	CHECK(answer.match && !answer.needs_rehash);
	for (size_t i = 0; i < MS_ARRAY_LEN(others); i++) {
		CHECK_OK(ms_password_verify(ms_buf_slice(&phc), MS_SLICE_LIT("x"), &others[i], NULL, &answer));
		CHECK(answer.match && answer.needs_rehash);
	}
	ms_buf_fini(&phc);
}

TEST(bcrypt_never_cuts)
{
	// 72 letters, and the hash that crypt(3) gives for them.
	char password[73];
	memset(password, 'a', 72);
	password[72] = 'b';
	const char *stored = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.ODcEJfYFxKziEakDsjep8mcF3zSCvHq";
	struct password_answer answer;
	CHECK_OK(ms_password_verify(ms_slice_cstr(stored), ms_slice(password, 72), &cheap, NULL, &answer));
	CHECK(answer.match);
	CHECK_OK(ms_password_verify(ms_slice_cstr(stored), ms_slice(password, 73), &cheap, NULL, &answer));
	CHECK(!answer.match);
	stored = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
	CHECK_OK(ms_password_verify(ms_slice_cstr(stored), ms_slice("U*U", 4), &cheap, NULL, &answer));
	CHECK(!answer.match);
}

TEST(hashes_that_would_stop_the_server_are_refused)
{
	static const char *const stored[] = {
		"",
		"plain",
		"$1$abc$def",
		"$argon2d$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=262145,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=4294967360,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=11,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=1024,t=1,p=17$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=15,t=1,p=2$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=1,p=1,x=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=064,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=1,p=1$c29t$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFh",
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc$",
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPd",
		"$2b$16$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe",
		"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe!",
		"pbkdf2_sha256$4000001$seasalt2$oksQ9Bdi8Bce0okH61Cis7qICJfP+cYfDOnMdNPMzK8=",
		"pbkdf2_sha256$0$seasalt2$oksQ9Bdi8Bce0okH61Cis7qICJfP+cYfDOnMdNPMzK8=",
		"pbkdf2_sha256$1000$$oksQ9Bdi8Bce0okH61Cis7qICJfP+cYfDOnMdNPMzK8=",
		"pbkdf2_sha256$1000$seasalt2$oksQ9Bdi8Bce0okH61Cis7qICJfP+cYfDOnMdNPMzK8",
		"pbkdf2_sha512$1000$seasalt2$oksQ9Bdi8Bce0okH61Cis7qICJfP+cYfDOnMdNPMzK8=",
		"pbkdf2_sha256$1000$seasalt2",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(stored); i++) {
		struct errinfo info;
		ms_errinfo_init(&info);
		struct password_answer answer;
		struct slice text = ms_slice_cstr(stored[i]);
		if (!CHECK_INT(ms_password_check_stored(text, &info), MS_ERR_INVALID))
			printf("# %s\n", stored[i]);
		CHECK_HAS(info.message, "cannot be used");
		CHECK_INT(ms_password_verify(text, MS_SLICE_LIT("password"), &cheap, NULL, &answer), MS_ERR_INVALID);
	}
	char long_one[600];
	memset(long_one, 'A', sizeof(long_one));
	memcpy(long_one, "$argon2id$", 10);
	CHECK_INT(ms_password_check_stored(ms_slice(long_one, sizeof(long_one)), NULL), MS_ERR_INVALID);
}

TEST(costs_have_bounds)
{
	static const struct {
		struct password_cost cost;
		bool ok;
	} cases[] = {
		{{19456, 2, 1}, true}, {{8, 1, 1}, true},       {{7, 1, 1}, false},      {{8, 1, 2}, false},
		{{128, 1, 16}, true},  {{262144, 10, 1}, true}, {{262145, 1, 1}, false}, {{64, 11, 1}, false},
		{{64, 0, 1}, false},   {{64, 1, 0}, false},     {{1024, 1, 17}, false},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++)
		CHECK(ms_password_cost_ok(&cases[i].cost) == cases[i].ok);
}

TEST(passwords_have_a_longest_length)
{
	static char password[MS_PASSWORD_MAX_LENGTH + 1];
	memset(password, 'x', sizeof(password));
	struct buf phc;
	struct password_answer answer;
	ms_buf_init(&phc, 512);
	CHECK_INT(ms_password_hash(ms_slice(password, sizeof(password)), &cheap, salt, NULL, &phc), MS_ERR_INVALID);
	CHECK_OK(ms_password_hash(ms_slice(password, sizeof(password) - 1), &cheap, salt, NULL, &phc));
	CHECK_OK(ms_password_verify(ms_buf_slice(&phc), ms_slice(password, sizeof(password) - 1), &cheap, NULL,
				    &answer));
	CHECK(answer.match);
	CHECK_OK(ms_password_verify(ms_buf_slice(&phc), ms_slice(password, sizeof(password)), &cheap, NULL, &answer));
	CHECK(!answer.match);
	CHECK_OK(ms_password_verify_nobody(MS_SLICE_LIT("password"), &cheap, NULL));
	CHECK_OK(ms_password_verify_nobody(ms_slice(password, sizeof(password)), &cheap, NULL));
	ms_buf_fini(&phc);
}

static void hash_and_verify(void)
{
	struct buf phc;
	struct password_answer answer;
	ms_buf_init(&phc, 512);
	enum ms_err err = ms_password_hash(MS_SLICE_LIT("x"), &cheap, salt, NULL, &phc);
	if (err == MS_OK)
		err = ms_password_verify(ms_buf_slice(&phc), MS_SLICE_LIT("x"), &cheap, NULL, &answer);
	if (err == MS_OK)
		CHECK(answer.match);
	else
		CHECK(ms_test_allocation_failed());
	ms_buf_fini(&phc);
	struct slice bcrypt = MS_SLICE_LIT("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
	err = ms_password_verify(bcrypt, MS_SLICE_LIT("U*U"), &cheap, NULL, &answer);
	CHECK(err == MS_OK ? answer.match : err == MS_ERR_NO_MEMORY && ms_test_allocation_failed());
}

TEST(passwords_survive_failing_allocations)
{
	ms_test_torture(hash_and_verify);
}
