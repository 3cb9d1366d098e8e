// SPDX-License-Identifier: Apache-2.0
#include "serve/multipart.h"

#include "tests/lib/test.h"

#define TYPE MS_SLICE_LIT("multipart/form-data; boundary=xyz")

TEST(multipart_gives_parts_with_names_and_files)
{
	struct multipart m;
	struct multipart_part part;
	bool more;
	REQUIRE(ms_multipart_init(
		&m, TYPE,
		MS_SLICE_LIT("--xyz\r\nContent-Disposition: form-data; name=\"model\"; filename=\"a.txt\"\r\n"
			     "Content-Type: text/plain\r\n\r\nbytes\r\n--not\r\n--xyz\r\n"
			     "content-disposition: form-data; name=metadata\r\n\r\n{}\r\n--xyz--\r\n")));
	REQUIRE(ms_multipart_next(&m, NULL, &part, &more) == MS_OK && more);
	CHECK_SLICE(part.name, "model");
	CHECK_SLICE(part.file_name, "a.txt");
	CHECK_SLICE(part.content, "bytes\r\n--not");
	REQUIRE(ms_multipart_next(&m, NULL, &part, &more) == MS_OK && more);
	CHECK_SLICE(part.name, "metadata");
	CHECK_SLICE(part.content, "{}");
	CHECK_OK(ms_multipart_next(&m, NULL, &part, &more));
	CHECK(!more);
}

TEST(multipart_refuses_other_types_and_broken_bodies)
{
	static const char *const broken[] = {"",
					     "--abc\r\n",
					     "--xyz",
					     "--xyz\r\nContent-Disposition: form-data; name=a\r\n",
					     "--xyz\r\n\r\nno name\r\n--xyz--",
					     "--xyz\r\nContent-Disposition: form-data; name=a\r\n\r\nno end"};
	struct multipart m;
	CHECK(!ms_multipart_init(&m, MS_SLICE_LIT("application/json"), MS_SLICE_EMPTY));
	CHECK(!ms_multipart_init(&m, MS_SLICE_LIT("multipart/form-data"), MS_SLICE_EMPTY));
	CHECK(!ms_multipart_init(&m, MS_SLICE_LIT("multipart/form-data; boundary="), MS_SLICE_EMPTY));
	for (size_t i = 0; i < MS_ARRAY_LEN(broken); i++) {
		struct multipart_part part;
		bool more;
		REQUIRE(ms_multipart_init(&m, TYPE, ms_slice_cstr(broken[i])));
		CHECK_INT(ms_multipart_next(&m, NULL, &part, &more), MS_ERR_INVALID);
	}
}
