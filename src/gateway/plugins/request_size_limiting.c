// SPDX-License-Identifier: Apache-2.0
// request-size-limiting: by Content-Length at once, else while the body streams by (out.max_body; the proxy cuts).
#include "gateway/plugins/plugins.h"

struct config {
	int64_t allowed_payload_size;
	int size_unit;
	bool require_content_length;
};
static const char *const units[] = {"megabytes", "kilobytes", "bytes", NULL};
static const struct field fields[] = {
	GW_INTEGER(config, allowed_payload_size, "128", 0, 1099511627776, "Largest body"),
	GW_CHOICE(config, size_unit, "\"megabytes\"", units, "Unit of allowed_payload_size; kilobytes are 1024 bytes"),
	GW_BOOL(config, require_content_length, "false", "Refuse bodies whose length is not told"),
	{0},
};

static uint64_t limit_of(const struct config *c)
{
	static const unsigned shift[] = {20, 10, 0};
	uint64_t size = (uint64_t)c->allowed_payload_size;
	return size > UINT64_MAX >> shift[c->size_unit] ? UINT64_MAX - 1 : size << shift[c->size_unit];
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	const struct http_request *req = &r->x->req;
	uint64_t limit = limit_of(c);
	(void)state;
	r->out.max_body = MS_MIN(r->out.max_body, limit);
	if (!req->has_body)
		return GW_NEXT;
	if (req->content_length == UINT64_MAX && c->require_content_length) {
		ms_gw_fail(r, 411, ms_err_name(MS_ERR_HTTP_LENGTH_REQUIRED),
			   "A valid Content-Length header is required");
		return GW_ANSWERED;
	}
	if (req->content_length == UINT64_MAX || req->content_length <= limit)
		return GW_NEXT;
	bool waits = ms_slice_eq_nocase(ms_gw_request_header(r, "Expect"), MS_SLICE_LIT("100-continue"));
	ms_gw_fail(r, waits ? 417 : 413, ms_err_name(MS_ERR_HTTP_BODY_TOO_LARGE), "Request size limit exceeded");
	return GW_ANSWERED;
}

const struct gw_plugin_kind ms_plugin_request_size_limiting = {
	.name = "request-size-limiting",
	.priority = 951,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.per_consumer = true,
	.help = "Refuses large bodies",
	.access = access,
};
