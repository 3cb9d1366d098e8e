// SPDX-License-Identifier: Apache-2.0
// multipart/form-data: every part lies within the body.
#include "fuzz/fuzz.h"
#include "serve/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct multipart m;
	struct multipart_part part;
	bool more = true;
	const char *begin = (const char *)data;
	if (!ms_multipart_init(&m, MS_SLICE_LIT("multipart/form-data; boundary=b"), ms_slice(data, size)))
		return 0;
	while (more && ms_multipart_next(&m, NULL, &part, &more) == MS_OK && more)
		MS_ASSERT(part.content.p >= begin && part.content.p + part.content.n <= begin + size &&
			  part.name.n > 0);
	return 0;
}
