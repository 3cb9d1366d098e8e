// SPDX-License-Identifier: Apache-2.0
// Private to schema. A compiled schema is a graph of nodes, one for each (sub)schema that can be reached; a node is a row of operations.
#ifndef MS_SCHEMA_INTERNAL_H
#define MS_SCHEMA_INTERNAL_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "schema/schema.h"

// --- Numbers: exact, of any length (number.c) ------------------------------------------------------

// ±0.DIGITS × 10^magnitude; the digits have neither leading nor trailing zeros. No digits: zero.
struct decimal {
	struct slice digits;
	int64_t magnitude; // saturated far beyond what a text can hold
	bool negative;
	bool plain; // written without point and exponent
};
// `text` is a JSON number. Digits point into it, or into the arena when a point stood between them.
MS_MUST_USE enum ms_err ms_decimal_parse(struct slice text, struct arena *arena, struct decimal *ret_number);
int ms_decimal_cmp(const struct decimal *a, const struct decimal *b);
bool ms_decimal_is_integer(const struct decimal *n);
// Only for divisors of at most MS_DIVISOR_DIGITS digits that are above zero.
#define MS_DIVISOR_DIGITS 19
bool ms_decimal_is_multiple(const struct decimal *n, const struct decimal *divisor);

// --- URIs (uri.c, RFC 3986) ------------------------------------------------------------------------

struct uri {
	struct slice scheme, authority, path, query, fragment; // p NULL: not there
};
struct uri ms_uri_split(struct slice text);
// `reference` as seen from `base`; the fragment is that of the reference, or not there. p NULL: no memory.
MS_MUST_USE struct slice ms_uri_resolve(struct arena *arena, struct slice base, struct uri reference);

// --- Regular expressions (regex.c): ECMA-262 with the flag u, by PCRE2 ----------------------------------

struct pattern {
	struct slice text; // as the schema says it
	pcre2_code *code;
	bool anchored; // starts with ^: tried at one place only
};
// `memory` serves PCRE2; the pattern lives as long as the arena behind it.
MS_MUST_USE enum ms_err ms_pattern_compile(struct slice text, pcre2_general_context *memory, struct errinfo *info,
					   struct pattern *ret_pattern);
// Is it an expression of ECMA-262? Fills info when not. MS_ERR_INVALID, MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_pattern_translate(struct slice text, struct buf *out, struct errinfo *info);
// *steps goes down by what it took; MS_ERR_LIMIT when they do not suffice.
MS_MUST_USE enum ms_err ms_pattern_match(const struct pattern *pattern, struct slice text, struct arena *arena,
					 size_t *steps, bool *ret_found);
// A general context of PCRE2 that takes from the arena; NULL: no memory.
MS_MUST_USE pcre2_general_context *ms_pattern_memory(struct arena *arena);

// --- Formats (format.c) ----------------------------------------------------------------------------

struct format {
	const char *name;
	const char *words; // "a date and time like 2026-11-20T08:30:00Z"
	unsigned drafts;   // bits of enum schema_draft
	bool (*valid)(struct slice text);
};
const struct format *ms_format_find(struct slice name, enum schema_draft draft); // NULL: unknown, which is valid

// --- The compiled schema ----------------------------------------------------------------------------

enum vocabulary {
	VOCAB_CORE = 1,
	VOCAB_APPLICATOR = 2,
	VOCAB_UNEVALUATED = 4,
	VOCAB_VALIDATION = 8,
	VOCAB_FORMAT_ASSERTION = 16,
	VOCAB_OTHER = 32, // says nothing about validity: metadata, content, format-annotation
	VOCAB_ALL = VOCAB_CORE | VOCAB_APPLICATOR | VOCAB_UNEVALUATED | VOCAB_VALIDATION | VOCAB_OTHER,
};

struct node;
struct anchor {
	struct slice name;
	const struct json_value *value;
	struct resource *resource;
	const struct node *node; // of dynamic anchors in resources that are used
	bool dynamic;
	struct anchor *next;
};
// A schema with a base URI of its own: a document, or a subschema with $id.
struct resource {
	struct slice uri; // absolute where possible, without fragment
	const struct json_value *root;
	enum schema_draft draft;
	unsigned vocabularies;
	struct anchor *anchors;
	bool recursive_anchor;        // $recursiveAnchor: true at its root
	bool used;                    // a node of it was compiled
	const struct node *root_node; // with recursive_anchor, when used
	struct resource *next;
};

struct name_node {
	struct slice name;
	const struct node *node;
};
struct pattern_node {
	struct pattern pattern;
	const struct node *node;
};
struct properties {
	struct name_node *names; // sorted by ms_name_cmp
	size_t name_count;
	struct pattern_node *patterns;
	size_t pattern_count;
	const struct node *additional; // NULL: anything goes
};
struct items {
	const struct node **prefix;
	size_t prefix_count;
	const struct node *rest; // NULL: anything goes
	const char *prefix_keyword, *rest_keyword;
};
struct contains {
	const struct node *node;
	size_t min, max;
	bool evaluates; // items that fit count as evaluated (2020-12)
};
struct dependent {
	struct slice name;
	const struct slice *required;
	size_t required_count;
	const struct node *node; // or NULL
};
struct value_set {
	const struct json_value *items;
	uint64_t *hashes;
	size_t count;
};

struct op;
struct check;
struct path;
struct scope;
struct seen;
// True: valid as far as this operation says.
typedef bool op_fn(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		   const struct scope *scope, struct seen *seen);
struct op {
	op_fn *run;
	const char *keyword;
	unsigned for_types; // bits of enum json_type that it looks at
	union {
		struct {
			unsigned types; // bits of enum json_type
			bool integer, integer_plain;
		} type;
		struct decimal number;
		size_t count;
		struct value_set values;
		struct pattern pattern;
		const struct format *format;
		const struct node *node;
		struct {
			const struct node **items;
			size_t count;
		} nodes;
		struct {
			const struct slice *items;
			size_t count;
		} names;
		struct properties *properties;
		struct items *array;
		struct contains contains;
		struct {
			struct dependent *items;
			size_t count;
		} dependents;
		struct {
			const struct node *condition, *then, *otherwise;
		} branch;
		struct {
			const struct node *node;
			struct slice name; // dynamic anchor; p NULL: $recursiveRef
			bool dynamic;
		} dynamic;
	};
};
struct node {
	const struct json_value *source;
	const struct resource *resource;
	struct op *ops;
	size_t op_count;
	bool never;          // the schema false
	bool wants_seen;     // has unevaluatedItems or unevaluatedProperties
	unsigned char color; // compiling: search for circles
};
struct schema {
	struct arena arena;
	const struct node *root;
};

int ms_name_cmp(struct slice a, struct slice b); // by length, then bytes

// --- Equality (equal.c) ------------------------------------------------------------------------------

// Equal values have equal hashes, whatever the order of members and the spelling of numbers. False: no memory (in the arena), or `steps` used up.
MS_MUST_USE enum ms_err ms_value_hash(const struct json_value *v, struct arena *arena, size_t *steps,
				      uint64_t *ret_hash);
MS_MUST_USE enum ms_err ms_value_equal(const struct json_value *a, const struct json_value *b, struct arena *arena,
				       size_t *steps, bool *ret_equal);

// --- Compiling ------------------------------------------------------------------------------------------

struct place { // where a schema stands
	const struct json_value *value;
	struct resource *resource;
	struct node *node;  // once asked for
	struct place *next; // to be compiled
};
struct document {
	struct slice uri;
	const struct json_value *source; // NULL: of the library
	const char *text;
	bool loaded;
};
struct compiler {
	struct schema *schema;
	struct arena *arena; // of the schema
	const struct schema_options *options;
	struct errinfo *info;
	pcre2_general_context *memory;
	struct map places;    // by the address of the value
	struct map resources; // by URI
	struct resource *all;
	struct document *documents;
	size_t document_count;
	struct place *queue, **queue_end;
	struct node **nodes;
	size_t node_count, node_room;
	enum schema_draft default_draft;
	const struct json_value *root; // of the document that is named in messages
	struct slice root_uri;
};

// registry.c: documents, resources, anchors, references.
MS_MUST_USE enum ms_err ms_registry_init(struct compiler *c);
void ms_registry_fini(struct compiler *c);
MS_MUST_USE enum ms_err ms_registry_add(struct compiler *c, struct slice uri, const struct json_value *value,
					struct resource **ret_resource);
// What `reference` of a schema in `from` means. ret_anchor (may be NULL): the anchor that named it.
MS_MUST_USE enum ms_err ms_registry_find(struct compiler *c, const struct resource *from, struct slice reference,
					 const struct json_value *at, struct place **ret_place,
					 const struct anchor **ret_anchor);
// Fails with the place of `at` in the schema before the message.
enum ms_err ms_compile_fail(struct compiler *c, const struct json_value *at, enum ms_err code, const char *fmt, ...)
	MS_PRINTF(4, 5);
enum ms_err ms_compile_no_memory(struct compiler *c);
// The place of a schema; found, or made in this resource.
MS_MUST_USE enum ms_err ms_registry_place(struct compiler *c, const struct json_value *value, struct resource *resource,
					  struct place **ret_place);

// keywords.c: what keywords mean in which draft.
enum holds { HOLDS_NOTHING, HOLDS_SCHEMA, HOLDS_ARRAY, HOLDS_SCHEMA_OR_ARRAY, HOLDS_MAP };
struct keyword_build { // what a keyword's function sees
	struct compiler *c;
	struct resource *resource;
	const struct json_value *object, *value;
	const struct keyword *keyword;
	struct node *node;
};
struct keyword {
	const char *name;
	unsigned drafts; // bits of enum schema_draft
	unsigned vocabulary;
	enum holds holds;
	// Fills the op; *ret_op->run stays NULL when there is nothing to do. NULL: no operation.
	enum ms_err (*build)(const struct keyword_build *b, struct op *ret_op);
};
extern const struct keyword ms_keywords[];
extern const size_t ms_keyword_count;
// The node of a subschema, compiled now or later.
MS_MUST_USE enum ms_err ms_compile_node(struct compiler *c, const struct json_value *value, struct resource *resource,
					const struct node **ret_node);
MS_MUST_USE enum ms_err ms_compile_place(struct compiler *c, struct place *place, const struct node **ret_node);

#define DRAFT_BIT(draft) (1u << (draft))
#define DRAFT_FROM(draft) (~0u << (draft))
#define DRAFT_TO(draft) ((2u << (draft)) - 1)

// The metaschemas (meta/*.json).
struct meta_document {
	const char *uri;
	const char *text;
};
extern const struct meta_document ms_meta_documents[];
extern const size_t ms_meta_document_count;

// --- Checking (check*.c) -----------------------------------------------------------------------------

op_fn ms_check_type, ms_check_enum, ms_check_const, ms_check_multiple_of, ms_check_maximum, ms_check_minimum,
	ms_check_exclusive_maximum, ms_check_exclusive_minimum, ms_check_max_length, ms_check_min_length,
	ms_check_pattern, ms_check_format, ms_check_items, ms_check_max_items, ms_check_min_items,
	ms_check_unique_items, ms_check_contains, ms_check_max_properties, ms_check_min_properties, ms_check_required,
	ms_check_properties, ms_check_property_names, ms_check_dependents, ms_check_ref, ms_check_dynamic_ref,
	ms_check_all_of, ms_check_any_of, ms_check_one_of, ms_check_not, ms_check_if, ms_check_unevaluated_items,
	ms_check_unevaluated_properties;

struct path { // where in the value, from the inside out
	const struct path *parent;
	struct slice key; // p NULL: an item
	size_t index;     // of the member or item
};
struct scope { // resources that were entered, from the inside out
	const struct scope *parent;
	const struct resource *resource;
};
// Members or items that a keyword looked at, for unevaluated…
struct seen {
	uint64_t *bits;
	size_t count;
	bool all;
};
struct found {
	struct schema_finding finding;
	const size_t *where; // indexes of the path, from the outside in
	size_t depth, number;
};
#define MS_CHECK_DEPTH 800
struct check {
	struct arena *arena;
	struct errinfo *info;
	size_t steps;
	unsigned depth;
	unsigned quiet; // in a schema whose failure is no failure of the whole
	struct found *found;
	size_t found_count, found_room, max;
	enum ms_err err; // ends the check
};
bool ms_check_node(struct check *c, const struct node *node, const struct json_value *v, const struct path *path,
		   const struct scope *scope, struct seen *seen, const char *keyword);
// The same without findings.
bool ms_check_quiet(struct check *c, const struct node *node, const struct json_value *v, const struct path *path,
		    const struct scope *scope, struct seen *seen);
// False, and c->err set, when the steps are used up.
bool ms_check_step(struct check *c, size_t steps);
// Records; always false.
bool ms_check_found(struct check *c, const struct path *path, const char *keyword, const char *fmt, ...)
	MS_PRINTF(4, 5);
bool ms_check_stop(struct check *c, enum ms_err err, const char *why); // always false
// The end of a loop over parts: nothing more to learn.
static inline bool ms_check_enough(const struct check *c, bool valid)
{
	return c->err != MS_OK || (!valid && (c->quiet > 0 || c->found_count >= c->max));
}
void ms_seen_add(struct seen *seen, size_t index); // seen may be NULL
bool ms_seen_has(const struct seen *seen, size_t index);
// A value in few words, for messages: its text as far as it is short.
#define MS_SHOWN_SIZE 96
const char *ms_value_shown(const struct json_value *v, char dst[MS_SHOWN_SIZE]);

#endif
