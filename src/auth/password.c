// SPDX-License-Identifier: Apache-2.0
// The rules for new passwords, and their stored form. No rules of composition (SP 800-63B-4): length, and not what everyone tries first.
#include "auth/internal.h"

#define COMMON_MAX 28 // bytes of a common password
#define PIECE_MIN 8   // bytes below which a repeated piece is no secret

static const char *const common_passwords[] = {
#include "auth/common_passwords.def"
};

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool is_common(struct slice text)
{
	char key[COMMON_MAX + 1];
	size_t low = 0, high = MS_ARRAY_LEN(common_passwords);
	if (text.n > COMMON_MAX)
		return false;
	for (size_t i = 0; i < text.n; i++)
		key[i] = lower(text.p[i]);
	key[text.n] = '\0';
	if (memchr(key, '\0', text.n) != NULL)
		return false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(key, common_passwords[middle]);
		if (order == 0)
			return true;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

static bool same_nocase(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (lower(a[i]) != lower(b[i]))
			return false;
	}
	return true;
}

// The shortest piece that, written again and again (the last time perhaps in part), gives the text.
static size_t period_of(struct slice text)
{
	for (size_t n = 1; n <= text.n / 2; n++) {
		if (same_nocase(text.p, text.p + n, text.n - n))
			return n;
	}
	return text.n;
}

// Each character follows the one before, up or down the alphabet, the digits or a row of the keyboard: "123456789012345", "qwertyuiop…".
static bool is_walk(struct slice text)
{
	static const char *const rows[] = {"01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm"};
	for (size_t r = 0; r < MS_ARRAY_LEN(rows); r++) {
		for (int step = -1; step <= 1; step += 2) {
			size_t i = 1;
			for (; i < text.n; i++) {
				const char *at = strchr(rows[r], lower(text.p[i - 1]));
				if (at == NULL || text.p[i - 1] == '\0')
					break;
				bool edge = step < 0 ? at == rows[r] : at[1] == '\0';
				char next = edge ? (step < 0 ? rows[r][strlen(rows[r]) - 1] : rows[r][0]) : at[step];
				if (r == 0 && edge)
					next = step < 0 ? '9' : '1'; // the row holds 0 at both ends
				if (next != lower(text.p[i]))
					break;
			}
			if (i == text.n)
				return true;
		}
	}
	return false;
}

// Trailing digits and punctuation, which people add to a word that was refused.
static struct slice without_tail(struct slice text)
{
	while (text.n > 0 && !((lower(text.p[text.n - 1]) >= 'a' && lower(text.p[text.n - 1]) <= 'z') ||
			       (unsigned char)text.p[text.n - 1] >= 0x80))
		text.n--;
	return text;
}

static bool is_guessable(struct slice password)
{
	struct slice piece = ms_slice_sub(password, 0, period_of(password));
	if (is_common(password) || is_walk(password))
		return true;
	if (piece.n < password.n && (piece.n < PIECE_MIN || is_common(piece) || is_walk(piece)))
		return true;
	struct slice word = without_tail(password);
	return word.n < password.n && word.n > 0 && password.n - word.n <= 4 && is_common(word);
}

static bool is_name(struct slice password, struct slice name)
{
	struct slice piece = ms_slice_sub(password, 0, period_of(password));
	struct slice word = without_tail(password);
	return name.n > 0 && (ms_slice_eq_nocase(password, name) || ms_slice_eq_nocase(piece, name) ||
			      (name.n >= 4 && word.n + 4 >= password.n && ms_slice_eq_nocase(word, name)));
}

static enum ms_err refuse(struct errinfo *info, const char *why)
{
	ms_errinfo_set_field(info, MS_SLICE_LIT("password"));
	return ms_fail(info, MS_ERR_AUTH_PASSWORD, "the password %s", why);
}

// Code points, so that a password of another script is not worth more than it is.
static size_t count_characters(struct slice text)
{
	size_t count = 0;
	for (size_t i = 0; i < text.n; i++)
		count += ((unsigned char)text.p[i] & 0xc0) != 0x80;
	return count;
}

enum ms_err ms_auth_password_check(const struct auth *auth, struct slice password, struct slice username,
				   struct slice email, struct errinfo *info)
{
	struct slice local = ms_slice_sub(email, 0, ms_slice_find(email, '@'));
	unsigned min = auth->options.password_min_length;
	if (password.n > MS_AUTH_PASSWORD_MAX)
		return refuse(info, "is longer than 1024 bytes");
	if (count_characters(password) < min) {
		ms_errinfo_set_field(info, MS_SLICE_LIT("password"));
		return ms_fail(info, MS_ERR_AUTH_PASSWORD,
			       "the password must have at least %u characters; several words are easier to remember "
			       "than signs",
			       min);
	}
	if (is_guessable(password))
		return refuse(info,
			      "is one of those that are tried first: common, a repetition or a row of the keyboard");
	if (is_name(password, username) || is_name(password, email) || is_name(password, local) ||
	    is_name(password, MS_SLICE_LIT("mainstay")))
		return refuse(info, "is the name of the user or of this service");
	return MS_OK;
}

enum ms_err ms_auth_password_hash(const struct auth *auth, struct slice password, struct arena *arena,
				  struct errinfo *info, struct slice *ret_stored)
{
	uint8_t salt[MS_PASSWORD_SALT_SIZE];
	struct buf out;
	const struct password_cost cost = {
		.memory_kib = auth->options.password_memory_kib, .time = auth->options.password_passes, .lanes = 1};
	ms_random_bytes(salt, sizeof(salt));
	ms_buf_init(&out, MS_PASSWORD_STORED_MAX);
	enum ms_err err = ms_password_hash(password, &cost, salt, info, &out);
	if (err == MS_OK) {
		*ret_stored = ms_arena_copy(arena, ms_buf_slice(&out));
		if (!ms_buf_ok(&out) || ret_stored->p == NULL)
			err = ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	}
	ms_buf_fini(&out);
	return err;
}
