// SPDX-License-Identifier: Apache-2.0
// Blue and green as versions of the configuration: another active_group for one upstream, and the way back to the one before.
#include "gateway/document.h"
#include "gateway/history.h"
#include "gateway/versions.h"

#define DOCUMENT_MAX ((size_t)256 << 20)
#define BACK_MAX 1000 // versions that are looked at for the group before

// The upstream with another active_group; of an empty one: with none.
static const struct json_value *with_group(struct arena *arena, const struct json_value *upstream, struct slice group)
{
	size_t n = 0, count = upstream->object.count;
	struct json_value *copy = MS_ARENA_NEW(arena, struct json_value);
	struct json_member *members = MS_ARENA_ARRAY(arena, struct json_member, count + 1);
	if (copy == NULL || members == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (!ms_slice_eq_cstr(upstream->object.members[i].key, "active_group"))
			members[n++] = upstream->object.members[i];
	}
	if (group.n > 0)
		members[n++] = (struct json_member){MS_SLICE_LIT("active_group"), {.type = JSON_STRING, .str = group}};
	*copy = (struct json_value){.type = JSON_OBJECT, .object = {members, n}};
	return copy;
}

static struct slice group_of(const struct json_value *upstream)
{
	struct slice group;
	return ms_json_as_str(ms_json_get(upstream, "active_group"), &group) ? group : MS_SLICE_EMPTY;
}

enum ms_err ms_gateway_switch(struct store_tx *tx, struct gateway_switch *s, struct errinfo *info)
{
	int64_t version;
	const struct json_value *document;
	struct arena *arena = ms_store_arena(tx);
	struct buf text;
	MS_TRY(ms_versions_current(tx, s->edit.auth, info, &version, &document));
	document = document != NULL ? document : s->file;
	const struct json_value *old = document != NULL ? ms_document_find(document, "upstreams", s->upstream) : NULL;
	if (old == NULL)
		return ms_fail(info, MS_ERR_NOT_FOUND, "the upstream has gone meanwhile");
	const struct json_value *fresh = with_group(arena, old, s->group);
	if (fresh == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	ms_buf_init(&text, DOCUMENT_MAX);
	ms_document_change(document, "upstreams", s->upstream, fresh, &text);
	s->edit.text = ms_buf_slice(&text);
	enum ms_err err = ms_buf_ok(&text) ? ms_gateway_apply(tx, &s->edit, info)
					   : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	s->edit.text = MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	return err;
}

// --- For the command line: what is there --------------------------------------------------------------

// The group before the one that has the traffic now: of the newest version in which it was another one.
static enum ms_err find_back(struct store_tx *tx, struct gateway_switch *s, int64_t version, struct errinfo *info)
{
	for (int64_t v = version - 1; v > 0 && version - v <= BACK_MAX; v--) {
		struct gateway_version ignored;
		struct slice text;
		const struct json_value *document;
		const struct json_limits limits = {.max_depth = 128, .max_bytes = DOCUMENT_MAX};
		MS_TRY(ms_history_load(tx, s->edit.auth, v, info, &ignored, &text));
		MS_TRY(ms_json_parse(text, &limits, ms_store_arena(tx), info, &document));
		const struct json_value *upstream = ms_document_find(document, "upstreams", s->upstream);
		if (upstream == NULL || ms_slice_eq(group_of(upstream), s->previous))
			continue;
		s->group = ms_arena_copy(s->arena, group_of(upstream));
		return MS_OK;
	}
	return ms_fail(info, MS_ERR_NOT_FOUND, "no version of the history has another group for this upstream");
}

static const struct gw_upstream *find_upstream(const struct plan *plan, struct slice name)
{
	for (size_t i = 0; i < plan->upstream_count; i++) {
		const struct gw_upstream *u = &plan->upstreams[i];
		if (ms_slice_eq(u->name, name) || ms_slice_eq_cstr(name, u->id))
			return u;
	}
	return NULL;
}

enum ms_err ms_gateway_switch_look(struct store_tx *tx, struct gateway_switch *s, struct errinfo *info)
{
	struct gateway_version row;
	struct slice text;
	struct problems problems;
	struct plan *plan;
	ms_gateway_switch_fini(s); // of an earlier run
	MS_TRY(ms_history_load(tx, s->edit.auth, 0, info, &row, &text));
	MS_TRY(ms_versions_plan(text, NULL, ms_store_arena(tx), &problems, info, &plan));
	s->plan = plan;
	s->upstream_now = find_upstream(plan, s->upstream);
	if (s->upstream_now == NULL)
		return ms_fail(info, MS_ERR_NOT_FOUND, "there is no upstream '%.*s'", MS_SLICE_ARG(s->upstream));
	s->upstream = s->upstream_now->name;
	s->previous = s->upstream_now->active_group;
	if (s->edit.expected < 0) // what was looked at is what will be switched
		s->edit.expected = row.version;
	if (s->back)
		MS_TRY(find_back(tx, s, row.version, info));
	if (ms_versions_has_group(s->upstream_now, s->group))
		return MS_OK;
	return ms_fail(info, MS_ERR_INVALID,
		       "no target of upstream '%.*s' whose weight is not 0 is in the group '%.*s'",
		       MS_SLICE_ARG(s->upstream), MS_SLICE_ARG(s->group));
}

void ms_gateway_switch_fini(struct gateway_switch *s)
{
	ms_plan_unref(s->plan);
	s->plan = NULL;
	s->upstream_now = NULL;
}
