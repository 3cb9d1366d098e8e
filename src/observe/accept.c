// SPDX-License-Identifier: Apache-2.0
// Which text form a scraper wants: the Accept header (RFC 9110, section 12.5.1) against our two types.
#include "observe/observe.h"

struct offer {
	const char *type, *subtype;
	const char *versions[2];
};

static const struct offer offers[] = {
	[METRICS_PROMETHEUS_TEXT] = {"text", "plain", {"0.0.4", "0.0.4"}},
	[METRICS_OPENMETRICS] = {"application", "openmetrics-text", {"1.0.0", "0.0.1"}},
};

// How well a range fits an offer: 0 not at all, 1 for "*/*", 2 for "type/*", 3 for the type, 4 with the version.
struct fit {
	int specificity;
	unsigned quality; // thousandths
};

struct range {
	struct slice type, subtype, version;
	unsigned quality;
};

// Takes the part up to `sep` outside of quotes off the front.
static bool next_part(struct slice *rest, char sep, struct slice *ret_part)
{
	if (rest->p == NULL)
		return false;
	bool quoted = false;
	size_t n = 0;
	for (; n < rest->n && (quoted || rest->p[n] != sep); n++) {
		if (quoted && rest->p[n] == '\\' && n + 1 < rest->n)
			n++;
		else if (rest->p[n] == '"')
			quoted = !quoted;
	}
	*ret_part = ms_slice_sub(*rest, 0, n);
	*rest = n < rest->n ? ms_slice_sub(*rest, n + 1, rest->n) : MS_SLICE_EMPTY;
	return true;
}

// "0" to "1" with at most three decimals, as thousandths.
static bool parse_quality(struct slice text, unsigned *ret_quality)
{
	if (text.n < 1 || text.n > 5 || (text.p[0] != '0' && text.p[0] != '1') || (text.n > 1 && text.p[1] != '.'))
		return false;
	unsigned value = (unsigned)(text.p[0] - '0') * 1000, weight = 100;
	for (size_t i = 2; i < text.n; i++, weight /= 10) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		value += (unsigned)(text.p[i] - '0') * weight;
	}
	*ret_quality = value;
	return value <= 1000;
}

static struct slice unquote(struct slice s)
{
	return s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"' ? ms_slice_sub(s, 1, s.n - 2) : s;
}

static bool parse_range(struct slice text, struct range *ret_range)
{
	struct range range = {.quality = 1000};
	struct slice part;
	if (!next_part(&text, ';', &part))
		return false;
	part = ms_slice_trim(part);
	size_t slash = ms_slice_find(part, '/');
	if (slash == part.n)
		return false;
	range.type = ms_slice_sub(part, 0, slash);
	range.subtype = ms_slice_sub(part, slash + 1, part.n);
	while (next_part(&text, ';', &part)) {
		size_t equals = ms_slice_find(part, '=');
		struct slice name = ms_slice_trim(ms_slice_sub(part, 0, equals));
		struct slice value = ms_slice_trim(ms_slice_sub(part, equals + 1, part.n));
		if (ms_slice_eq_nocase(name, MS_SLICE_LIT("q"))) {
			if (!parse_quality(value, &range.quality))
				return false;
		} else if (ms_slice_eq_nocase(name, MS_SLICE_LIT("version"))) {
			range.version = unquote(value);
		}
	}
	*ret_range = range;
	return true;
}

static int specificity(const struct range *range, const struct offer *offer)
{
	bool any_subtype = ms_slice_eq_cstr(range->subtype, "*");
	if (ms_slice_eq_cstr(range->type, "*"))
		return any_subtype ? 1 : 0;
	if (!ms_slice_eq_nocase(range->type, ms_slice_cstr(offer->type)))
		return 0;
	if (any_subtype)
		return 2;
	if (!ms_slice_eq_nocase(range->subtype, ms_slice_cstr(offer->subtype)))
		return 0;
	if (range->version.p == NULL)
		return 3;
	for (size_t i = 0; i < MS_ARRAY_LEN(offer->versions); i++) {
		if (ms_slice_eq_cstr(range->version, offer->versions[i]))
			return 4;
	}
	return 0;
}

// The most specific range counts; of equal ones the best quality.
static void apply_range(const struct range *range, const struct offer *offer, struct fit *fit)
{
	int s = specificity(range, offer);
	if (s > fit->specificity || (s > 0 && s == fit->specificity && range->quality > fit->quality))
		*fit = (struct fit){s, range->quality};
}

enum metrics_format ms_metrics_negotiate(struct slice accept)
{
	struct fit text = {0}, open = {0};
	struct slice part;
	while (next_part(&accept, ',', &part)) {
		struct range range;
		if (!parse_range(part, &range))
			continue;
		apply_range(&range, &offers[METRICS_PROMETHEUS_TEXT], &text);
		apply_range(&range, &offers[METRICS_OPENMETRICS], &open);
	}
	if (open.quality == 0 || open.quality < text.quality)
		return METRICS_PROMETHEUS_TEXT;
	// Of two that are as welcome, the one that was named more precisely; the older one when nothing tells.
	return open.quality > text.quality || open.specificity > text.specificity ? METRICS_OPENMETRICS
										  : METRICS_PROMETHEUS_TEXT;
}
