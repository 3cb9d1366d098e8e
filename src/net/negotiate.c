// SPDX-License-Identifier: Apache-2.0
#include "net/negotiate.h"

#include "net/http1/scan.h"

// --- Lists of elements with parameters ---------------------------------------------------------------

// Walks the elements of a comma-separated header over all its lines: "gzip;q=0.5, *". Commas and semicolons
// inside quoted strings do not divide.
struct list_walk {
	const struct http_header *headers;
	size_t count;
	struct slice name;
	size_t next;       // header line
	struct slice rest; // of the present line; p == NULL: take the next
};

// Index of the first `stop` outside quotes, or s.n.
static size_t find_unquoted(struct slice s, char stop)
{
	bool quoted = false;
	for (size_t i = 0; i < s.n; i++) {
		if (quoted && s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			quoted = !quoted;
		else if (!quoted && s.p[i] == stop)
			return i;
	}
	return s.n;
}

// As ms_slice_next(), outside quotes.
static bool next_part(struct slice *rest, char stop, struct slice *ret_part)
{
	if (rest->p == NULL)
		return false;
	size_t n = find_unquoted(*rest, stop);
	*ret_part = ms_slice_trim(ms_slice_sub(*rest, 0, n));
	*rest = n == rest->n ? MS_SLICE_EMPTY : ms_slice_sub(*rest, n + 1, SIZE_MAX);
	return true;
}

static bool next_element(struct list_walk *w, struct slice *ret_element)
{
	for (;;) {
		while (w->rest.p == NULL) {
			if (w->next == w->count)
				return false;
			const struct http_header *h = &w->headers[w->next++];
			if (ms_slice_eq_nocase(h->name, w->name))
				w->rest = h->value;
		}
		if (next_part(&w->rest, ',', ret_element) && ret_element->n > 0)
			return true;
	}
}

static struct list_walk walk_list(const struct http_header *headers, size_t count, struct slice name)
{
	return (struct list_walk){.headers = headers, .count = count, .name = name};
}

static bool has_header(const struct http_header *headers, size_t count, struct slice name)
{
	for (size_t i = 0; i < count; i++) {
		if (ms_slice_eq_nocase(headers[i].name, name))
			return true;
	}
	return false;
}

// Weights in thousandths.
#define WEIGHT_MAX 1000u

// qvalue = "0" [ "." *3DIGIT ] or "1" [ "." *3"0" ] (RFC 9110 section 12.4.2).
static bool parse_weight(struct slice text, unsigned *ret_weight)
{
	if (text.n == 0 || text.n > 5 || (text.p[0] != '0' && text.p[0] != '1') || (text.n > 1 && text.p[1] != '.'))
		return false;
	unsigned weight = (unsigned)(text.p[0] - '0') * WEIGHT_MAX, unit = WEIGHT_MAX;
	for (size_t i = 2; i < text.n; i++) {
		if (!is_char(text.p[i], CHAR_DIGIT))
			return false;
		unit /= 10;
		weight += (unsigned)(text.p[i] - '0') * unit;
	}
	if (weight > WEIGHT_MAX)
		return false;
	*ret_weight = weight;
	return true;
}

static bool is_param(struct slice part, const char *name, struct slice *ret_value)
{
	size_t n = ms_slice_find(part, '=');
	if (n == part.n || !ms_slice_eq_nocase(ms_slice_trim(ms_slice_sub(part, 0, n)), ms_slice_cstr(name)))
		return false;
	*ret_value = ms_slice_trim(ms_slice_sub(part, n + 1, SIZE_MAX));
	return true;
}

// Cuts "value;a=b;q=0.5" into value, parameters before q, and weight. False when the weight is malformed:
// then the element is passed over.
static bool cut_weight(struct slice element, struct slice *ret_value, struct slice *ret_params, unsigned *ret_weight)
{
	struct slice rest = element, part, weight;
	if (!next_part(&rest, ';', ret_value))
		return false;
	struct slice params = rest;
	*ret_weight = WEIGHT_MAX;
	while (next_part(&rest, ';', &part)) {
		if (!is_param(part, "q", &weight))
			continue;
		params.n = (size_t)(part.p - params.p);
		*ret_params = params;
		return parse_weight(weight, ret_weight);
	}
	*ret_params = params;
	return true;
}

// --- Content codings ---------------------------------------------------------------------------------

static bool coding_by_name(struct slice name, enum content_coding *ret_coding)
{
	if (ms_slice_eq_nocase(name, MS_SLICE_LIT("x-gzip"))) { // the same (RFC 9110 section 8.4.1.3)
		*ret_coding = CODING_GZIP;
		return true;
	}
	for (unsigned i = 0; i < CODING_COUNT; i++) {
		if (ms_slice_eq_nocase(name, ms_slice_cstr(ms_coding_name((enum content_coding)i)))) {
			*ret_coding = (enum content_coding)i;
			return true;
		}
	}
	return false;
}

#define UNNAMED UINT32_MAX

struct coding_choice ms_negotiate_coding(const struct http_header *headers, size_t count)
{
	unsigned weights[CODING_COUNT] = {UNNAMED, UNNAMED, UNNAMED, UNNAMED}, any = UNNAMED, weight;
	struct list_walk w = walk_list(headers, count, MS_SLICE_LIT("accept-encoding"));
	struct slice element, name, params;
	enum content_coding coding;
	while (next_element(&w, &element)) {
		if (!cut_weight(element, &name, &params, &weight))
			continue;
		if (ms_slice_eq_cstr(name, "*"))
			any = weight;
		else if (coding_by_name(name, &coding))
			weights[coding] = weight;
	}
	for (unsigned i = 0; i < CODING_COUNT; i++)
		weights[i] = weights[i] == UNNAMED ? any : weights[i];
	struct coding_choice choice = {.coding = CODING_IDENTITY, .identity_ok = weights[CODING_IDENTITY] != 0};
	// Identity is acceptable unless excluded, but when nobody names it everything named is better.
	unsigned best = weights[CODING_IDENTITY] == UNNAMED ? 0 : weights[CODING_IDENTITY];
	static const enum content_coding worst_first[] = {CODING_GZIP, CODING_ZSTD};
	for (size_t i = 0; i < MS_ARRAY_LEN(worst_first); i++) {
		weight = weights[worst_first[i]];
		if (weight != UNNAMED && weight > 0 && weight >= best) {
			best = weight;
			choice.coding = worst_first[i];
		}
	}
	return choice;
}

enum ms_err ms_request_coding(const struct http_header *headers, size_t count, struct errinfo *info,
			      enum content_coding *ret_coding)
{
	struct list_walk w = walk_list(headers, count, MS_SLICE_LIT("content-encoding"));
	struct slice element;
	enum content_coding result = CODING_IDENTITY, coding;
	while (next_element(&w, &element)) {
		if (!coding_by_name(element, &coding))
			return ms_fail(info, MS_ERR_HTTP_ENCODING,
				       "Content-Encoding '%.*s' is not supported: use " MS_CODINGS_SUPPORTED " or none",
				       MS_SLICE_ARG(element));
		if (coding == CODING_IDENTITY)
			continue;
		if (result != CODING_IDENTITY)
			return ms_fail(info, MS_ERR_HTTP_ENCODING,
				       "more than one content coding: use one of " MS_CODINGS_SUPPORTED " or none");
		result = coding;
	}
	*ret_coding = result;
	return MS_OK;
}

// --- Media types -------------------------------------------------------------------------------------

struct media_type {
	struct slice type;
	struct slice subtype;
	struct slice params; // raw: "version=0.0.4; charset=utf-8"
};

static bool cut_type(struct slice text, struct media_type *ret_type)
{
	size_t slash = ms_slice_find(text, '/');
	if (slash == text.n)
		return false;
	ret_type->type = ms_slice_sub(text, 0, slash);
	ret_type->subtype = ms_slice_sub(text, slash + 1, SIZE_MAX);
	return ret_type->type.n > 0 && ret_type->subtype.n > 0;
}

static struct slice unquoted(struct slice s)
{
	return s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"' ? ms_slice_sub(s, 1, s.n - 2) : s;
}

static bool has_param(struct slice params, struct slice wanted)
{
	struct slice part;
	size_t n = ms_slice_find(wanted, '=');
	struct slice name = ms_slice_trim(ms_slice_sub(wanted, 0, n));
	struct slice value = unquoted(ms_slice_trim(ms_slice_sub(wanted, n + 1, SIZE_MAX)));
	if (ms_slice_eq_nocase(name, MS_SLICE_LIT("charset")) && ms_slice_eq_nocase(value, MS_SLICE_LIT("utf-8")))
		return true; // all our text is
	while (next_part(&params, ';', &part)) {
		n = ms_slice_find(part, '=');
		if (ms_slice_eq_nocase(ms_slice_trim(ms_slice_sub(part, 0, n)), name) &&
		    ms_slice_eq_nocase(unquoted(ms_slice_trim(ms_slice_sub(part, n + 1, SIZE_MAX))), value))
			return true;
	}
	return false;
}

// How closely the range names the offer: 0 not at all, 1 "*/*", 2 "type/*", 3 both, 4 and more with parameters.
static unsigned range_precision(const struct media_type *range, const struct media_type *offer)
{
	bool any_type = ms_slice_eq_cstr(range->type, "*"), any_subtype = ms_slice_eq_cstr(range->subtype, "*");
	if (any_type)
		return any_subtype ? 1 : 0;
	if (!ms_slice_eq_nocase(range->type, offer->type))
		return 0;
	if (any_subtype)
		return 2;
	if (!ms_slice_eq_nocase(range->subtype, offer->subtype))
		return 0;
	unsigned precision = 3;
	struct slice rest = range->params, part;
	while (next_part(&rest, ';', &part)) {
		if (part.n == 0)
			continue;
		if (!has_param(offer->params, part))
			return 0;
		precision++;
	}
	return precision;
}

// The weight that Accept gives the offer: that of the range which names it most closely.
static unsigned offer_weight(const struct http_header *headers, size_t count, const char *offer)
{
	struct media_type type, range;
	struct slice name, params, element;
	unsigned weight, best_weight = 0, best_precision = 0;
	if (!cut_weight(ms_slice_cstr(offer), &name, &type.params, &weight) || !cut_type(name, &type))
		return 0;
	struct list_walk w = walk_list(headers, count, MS_SLICE_LIT("accept"));
	while (next_element(&w, &element)) {
		if (!cut_weight(element, &name, &params, &weight) || !cut_type(name, &range))
			continue;
		range.params = params;
		unsigned precision = range_precision(&range, &type);
		if (precision > best_precision) {
			best_precision = precision;
			best_weight = weight;
		}
	}
	return best_weight;
}

size_t ms_negotiate_type(const struct http_header *headers, size_t count, const char *const *offers, size_t offer_count)
{
	if (!has_header(headers, count, MS_SLICE_LIT("accept")))
		return offer_count > 0 ? 0 : SIZE_MAX;
	size_t best = SIZE_MAX;
	unsigned best_weight = 0;
	for (size_t i = 0; i < offer_count; i++) {
		unsigned weight = offer_weight(headers, count, offers[i]);
		if (weight > best_weight) {
			best_weight = weight;
			best = i;
		}
	}
	return best;
}

static struct slice essence(struct slice content_type)
{
	return ms_slice_trim(ms_slice_sub(content_type, 0, ms_slice_find(content_type, ';')));
}

bool ms_media_type_is(struct slice value, const char *type)
{
	return ms_slice_eq_nocase(essence(value), ms_slice_cstr(type));
}

static bool ends_with_nocase(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n && ms_slice_eq_nocase(ms_slice_sub(s, s.n - suffix.n, suffix.n), suffix);
}

bool ms_media_type_compresses(struct slice value)
{
	static const struct slice types[] = {
		MS_SLICE_LIT("application/json"),       MS_SLICE_LIT("application/x-ndjson"),
		MS_SLICE_LIT("application/javascript"), MS_SLICE_LIT("application/xml"),
		MS_SLICE_LIT("application/yaml"),       MS_SLICE_LIT("application/openmetrics-text"),
		MS_SLICE_LIT("application/wasm"),       MS_SLICE_LIT("image/svg+xml"),
	};
	struct slice type = essence(value);
	if (ms_slice_eq_nocase(type, MS_SLICE_LIT("text/event-stream")))
		return false; // would wait in the compressor
	if (ms_slice_eq_nocase(ms_slice_sub(type, 0, 5), MS_SLICE_LIT("text/")) ||
	    ends_with_nocase(type, MS_SLICE_LIT("+json")) || ends_with_nocase(type, MS_SLICE_LIT("+xml")))
		return true;
	for (size_t i = 0; i < MS_ARRAY_LEN(types); i++) {
		if (ms_slice_eq_nocase(type, types[i]))
			return true;
	}
	return false;
}
