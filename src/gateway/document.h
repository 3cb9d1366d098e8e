// SPDX-License-Identifier: Apache-2.0
// Private to gateway. Work on normalised documents (plan->source): hiding secrets and bringing them back, changing one entity, differences in words.
#ifndef MS_GATEWAY_DOCUMENT_H
#define MS_GATEWAY_DOCUMENT_H

#include "gateway/plan.h"

#define MS_HIDDEN "…"

// YAML or JSON. What is no document becomes a problem; false: problems, or (without one) no memory.
MS_MUST_USE bool ms_document_parse(struct slice text, struct arena *arena, struct problems *problems,
				   const struct json_value **ret_document);
// With "…" in place of secrets.
void ms_document_write(const struct json_value *document, bool hide, struct json_writer *w);
// One entity of the list `kind` ("services").
void ms_document_write_entity(const char *kind, const struct json_value *entity, bool hide, struct json_writer *w);
// The document with every "…" that stands for a secret replaced by that of the same entity (by id) of `old` (may be NULL). In the arena; false: problems.
MS_MUST_USE bool ms_document_restore(const struct json_value *document, const struct json_value *old,
				     struct arena *arena, struct problems *problems,
				     const struct json_value **ret_document);
// The list of that name, or NULL.
const struct json_value *ms_document_list(const struct json_value *document, const char *kind);
// By name or id; NULL: none.
const struct json_value *ms_document_find(const struct json_value *document, const char *kind, struct slice name_or_id);
// The document with the entity put in place of the one of that name or id (else added); NULL: removed, with what is its own (plugins, credentials, groups,
// targets). Written as JSON.
void ms_document_change(const struct json_value *document, const char *kind, struct slice name_or_id,
			const struct json_value *entity, struct buf *out);
// One line a change; nothing when they are the same. `old` may be NULL.
void ms_document_diff(const struct json_value *old, const struct json_value *new, struct buf *out);
// The fields of an entity list or of a plugin; NULL: no such name.
const struct field *ms_document_fields(struct slice name);

#endif
