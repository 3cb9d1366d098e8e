// SPDX-License-Identifier: Apache-2.0
#include "app/roles.h"

#include <stdio.h>

// In the order of start.
extern const struct role ms_role_ml, ms_role_console, ms_role_auth, ms_role_gateway;
static const struct role *const roles[] = {&ms_role_ml, &ms_role_console, &ms_role_auth, &ms_role_gateway};
_Static_assert(MS_ARRAY_LEN(roles) <= MS_ROLES_MAX, "roles are bits of a uint32_t");

size_t ms_role_count(void)
{
	return MS_ARRAY_LEN(roles);
}

const struct role *ms_role(size_t index)
{
	MS_ASSERT(index < MS_ARRAY_LEN(roles));
	return roles[index];
}

static enum ms_err unknown(struct slice name, struct errinfo *info)
{
	struct slice names[MS_ROLES_MAX + 1];
	char list[512] = "all";
	size_t at = strlen(list);
	for (size_t i = 0; i < MS_ARRAY_LEN(roles); i++) {
		names[i] = ms_slice_cstr(roles[i]->name);
		at += (size_t)snprintf(list + at, sizeof(list) - at, ", %s", roles[i]->name);
		MS_ASSERT(at < sizeof(list));
	}
	names[MS_ARRAY_LEN(roles)] = MS_SLICE_LIT("all"); // last: a name is the likelier guess
	size_t hit = ms_text_nearest(name, names, MS_ARRAY_LEN(roles) + 1);
	ms_errinfo_set_field(info, MS_SLICE_LIT("roles"));
	if (hit != SIZE_MAX)
		return ms_fail(info, MS_ERR_CONFIG,
			       "roles: \"%.64s\" is not a role; did you mean %.*s? The roles are %s", name.p,
			       MS_SLICE_ARG(names[hit]), list);
	return ms_fail(info, MS_ERR_CONFIG, "roles: \"%.64s\" is not a role; the roles are %s", name.p, list);
}

enum ms_err ms_roles_parse(struct string_list names, struct errinfo *info, uint32_t *ret_roles)
{
	const uint32_t all = (uint32_t)((1ULL << MS_ARRAY_LEN(roles)) - 1);
	uint32_t set = 0;
	for (size_t i = 0; i < names.count; i++) {
		struct slice name = ms_slice_cstr(names.items[i]);
		uint32_t found = ms_slice_eq_cstr(name, "all") ? all : 0;
		for (size_t k = 0; k < MS_ARRAY_LEN(roles); k++)
			found |= ms_slice_eq_cstr(name, roles[k]->name) ? 1U << k : 0;
		if (found == 0)
			return unknown(name, info);
		set |= found;
	}
	if (set == 0)
		return ms_fail(info, MS_ERR_CONFIG, "roles: the list is empty; \"all\" runs every role");
	*ret_roles = set;
	return MS_OK;
}
