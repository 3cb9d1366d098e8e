// SPDX-License-Identifier: Apache-2.0
// The rules for new passwords.
#include "auth/internal.h"
#include "tests/lib/test.h"

static enum ms_err check(unsigned min, const char *password, const char *username, const char *email,
			 struct errinfo *info)
{
	struct auth auth = {.options = {.password_min_length = min}};
	ms_errinfo_init(info);
	return ms_auth_password_check(&auth, ms_slice_cstr(password), ms_slice_cstr(username), ms_slice_cstr(email),
				      info);
}

TEST(password_refused)
{
	static const struct {
		unsigned min;
		const char *password, *says;
	} cases[] = {
		{15, "fourteen chars", "at least 15"},
		{15, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4",
		 "at least 15"}, // eight characters in sixteen bytes
		{15, "", "at least 15"},
		{8, "password", "tried first"},
		{8, "PassWord", "tried first"},
		{8, "password1!", "tried first"},
		{8, "Password2024", "tried first"},
		{15, "passwordpassword", "tried first"},
		{15, "aaaaaaaaaaaaaaaaaaaaaaaa", "tried first"},
		{15, "abcabcabcabcabcabc", "tried first"},
		{15, "123456789012345", "tried first"},
		{15, "987654321098765", "tried first"},
		{15, "qwertyuiopasdfghjkl", "tried first"},
		{15, "abcdefghijklmnopqrstuvwxyz", "tried first"},
		{15, "correcthorsebatterystaple", "tried first"},
		{8, "ada.lovelace", "name of the user"},
		{8, "ADA.LOVELACE", "name of the user"},
		{15, "ada.lovelaceada.lovelace", "name of the user"},
		{8, "ada.lovelace123", "name of the user"},
		{8, "countess@example.org", "name of the user"},
		{8, "countess", "name of the user"},
		{8, "mainstay1", "tried first"},
	};
	struct errinfo info;
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		if (check(cases[i].min, cases[i].password, "ada.lovelace", "countess@example.org", &info) !=
		    MS_ERR_AUTH_PASSWORD)
			CHECK_STR(cases[i].password, "refused");
		CHECK_HAS(info.message, cases[i].says);
		CHECK_STR(info.field, "password");
	}
}

TEST(password_taken)
{
	static const char *const passwords[] = {
		"correct horse battery staple",
		"seven quiet rivers bend",
		"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x81\xae\xe9\x95\xb7\xe3\x81\x84\xe5\x90\x88\xe8\xa8\x80\xe8"
		"\x91\x89\xe3\x81\xa7\xe3\x81\x99\xe3\x82\x88\xe3\x81\xad\xe3\x82\x93\xe3\x81\xad",
		"xkJ2!pQ9vLm4#tRw",
		"               x",
		"ada.lovelace likes long walks",
	};
	char longest[MS_AUTH_PASSWORD_MAX + 2];
	struct errinfo info;
	for (size_t i = 0; i < MS_ARRAY_LEN(passwords); i++) {
		CHECK_OK(check(15, passwords[i], "ada.lovelace", "countess@example.org", &info));
		if (info.message[0] != '\0')
			CHECK_STR(passwords[i], info.message);
	}
	for (size_t i = 0; i < MS_AUTH_PASSWORD_MAX + 1; i++)
		longest[i] = (char)('a' + ms_rand_below(ms_test_rand(), 26));
	longest[MS_AUTH_PASSWORD_MAX + 1] = '\0';
	CHECK_INT(check(15, longest, "ada", "", &info), MS_ERR_AUTH_PASSWORD);
	CHECK_HAS(info.message, "longer than 1024");
	longest[MS_AUTH_PASSWORD_MAX] = '\0';
	CHECK_OK(check(15, longest, "ada", "", &info));
}

// The search counts on the order of the table.
TEST(password_table_is_found_whole)
{
	static const char *const table[] = {
#include "auth/common_passwords.def"
	};
	struct errinfo info;
	CHECK(MS_ARRAY_LEN(table) > 3000);
	for (size_t i = 0; i < MS_ARRAY_LEN(table); i++) {
		CHECK(i == 0 || strcmp(table[i - 1], table[i]) < 0);
		if (check(1, table[i], "", "", &info) != MS_ERR_AUTH_PASSWORD)
			CHECK_STR(table[i], "refused");
	}
}
