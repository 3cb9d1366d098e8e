// SPDX-License-Identifier: Apache-2.0
// Forms and pages: what goes in comes out as text.
#include "identity/oauth.h"
#include "tests/lib/test.h"

static struct arena arena;

static bool reads(const char *text, struct form *form)
{
	ms_arena_reset(&arena);
	return ms_form_read(&arena, ms_slice_cstr(text), form);
}

TEST(forms_are_read_strictly)
{
	struct form form;
	ms_arena_init(&arena, 4096, 1 << 20);
	REQUIRE(reads("a=1&&b=x+y%20z&c=&d&a%2Db=%C3%BC", &form));
	CHECK_INT(form.count, 5);
	CHECK_SLICE(ms_form_get(&form, "b"), "x y z");
	CHECK(ms_form_get(&form, "c").p == NULL && ms_form_get(&form, "d").p == NULL &&
	      ms_form_get(&form, "e").p == NULL);
	CHECK_SLICE(ms_form_get(&form, "a-b"), "\xc3\xbc");
	CHECK(reads("", &form) && form.count == 0);
	CHECK(!reads("a=%", &form));
	CHECK(!reads("a=%2", &form));
	CHECK(!reads("a=%zz", &form));
	CHECK(!reads("a=%00", &form));
	CHECK(!reads("a=%ff", &form));
	CHECK(!reads("%c3=1", &form));
	ms_arena_fini(&arena);
}

TEST(forms_have_an_end)
{
	struct form form;
	char text[FORM_PAIRS_MAX * 4 + 8] = "";
	ms_arena_init(&arena, 4096, 1 << 20);
	for (size_t i = 0; i < FORM_PAIRS_MAX; i++)
		memcpy(text + i * 4, "a=1&", 5);
	CHECK(reads(text, &form));
	memcpy(text + (size_t)FORM_PAIRS_MAX * 4, "b=1", 4);
	CHECK(!reads(text, &form));
	ms_arena_fini(&arena);
}

TEST(parameters_come_once_but_for_resource)
{
	struct form form;
	ms_arena_init(&arena, 4096, 1 << 20);
	CHECK(reads("a=1&b=2&resource=x&resource=y", &form) && ms_form_repeated(&form, &arena) == NULL);
	REQUIRE(reads("a=1&b=2&%61=", &form));
	CHECK_STR(ms_form_repeated(&form, &arena), "a");
	ms_arena_fini(&arena);
}

TEST(values_are_encoded_whole)
{
	struct buf uri;
	ms_buf_init(&uri, 1000);
	ms_buf_append_cstr(&uri, "https://a.example/cb");
	ms_form_add(&uri, "state", MS_SLICE_LIT("a b&c=d\r\n#%\xc3\xbc~-._"));
	ms_form_add(&uri, "empty", MS_SLICE_EMPTY);
	ms_form_add(&uri, "iss", MS_SLICE_LIT("https://id"));
	CHECK_SLICE(ms_buf_slice(&uri),
		    "https://a.example/cb?state=a%20b%26c%3Dd%0D%0A%23%25%C3%BC~-._&iss=https%3A%2F%2Fid");
	ms_buf_clear(&uri);
	ms_buf_append_cstr(&uri, "https://a.example/cb?x=1");
	ms_form_add(&uri, "code", MS_SLICE_LIT("c"));
	CHECK_SLICE(ms_buf_slice(&uri), "https://a.example/cb?x=1&code=c");
	ms_buf_fini(&uri);
}

TEST(markup_is_escaped)
{
	struct buf out;
	ms_buf_init(&out, 1000);
	ms_html_escape(&out, MS_SLICE_LIT("<a href=\"x\" b='y'>&amp;</a>"));
	CHECK_SLICE(ms_buf_slice(&out), "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;");
	ms_buf_fini(&out);
}

TEST(scopes_are_told_in_words)
{
	struct buf out;
	ms_buf_init(&out, 10000);
	ms_page_scopes(&out, MS_SLICE_LIT("openid predict:churn-<b> models.* *"));
	struct slice text = ms_buf_slice(&out);
	ms_buf_append_char(&out, '\0');
	REQUIRE(ms_buf_ok(&out));
	CHECK_HAS(out.p, "<li>Know that you signed in, and an identifier of yours</li>");
	CHECK_HAS(out.p, "Predict with a model: <b>churn-&lt;b&gt;</b> <code>predict:churn-&lt;b&gt;</code>");
	CHECK_HAS(out.p, "Everything that you may do <code>*</code>");
	CHECK(text.n > 0);
	ms_buf_fini(&out);
}
