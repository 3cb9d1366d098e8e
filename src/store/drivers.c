// SPDX-License-Identifier: Apache-2.0
// The databases that there are: the only place that names them.
#include "store/private.h"

extern const struct store_driver ms_store_sqlite, ms_store_postgres;
static const struct store_driver *const drivers[] = {&ms_store_sqlite, &ms_store_postgres};

const struct store_driver *ms_store_driver_for(const char *url)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(drivers); i++) {
		if (drivers[i]->accepts(ms_slice_cstr(url)))
			return drivers[i];
	}
	return NULL;
}
