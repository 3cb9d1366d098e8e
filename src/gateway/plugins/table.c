// SPDX-License-Identifier: Apache-2.0
// The kinds of plugins, in the order in which they run.
#include "gateway/plugins/plugins.h"

static const struct gw_plugin_kind *const kinds[] = {
	&ms_plugin_correlation_id,
	&ms_plugin_cors,
	&ms_plugin_jwt,
	&ms_plugin_mainstay_auth,
	&ms_plugin_key_auth,
	&ms_plugin_basic_auth,
	&ms_plugin_waf,
	&ms_plugin_request_validator,
	&ms_plugin_ip_restriction,
	&ms_plugin_request_size_limiting,
	&ms_plugin_acl,
	&ms_plugin_rate_limiting,
	&ms_plugin_request_transformer,
	&ms_plugin_response_transformer,
	&ms_plugin_proxy_cache,
	&ms_plugin_mirror,
	&ms_plugin_canary,
	&ms_plugin_prometheus,
	&ms_plugin_http_log,
	&ms_plugin_request_termination,
};
_Static_assert(MS_ARRAY_LEN(kinds) <= GW_SLOTS_MAX, "each kind has a slot in a request");

const struct gw_plugin_kind *ms_plugin_kind_at(size_t index)
{
	return index < MS_ARRAY_LEN(kinds) ? kinds[index] : NULL;
}

const struct gw_plugin_kind *ms_plugin_kind(struct slice name)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(kinds); i++) {
		if (ms_slice_eq_cstr(name, kinds[i]->name))
			return kinds[i];
	}
	return NULL;
}
