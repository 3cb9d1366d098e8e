// SPDX-License-Identifier: Apache-2.0
// Topics and patterns, as a topic exchange of AMQP 0-9-1 reads them.
#include "bus/private.h"

static bool is_word(struct slice word)
{
	for (size_t i = 0; i < word.n; i++) {
		char c = word.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
			return false;
	}
	return word.n > 0;
}

static bool words_ok(struct slice text, bool wild)
{
	struct slice word;
	if (text.n == 0 || text.n > MS_BUS_TOPIC_MAX)
		return false;
	while (ms_slice_next(&text, '.', &word)) {
		bool any = wild && (ms_slice_eq_cstr(word, "*") || ms_slice_eq_cstr(word, "#"));
		if (!any && !is_word(word))
			return false;
	}
	return true;
}

bool ms_bus_topic_ok(struct slice topic)
{
	return words_ok(topic, false);
}

bool ms_bus_pattern_ok(struct slice pattern)
{
	return words_ok(pattern, true);
}

// Backtracks to the last '#' alone: the earlier ones took as little as they could, and that is enough for any match.
bool ms_bus_topic_matches(struct slice pattern, struct slice topic)
{
	struct slice after_hash = MS_SLICE_EMPTY, retry = MS_SLICE_EMPTY, want, word, rest;
	bool hash = false;
	for (;;) {
		rest = pattern;
		bool more = ms_slice_next(&rest, '.', &want);
		if (more && ms_slice_eq_cstr(want, "#")) {
			hash = true;
			pattern = after_hash = rest;
			retry = topic;
			continue;
		}
		if (!more && topic.p == NULL)
			return true;
		struct slice topic_rest = topic;
		bool here = ms_slice_next(&topic_rest, '.', &word);
		if (more && here && (ms_slice_eq_cstr(want, "*") || ms_slice_eq(want, word))) {
			pattern = rest;
			topic = topic_rest;
			continue;
		}
		// Let the last '#' take one word more.
		if (!hash || !ms_slice_next(&retry, '.', &word))
			return false;
		pattern = after_hash;
		topic = retry;
	}
}

bool ms_bus_topic_matches_any(struct slice patterns, struct slice topic)
{
	struct slice pattern;
	while (ms_slice_next(&patterns, ' ', &pattern)) {
		if (ms_bus_topic_matches(pattern, topic))
			return true;
	}
	return false;
}

struct slice ms_bus_topic_class(struct slice topic)
{
	return ms_slice_sub(topic, 0, ms_slice_find(topic, '.'));
}

// Printable ASCII without blanks: ids stand in logs, headers and SQL parameters.
bool ms_bus_id_ok(struct slice id)
{
	for (size_t i = 0; i < id.n; i++) {
		if (id.p[i] <= ' ' || id.p[i] > '~')
			return false;
	}
	return id.n > 0 && id.n <= BUS_ID_MAX;
}

// RFC 9562 section 5.7, with section 6.2 method 3: the 12 bits behind the milliseconds are their fraction, so that ids of
// one machine sort in the order in which they were made, to a quarter of a microsecond.
void ms_bus_uuid7(int64_t wall_ns, char dst[BUS_UUID_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	uint64_t ms = (uint64_t)wall_ns / 1000000, fraction = (uint64_t)wall_ns % 1000000 * 4096 / 1000000;
	uint8_t bytes[16];
	ms_random_bytes(bytes, sizeof(bytes));
	for (size_t i = 0; i < 6; i++)
		bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
	bytes[6] = (uint8_t)(0x70 | fraction >> 8);
	bytes[7] = (uint8_t)fraction;
	bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3f));
	size_t at = 0;
	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			dst[at++] = '-';
		dst[at++] = hex[bytes[i] >> 4];
		dst[at++] = hex[bytes[i] & 15];
	}
	dst[at] = '\0';
}
