// SPDX-License-Identifier: Apache-2.0
// Checking, applying, comparing and rolling back whole documents; for the command line and for admin.c.
#include "gateway/versions.h"

#include "gateway/document.h"
#include "gateway/history.h"

#define READ_MAX ((size_t)1 << 30)

static void write_problems(const struct problems *problems, const char *name, struct buf *out)
{
	for (size_t i = 0; i < problems->count; i++) {
		const struct problem *p = &problems->items[i];
		ms_buf_append_cstr(out, name);
		if (p->line > 0)
			ms_buf_printf(out, ":%lld", (long long)p->line);
		ms_buf_printf(out, ": %.*s%s%.*s\n", MS_SLICE_ARG(p->path), p->path.n > 0 ? ": " : "",
			      MS_SLICE_ARG(p->message));
	}
	if (problems->count == MS_PROBLEMS_MAX)
		ms_buf_printf(out, "%s: … and perhaps more\n", name);
}

static enum ms_err fail_with(const struct problems *problems, struct errinfo *info)
{
	if (problems->count == 0)
		return ms_fail(info, MS_ERR_NO_MEMORY, "not enough memory for this configuration");
	const struct problem *p = &problems->items[0];
	ms_errinfo_set_field(info, p->path);
	if (info != NULL)
		info->line = p->line;
	return ms_fail(info, MS_ERR_CONFIG, "%.*s%s%.*s%s", MS_SLICE_ARG(p->path), p->path.n > 0 ? ": " : "",
		       MS_SLICE_ARG(p->message), problems->count > 1 ? " (and more)" : "");
}

// They come in the order of the steps that found them; people read from top to bottom. At most a hundred.
static void sort_by_line(struct problems *problems)
{
	for (size_t i = 1; i < problems->count; i++) {
		struct problem one = problems->items[i];
		size_t at = i;
		for (; at > 0 && problems->items[at - 1].line > one.line; at--)
			problems->items[at] = problems->items[at - 1];
		problems->items[at] = one;
	}
}

enum ms_err ms_versions_plan(struct slice text, const struct json_value *old, struct arena *arena,
			     struct problems *problems, struct errinfo *info, struct plan **ret_plan)
{
	const struct json_value *document;
	*problems = (struct problems){.arena = arena};
	bool good = ms_document_parse(text, arena, problems, &document) &&
		    ms_document_restore(document, old, arena, problems, &document);
	struct plan *plan = good ? ms_plan_new(document, problems) : NULL;
	if (plan == NULL) {
		sort_by_line(problems);
		return fail_with(problems, info);
	}
	*ret_plan = plan;
	return MS_OK;
}

static void write_json(const struct problems *problems, bool valid, struct buf *out)
{
	struct json_writer w;
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "valid");
	ms_json_bool(&w, valid);
	ms_json_key_lit(&w, "problems");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < problems->count; i++) {
		const struct problem *p = &problems->items[i];
		ms_json_begin_object(&w);
		ms_json_member_text(&w, "path", p->path);
		ms_json_key_lit(&w, "line");
		if (p->line > 0)
			ms_json_i64(&w, p->line);
		else
			ms_json_null(&w);
		ms_json_member_text(&w, "message", p->message);
		ms_json_end_object(&w);
	}
	ms_json_end_array(&w);
	ms_json_end_object(&w);
	ms_buf_append_char(out, '\n');
}

enum ms_err ms_gateway_check(struct slice text, const char *name, bool json, struct buf *out, struct errinfo *info)
{
	struct arena arena;
	struct problems problems;
	struct plan *plan = NULL;
	ms_arena_init(&arena, 65536, READ_MAX);
	enum ms_err err = ms_versions_plan(text, NULL, &arena, &problems, info, &plan);
	if (json)
		write_json(&problems, plan != NULL, out);
	else
		write_problems(&problems, name, out);
	ms_plan_unref(plan);
	ms_arena_fini(&arena);
	return err;
}

// --- Applying --------------------------------------------------------------------------------------

enum ms_err ms_versions_add(struct store_tx *tx, struct gateway_edit *edit, int64_t before,
			    const struct json_value *old, struct plan *plan, struct errinfo *info)
{
	ms_buf_clear(&edit->words);
	ms_document_diff(old, plan->source, &edit->words);
	if (!ms_buf_ok(&edit->words))
		return ms_fail(info, MS_ERR_NO_MEMORY, "not enough memory to tell what changes");
	edit->changed = edit->words.n > 0;
	edit->version = before;
	// A first version is written even when it only repeats the file: from then on the store counts.
	if (edit->only_look || (!edit->changed && before > 0))
		return MS_OK;
	if (edit->accepts != NULL)
		MS_TRY(edit->accepts(edit->accepts_arg, plan, info));
	MS_TRY(ms_history_add(tx, edit, before, plan, info));
	edit->version = plan->version;
	return MS_OK;
}

enum ms_err ms_versions_current(struct store_tx *tx, struct auth *auth, struct errinfo *info, int64_t *ret_version,
				const struct json_value **ret_document)
{
	const struct json_limits limits = {.max_depth = 128, .max_bytes = (size_t)256 << 20};
	struct gateway_version version;
	struct slice text;
	*ret_document = NULL;
	MS_TRY(ms_history_newest(tx, info, ret_version));
	if (*ret_version == 0)
		return MS_OK;
	MS_TRY(ms_history_load(tx, auth, *ret_version, info, &version, &text));
	return ms_json_parse(text, &limits, ms_store_arena(tx), info, ret_document);
}

static enum ms_err expect(const struct gateway_edit *edit, int64_t version, struct errinfo *info)
{
	if (edit->expected < 0 || edit->expected == version)
		return MS_OK;
	return ms_fail(info, MS_ERR_CONFLICT,
		       "the gateway is at version %lld, not at %lld: somebody changed it meanwhile; look again",
		       (long long)version, (long long)edit->expected);
}

static enum ms_err apply_text(struct store_tx *tx, struct gateway_edit *edit, struct slice text, struct errinfo *info)
{
	int64_t before;
	const struct json_value *old;
	struct problems problems;
	struct plan *plan;
	MS_TRY(ms_versions_current(tx, edit->auth, info, &before, &old));
	MS_TRY(expect(edit, before, info));
	ms_buf_clear(&edit->words);
	enum ms_err err = ms_versions_plan(text, old, ms_store_arena(tx), &problems, info, &plan);
	if (err != MS_OK) {
		write_problems(&problems, edit->name != NULL ? edit->name : "gateway", &edit->words);
		return err;
	}
	err = ms_versions_add(tx, edit, before, old, plan, info);
	ms_plan_unref(plan);
	return err;
}

enum ms_err ms_gateway_apply(struct store_tx *tx, struct gateway_edit *edit, struct errinfo *info)
{
	return apply_text(tx, edit, edit->text, info);
}

enum ms_err ms_gateway_rollback(struct store_tx *tx, int64_t version, struct gateway_edit *edit, struct errinfo *info)
{
	struct gateway_version ignored;
	struct slice document;
	if (version <= 0)
		return ms_fail(info, MS_ERR_NOT_FOUND, "versions count from 1");
	MS_TRY(ms_history_load(tx, edit->auth, version, info, &ignored, &document));
	return apply_text(tx, edit, document, info);
}

enum ms_err ms_gateway_export(struct store_tx *tx, struct auth *auth, int64_t version, bool hide_secrets,
			      struct buf *out, struct errinfo *info)
{
	const struct json_limits limits = {.max_depth = 128, .max_bytes = (size_t)256 << 20};
	struct gateway_version ignored;
	struct slice text;
	const struct json_value *document;
	struct json_writer w;
	MS_TRY(ms_history_load(tx, auth, version, info, &ignored, &text));
	MS_TRY(ms_json_parse(text, &limits, ms_store_arena(tx), info, &document));
	ms_buf_clear(out);
	ms_json_writer_init(&w, out);
	ms_document_write(document, hide_secrets, &w);
	return ms_buf_ok(out) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "not enough memory to write the configuration");
}

bool ms_versions_has_group(const struct gw_upstream *upstream, struct slice group)
{
	bool found = group.n == 0;
	for (size_t i = 0; i < upstream->target_count && !found; i++)
		found = ms_slice_eq(upstream->targets[i].group, group) && upstream->targets[i].weight > 0;
	return found;
}
