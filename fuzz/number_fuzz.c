// SPDX-License-Identifier: Apache-2.0
// Text to numbers compared with the C library, which rounds correctly; numbers to text and back.
#include <math.h>
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "json/json.h"

static void check_text(struct slice text)
{
	char copy[1024];
	double value;
	float value32;
	bool ok = ms_number_parse_f64_lenient(text, &value);
	MS_ASSERT(ok == ms_number_parse_f32_lenient(text, &value32));
	double strict;
	bool strict_ok = ms_number_parse_f64(text, &strict);
	MS_ASSERT(!strict_ok || (ok && memcmp(&strict, &value, sizeof(value)) == 0));
	struct slice rest = text;
	double scanned;
	bool scan_ok = ms_number_scan_f64(&rest, &scanned);
	MS_ASSERT(rest.p + rest.n == text.p + text.n && (scan_ok || rest.n == text.n));
	MS_ASSERT(ok == (scan_ok && rest.n == 0));
	if (!ok || !ms_slice_to_cstr(text, copy, sizeof(copy)) || isnan(value))
		return;
	double want = strtod(copy, NULL);
	float want32 = strtof(copy, NULL);
	MS_ASSERT(memcmp(&value, &want, sizeof(want)) == 0 && memcmp(&value32, &want32, sizeof(want32)) == 0);
}

static void check_value(double value, float value32)
{
	char text[MS_NUMBER_SIZE];
	double again;
	float again32;
	if (isfinite(value)) {
		size_t n = ms_number_format_f64(value, text);
		MS_ASSERT(n < sizeof(text) && ms_number_parse_f64(ms_slice(text, n), &again));
		MS_ASSERT(memcmp(&again, &value, sizeof(value)) == 0);
	}
	if (isfinite(value32)) {
		size_t n = ms_number_format_f32(value32, text);
		MS_ASSERT(n < sizeof(text) && ms_number_parse_f32(ms_slice(text, n), &again32));
		MS_ASSERT(memcmp(&again32, &value32, sizeof(value32)) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_text((struct slice){(const char *)data, size});
	double value = 0;
	float value32 = 0;
	if (size >= sizeof(value))
		memcpy(&value, data, sizeof(value));
	if (size >= sizeof(value32))
		memcpy(&value32, data, sizeof(value32));
	check_value(value, value32);
	return 0;
}
