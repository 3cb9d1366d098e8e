// SPDX-License-Identifier: Apache-2.0
// A recursive reader, as deep as the limit. Every length is compared with what is left before it is used.
#include "auth/cbor.h"

const struct cbor_limits MS_CBOR_DEFAULT_LIMITS = {.max_depth = 8, .max_items = 1024};

struct reader {
	const uint8_t *p, *start, *end;
	const struct cbor_limits *limits;
	struct arena *arena;
	struct errinfo *info;
	size_t items;
};

static enum ms_err fail(const struct reader *r, const char *what)
{
	if (r->info != NULL)
		r->info->offset = r->p - r->start;
	return ms_fail(r->info, MS_ERR_INVALID, "CBOR at byte %zu: %s", (size_t)(r->p - r->start), what);
}

static enum ms_err limit(const struct reader *r, const char *what)
{
	return ms_fail(r->info, MS_ERR_LIMIT, "CBOR at byte %zu: %s", (size_t)(r->p - r->start), what);
}

const char *ms_cbor_type_name(enum cbor_type type)
{
	static const char *const names[] = {"a number", "a negative number", "a byte string", "a text", "an array",
					    "a map",    "true or false",     "null"};
	MS_ASSERT((size_t)type < MS_ARRAY_LEN(names));
	return names[type];
}

// --- Heads -------------------------------------------------------------------------------------------

struct head {
	unsigned major;
	unsigned extra; // the low five bits
	uint64_t n;
};

static enum ms_err read_head(struct reader *r, struct head *ret_head)
{
	static const uint64_t least[] = {24, 0x100, 0x10000, 0x100000000};
	if (r->p == r->end)
		return fail(r, "the data end too early");
	struct head head = {.major = *r->p >> 5, .extra = *r->p & 31};
	head.n = head.extra;
	size_t follow = 0;
	if (head.extra >= 24) {
		if (head.extra > 27)
			return fail(r, head.extra == 31 ? "indefinite lengths are not accepted" : "reserved length");
		follow = (size_t)1 << (head.extra - 24);
	}
	if ((size_t)(r->end - r->p) < 1 + follow)
		return fail(r, "the data end too early");
	if (follow > 0) {
		head.n = 0;
		for (size_t i = 0; i < follow; i++)
			head.n = head.n << 8 | r->p[1 + i];
		if (head.major != 7 && head.n < least[head.extra - 24])
			return fail(r, "a number or length is longer than it needs to be");
	}
	r->p += 1 + follow;
	*ret_head = head;
	return MS_OK;
}

// --- Values ------------------------------------------------------------------------------------------

static enum ms_err read_value(struct reader *r, uint32_t depth, struct cbor_value *ret_value);

static enum ms_err read_bytes(struct reader *r, const struct head *head, struct cbor_value *value)
{
	if (head->n > (uint64_t)(r->end - r->p))
		return fail(r, "a string is longer than the data");
	value->bytes = ms_slice(r->p, (size_t)head->n);
	if (value->type == CBOR_TEXT && ms_utf8_valid_prefix(value->bytes) != value->bytes.n)
		return fail(r, "a text is not UTF-8");
	r->p += head->n;
	return MS_OK;
}

static enum ms_err read_array(struct reader *r, const struct head *head, uint32_t depth, struct cbor_value *value)
{
	// Each item is one byte at least.
	if (head->n > (uint64_t)(r->end - r->p))
		return fail(r, "an array is longer than the data");
	if (head->n > r->limits->max_items - r->items)
		return limit(r, "too many values");
	struct cbor_value *items = MS_ARENA_ARRAY(r->arena, struct cbor_value, (size_t)head->n);
	if (items == NULL)
		return ms_fail(r->info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < head->n; i++)
		MS_TRY(read_value(r, depth, &items[i]));
	value->array.items = items;
	value->array.count = (size_t)head->n;
	return MS_OK;
}

// By major type, then the shorter, then by bytes: with one encoding for each value, equal keys have equal bytes.
static int compare_keys(struct slice a, struct slice b)
{
	unsigned major_a = (uint8_t)a.p[0] >> 5, major_b = (uint8_t)b.p[0] >> 5;
	if (major_a != major_b)
		return major_a < major_b ? -1 : 1;
	if (a.n != b.n)
		return a.n < b.n ? -1 : 1;
	return memcmp(a.p, b.p, a.n);
}

static enum ms_err check_key(const struct reader *r, const struct slice *keys, size_t i)
{
	if (i == 0)
		return MS_OK;
	if (r->limits->any_order) {
		for (size_t k = 0; k < i; k++) {
			if (compare_keys(keys[k], keys[i]) == 0)
				return fail(r, "a key comes twice");
		}
		return MS_OK;
	}
	int order = compare_keys(keys[i - 1], keys[i]);
	if (order == 0)
		return fail(r, "a key comes twice");
	return order < 0 ? MS_OK : fail(r, "the keys are not in order");
}

static enum ms_err read_map(struct reader *r, const struct head *head, uint32_t depth, struct cbor_value *value)
{
	if (head->n > (uint64_t)(r->end - r->p) / 2)
		return fail(r, "a map is longer than the data");
	if (head->n > (r->limits->max_items - r->items) / 2)
		return limit(r, "too many values");
	struct cbor_pair *pairs = MS_ARENA_ARRAY(r->arena, struct cbor_pair, (size_t)head->n);
	struct slice *keys = MS_ARENA_ARRAY(r->arena, struct slice, (size_t)head->n);
	if (pairs == NULL || keys == NULL)
		return ms_fail(r->info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < head->n; i++) {
		const uint8_t *key = r->p;
		MS_TRY(read_value(r, depth, &pairs[i].key));
		keys[i] = ms_slice(key, (size_t)(r->p - key));
		MS_TRY(check_key(r, keys, i));
		MS_TRY(read_value(r, depth, &pairs[i].value));
	}
	value->map.pairs = pairs;
	value->map.count = (size_t)head->n;
	return MS_OK;
}

static enum ms_err read_simple(const struct reader *r, const struct head *head, struct cbor_value *value)
{
	if (head->extra == 20 || head->extra == 21) {
		value->type = CBOR_BOOL;
		value->flag = head->extra == 21;
		return MS_OK;
	}
	if (head->extra != 22)
		return fail(r, head->extra >= 25 ? "floating-point numbers are not accepted" : "unknown simple value");
	value->type = CBOR_NULL;
	return MS_OK;
}

static enum ms_err read_value(struct reader *r, uint32_t depth, struct cbor_value *ret_value)
{
	struct head head = {0};
	if (r->items == r->limits->max_items)
		return limit(r, "too many values");
	r->items++;
	MS_TRY(read_head(r, &head));
	ret_value->type = (enum cbor_type)head.major;
	switch (head.major) {
	case 0:
	case 1:
		ret_value->n = head.n;
		return MS_OK;
	case 2:
	case 3:
		return read_bytes(r, &head, ret_value);
	case 4:
	case 5:
		if (depth == r->limits->max_depth)
			return limit(r, "nested too deeply");
		return head.major == 4 ? read_array(r, &head, depth + 1, ret_value)
				       : read_map(r, &head, depth + 1, ret_value);
	case 6:
		return fail(r, "tags are not accepted");
	default:
		return read_simple(r, &head, ret_value);
	}
}

enum ms_err ms_cbor_read(struct slice *rest, const struct cbor_limits *limits, struct arena *arena,
			 struct errinfo *info, struct cbor_value *ret_value)
{
	const uint8_t *start = (const uint8_t *)(rest->n > 0 ? rest->p : "");
	struct reader r = {.p = start,
			   .start = start,
			   .end = start + rest->n,
			   .limits = limits != NULL ? limits : &MS_CBOR_DEFAULT_LIMITS,
			   .arena = arena,
			   .info = info};
	struct cbor_value value;
	memset(&value, 0, sizeof(value));
	MS_TRY(read_value(&r, 0, &value));
	*rest = ms_slice(r.p, (size_t)(r.end - r.p));
	*ret_value = value;
	return MS_OK;
}

enum ms_err ms_cbor_parse(struct slice bytes, const struct cbor_limits *limits, struct arena *arena,
			  struct errinfo *info, struct cbor_value *ret_value)
{
	struct slice rest = bytes;
	struct cbor_value value;
	MS_TRY(ms_cbor_read(&rest, limits, arena, info, &value));
	if (rest.n > 0) {
		if (info != NULL)
			info->offset = (int64_t)(bytes.n - rest.n);
		return ms_fail(info, MS_ERR_INVALID, "CBOR: %zu bytes follow the value", rest.n);
	}
	*ret_value = value;
	return MS_OK;
}

// --- Access ------------------------------------------------------------------------------------------

bool ms_cbor_as_int(const struct cbor_value *value, int64_t *ret_n)
{
	if (value == NULL || (value->type != CBOR_UNSIGNED && value->type != CBOR_NEGATIVE) || value->n > INT64_MAX)
		return false;
	*ret_n = value->type == CBOR_UNSIGNED ? (int64_t)value->n : -1 - (int64_t)value->n;
	return true;
}

bool ms_cbor_as_bytes(const struct cbor_value *value, struct slice *ret_bytes)
{
	if (value == NULL || value->type != CBOR_BYTES)
		return false;
	*ret_bytes = value->bytes;
	return true;
}

bool ms_cbor_as_text(const struct cbor_value *value, struct slice *ret_text)
{
	if (value == NULL || value->type != CBOR_TEXT)
		return false;
	*ret_text = value->bytes;
	return true;
}

const struct cbor_value *ms_cbor_get_text(const struct cbor_value *map, const char *key)
{
	struct slice text;
	for (size_t i = 0; map != NULL && map->type == CBOR_MAP && i < map->map.count; i++) {
		if (ms_cbor_as_text(&map->map.pairs[i].key, &text) && ms_slice_eq_cstr(text, key))
			return &map->map.pairs[i].value;
	}
	return NULL;
}

const struct cbor_value *ms_cbor_get_int(const struct cbor_value *map, int64_t key)
{
	int64_t n;
	for (size_t i = 0; map != NULL && map->type == CBOR_MAP && i < map->map.count; i++) {
		if (ms_cbor_as_int(&map->map.pairs[i].key, &n) && n == key)
			return &map->map.pairs[i].value;
	}
	return NULL;
}
