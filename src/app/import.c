// SPDX-License-Identifier: Apache-2.0
#include "app/import.h"

#include <stdlib.h>

enum { FIELD_USERNAME, FIELD_EMAIL, FIELD_DISPLAY_NAME, FIELD_ROLE, FIELD_STATE, FIELD_PASSWORD_HASH, FIELD_COUNT };
static const char *const names[FIELD_COUNT] = {"username", "email", "display_name", "role", "state", "password_hash"};

static struct slice *member_of(struct auth_user_fields *fields, int field)
{
	struct slice *const members[FIELD_COUNT] = {&fields->username, &fields->email, &fields->display_name,
						    &fields->role,     &fields->state, &fields->password};
	return members[field];
}

static enum ms_err find_field(struct slice name, uint64_t line, struct errinfo *info, int *ret_field)
{
	for (int i = 0; i < FIELD_COUNT; i++) {
		if (ms_slice_eq_cstr(name, names[i])) {
			*ret_field = i;
			return MS_OK;
		}
	}
	return ms_fail(info, MS_ERR_INVALID,
		       "line %llu: \"%.*s\" is no member; there are: username, email, display_name, role, state, "
		       "password_hash",
		       (unsigned long long)line, MS_SLICE_ARG(name));
}

// --- CSV ---------------------------------------------------------------------------------------------

// Takes one record off the front of the bytes at *at. A quoted field may hold separators, ends of line and doubled quotes.
static enum ms_err next_record(struct user_import *import, struct arena *arena, struct errinfo *info,
			       struct slice *fields, size_t *ret_count)
{
	const char *p = import->bytes.p;
	size_t n = import->bytes.n, at = import->at, count = 0;
	for (;;) {
		if (count == IMPORT_COLUMNS_MAX)
			return ms_fail(info, MS_ERR_LIMIT, "line %llu: more than %d columns",
				       (unsigned long long)import->line, IMPORT_COLUMNS_MAX);
		bool quoted = at < n && p[at] == '"';
		size_t from = at;
		if (quoted) {
			size_t close = at + 1, length = 0;
			while (close < n && (p[close] != '"' || (close + 1 < n && p[close + 1] == '"')))
				close += p[close] == '"' ? 2 : 1;
			if (close >= n)
				return ms_fail(info, MS_ERR_INVALID, "line %llu: a quoted field does not end",
					       (unsigned long long)import->line);
			char *text = ms_arena_alloc(arena, close - at);
			if (text == NULL)
				return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
			for (at++; at < close; at += p[at] == '"' ? 2 : 1)
				text[length++] = p[at];
			at++;
			fields[count++] = ms_slice(text, length);
			if (at < n && p[at] != ',' && p[at] != '\r' && p[at] != '\n')
				return ms_fail(info, MS_ERR_INVALID, "line %llu: text behind a quoted field",
					       (unsigned long long)import->line);
		} else {
			while (at < n && p[at] != ',' && p[at] != '\n')
				at++;
			size_t end = at > from && p[at - 1] == '\r' && (at == n || p[at] == '\n') ? at - 1 : at;
			fields[count++] = ms_slice(p + from, end - from);
		}
		if (at < n && p[at] == ',') {
			at++;
			continue;
		}
		if (at < n && p[at] == '\r')
			at++;
		import->at = at < n ? at + 1 : n;
		*ret_count = count;
		return MS_OK;
	}
}

static enum ms_err open_csv(struct user_import *import, struct arena *arena, struct errinfo *info)
{
	struct slice header[IMPORT_COLUMNS_MAX];
	import->csv = true;
	import->at = 0;
	import->line = 1;
	MS_TRY(next_record(import, arena, info, header, &import->column_count));
	bool has_name = false;
	for (size_t i = 0; i < import->column_count; i++) {
		MS_TRY(find_field(ms_slice_trim(header[i]), 1, info, &import->columns[i]));
		has_name |= import->columns[i] == FIELD_USERNAME;
	}
	if (!has_name)
		return ms_fail(info, MS_ERR_INVALID, "the file has no column \"username\"");
	import->first = import->at;
	import->first_line = 1;
	return MS_OK;
}

static enum ms_err next_csv(struct user_import *import, struct arena *arena, struct errinfo *info,
			    struct auth_user_fields *fields)
{
	struct slice values[IMPORT_COLUMNS_MAX];
	size_t count;
	MS_TRY(next_record(import, arena, info, values, &count));
	if (count != import->column_count)
		return ms_fail(info, MS_ERR_INVALID, "line %llu: has %zu fields, the header has %zu",
			       (unsigned long long)import->line, count, import->column_count);
	for (size_t i = 0; i < count; i++) {
		if (values[i].n > 0)
			*member_of(fields, import->columns[i]) = values[i];
	}
	return MS_OK;
}

// --- JSON lines --------------------------------------------------------------------------------------

static enum ms_err next_json(struct user_import *import, struct arena *arena, struct errinfo *info,
			     struct auth_user_fields *fields)
{
	const struct json_value *object;
	struct slice rest = ms_slice_sub(import->bytes, import->at, SIZE_MAX);
	size_t end = ms_slice_find(rest, '\n');
	struct slice line = ms_slice_sub(rest, 0, end);
	import->at += MS_MIN(end + 1, rest.n);
	enum ms_err err = ms_json_parse(line, NULL, arena, info, &object);
	if (err != MS_OK || object->type != JSON_OBJECT)
		return ms_fail(info, err != MS_OK ? err : MS_ERR_JSON_TYPE, "line %llu: is no JSON object",
			       (unsigned long long)import->line);
	for (size_t i = 0; i < object->object.count; i++) {
		const struct json_member *member = &object->object.members[i];
		int field;
		MS_TRY(find_field(member->key, import->line, info, &field));
		if (member->value.type != JSON_NULL && !ms_json_as_str(&member->value, member_of(fields, field)))
			return ms_fail(info, MS_ERR_JSON_TYPE, "line %llu: \"%s\" must be a string",
				       (unsigned long long)import->line, names[field]);
	}
	return MS_OK;
}

// --- Both --------------------------------------------------------------------------------------------

enum ms_err ms_import_open(struct user_import *import, struct slice bytes, struct arena *arena, struct errinfo *info)
{
	*import = (struct user_import){.bytes = bytes};
	size_t at = 0;
	while (at < bytes.n &&
	       (bytes.p[at] == ' ' || bytes.p[at] == '\n' || bytes.p[at] == '\r' || bytes.p[at] == '\t'))
		at++;
	if (at == bytes.n)
		return ms_fail(info, MS_ERR_INVALID, "the file holds no users");
	return bytes.p[at] == '{' ? MS_OK : open_csv(import, arena, info);
}

static bool is_blank_line(const struct user_import *import)
{
	struct slice line = ms_slice_sub(import->bytes, import->at, SIZE_MAX);
	line = ms_slice_sub(line, 0, ms_slice_find(line, '\n'));
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return ms_slice_trim(line).n == 0;
}

enum ms_err ms_import_next(struct user_import *import, struct arena *arena, struct errinfo *info, bool *ret_more,
			   struct auth_user_fields *ret_fields)
{
	*ret_fields = (struct auth_user_fields){0};
	*ret_more = false;
	if (import->at == 0) {
		import->at = import->first;
		import->line = import->first_line;
	}
	while (import->at < import->bytes.n && is_blank_line(import)) {
		import->line++;
		import->at += MS_MIN(ms_slice_find(ms_slice_sub(import->bytes, import->at, SIZE_MAX), '\n') + 1,
				     import->bytes.n - import->at);
	}
	if (import->at >= import->bytes.n)
		return MS_OK;
	import->line++;
	MS_TRY(import->csv ? next_csv(import, arena, info, ret_fields) : next_json(import, arena, info, ret_fields));
	if (ret_fields->username.n == 0)
		return ms_fail(info, MS_ERR_INVALID, "line %llu: has no username", (unsigned long long)import->line);
	if (ret_fields->password.n > 0) {
		struct errinfo why;
		ms_errinfo_init(&why);
		enum ms_err err = ms_password_check_stored(ret_fields->password, &why);
		if (err != MS_OK)
			return ms_fail(info, err, "line %llu: password_hash: %.300s", (unsigned long long)import->line,
				       why.message);
	}
	*ret_more = true;
	return MS_OK;
}
