// SPDX-License-Identifier: Apache-2.0
// The two small parsers of observe that read headers: traceparent and Accept.
#include "fuzz/fuzz.h"
#include "observe/observe.h"

static void check_traceparent(struct slice text)
{
	struct trace_context a, b;
	if (!ms_trace_parse(text, &a))
		return;
	char out[MS_TRACEPARENT_LEN + 1];
	ms_trace_format(&a, out);
	MS_ASSERT(ms_trace_parse(ms_slice_cstr(out), &b));
	MS_ASSERT(memcmp(a.trace_id, b.trace_id, 16) == 0 && memcmp(a.parent_id, b.parent_id, 8) == 0);
	MS_ASSERT(a.flags == b.flags && a.flags <= 1);
	// What was taken is what is written, but for the version, the flags and what the future adds.
	MS_ASSERT(memcmp(out + 2, text.p + 2, 51) == 0);
}

static void check_accept(struct slice text)
{
	enum metrics_format format = ms_metrics_negotiate(text);
	MS_ASSERT(format == METRICS_PROMETHEUS_TEXT || format == METRICS_OPENMETRICS);
	// OpenMetrics goes only to who asked for it: by name, or by a range of its type.
	if (format == METRICS_OPENMETRICS)
		MS_ASSERT(memchr(text.p, '/', text.n) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = ms_slice(data, size);
	check_traceparent(text);
	check_accept(text);
	return 0;
}
