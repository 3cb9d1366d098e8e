// SPDX-License-Identifier: Apache-2.0
// Versions in the store: written, compared, hidden, rolled back.
#include "gateway/document.h"
#include "gateway/gateway.h"
#include "gateway/plan_test_kit.h"
#include "tests/lib/database.h"

struct fixture {
	struct store *store;
	struct auth *auth;
	struct gateway_edit edit;
	struct errinfo info;
	int64_t version;
	bool rollback;
	bool hide;
	struct buf out;
};

static void begin(struct fixture *f, const char *url)
{
	static const struct store_migrations *const modules[] = {&ms_gateway_migrations};
	struct store_migrations migrations[1] = {*modules[0]};
	*f = (struct fixture){0};
	ms_errinfo_init(&f->info);
	const struct store_options options = {
		.url = url, .migrations = migrations, .migration_count = 1, .migrate = true};
	REQUIRE(ms_store_open(&options, &f->info, &f->store) == MS_OK);
	ms_buf_init(&f->edit.words, 1 << 20);
	ms_buf_init(&f->out, 1 << 20);
	f->edit.expected = -1;
}

static void end(struct fixture *f)
{
	ms_buf_fini(&f->edit.words);
	ms_buf_fini(&f->out);
	ms_store_stop(f->store);
	ms_store_free(f->store);
}

static enum ms_err run_edit(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct fixture *f = arg;
	return f->rollback ? ms_gateway_rollback(tx, f->version, &f->edit, info) : ms_gateway_apply(tx, &f->edit, info);
}

static enum ms_err apply(struct fixture *f, const char *yaml)
{
	f->rollback = false;
	f->edit.text = ms_slice_cstr(yaml);
	f->edit.name = "kong.yml";
	ms_errinfo_init(&f->info);
	enum ms_err err = ms_store_write_wait(f->store, run_edit, f, &f->info);
	ms_buf_append_char(&f->edit.words, '\0');
	f->edit.words.n--;
	return err;
}

static enum ms_err roll_back(struct fixture *f, int64_t version)
{
	f->rollback = true;
	f->version = version;
	ms_errinfo_init(&f->info);
	enum ms_err err = ms_store_write_wait(f->store, run_edit, f, &f->info);
	ms_buf_append_char(&f->edit.words, '\0');
	f->edit.words.n--;
	return err;
}

static enum ms_err run_export(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct fixture *f = arg;
	return ms_gateway_export(tx, f->auth, f->version, f->hide, &f->out, info);
}

static const char *export(struct fixture *f, int64_t version, bool hide)
{
	f->version = version;
	f->hide = hide;
	ms_errinfo_init(&f->info);
	CHECK_OK(ms_store_read_wait(f->store, run_export, f, &f->info));
	ms_buf_append_char(&f->out, '\0');
	return f->out.p;
}

static enum ms_err run_list(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct fixture *f = arg;
	struct gateway_version *items;
	size_t count;
	MS_TRY(ms_gateway_versions(tx, f->version, 10, info, &items, &count));
	ms_buf_clear(&f->out);
	for (size_t i = 0; i < count; i++)
		ms_buf_printf(&f->out, "%lld %.*s|%.*s", (long long)items[i].version, MS_SLICE_ARG(items[i].comment),
			      MS_SLICE_ARG(items[i].changes));
	ms_buf_append_char(&f->out, '\0');
	return MS_OK;
}

TEST_ON_DATABASES(changes_become_versions)
{
	struct fixture f;
	begin(&f, url);
	f.edit.comment = MS_SLICE_LIT("first");
	CHECK_OK(apply(&f, "services: [{name: s, host: h, routes: [{name: r, paths: [/a]}]}]\n"));
	CHECK(f.edit.changed && f.edit.version == 1);
	CHECK_STR(f.edit.words.p, "added service s\nadded route r (service s)\n");
	CHECK_OK(apply(&f, "services: [{name: s, host: h, routes: [{name: r, paths: [/a]}]}]\n"));
	CHECK(!f.edit.changed && f.edit.version == 1); // the same once more is no version
	f.edit.comment = MS_SLICE_LIT("second");
	f.edit.expected = 1;
	CHECK_OK(apply(&f, "services: [{name: s, host: h, port: 81}]\nplugins: [{name: rate-limiting, config: {minute: "
			   "5, redis_password: s3cret}}]\n"));
	CHECK_STR(f.edit.words.p,
		  "changed service s: port 80 → 81\nremoved route r (service s)\nadded plugin rate-limiting\n");
	CHECK_INT(apply(&f, "services: []"), MS_ERR_CONFLICT);
	f.edit.expected = 2;
	f.edit.only_look = true;
	CHECK_OK(apply(&f, "services: [{name: s, host: h, port: 81}]\nplugins: [{name: rate-limiting, config: {minute: "
			   "6, redis_password: other}}]\n"));
	CHECK_STR(f.edit.words.p, "changed plugin rate-limiting: config.minute 5 → 6, config.redis_password changed\n");
	CHECK(f.edit.changed && f.edit.version == 2);
	f.edit.only_look = false;
	CHECK_INT(apply(&f, "\nservices: [{nme: s}]"), MS_ERR_CONFIG);
	CHECK_STR(f.edit.words.p, "kong.yml:2: services[0].nme: unknown field; did you mean name?\n"
				  "kong.yml:2: services[0].host: required, but it is missing (or give url)\n");
	f.edit.expected = -1;
	f.edit.comment = MS_SLICE_LIT("back");
	CHECK_OK(roll_back(&f, 1));
	CHECK_INT(f.edit.version, 3);
	CHECK_STR(f.edit.words.p,
		  "changed service s: port 81 → 80\nadded route r (service s)\nremoved plugin rate-limiting\n");
	CHECK_INT(roll_back(&f, 9), MS_ERR_NOT_FOUND);
	CHECK_INT(roll_back(&f, 0), MS_ERR_NOT_FOUND);
	f.version = 3;
	CHECK_OK(ms_store_read_wait(f.store, run_list, &f, &f.info));
	CHECK_STR(f.out.p,
		  "2 second|changed service s: port 80 → 81\nremoved route r (service s)\nadded plugin rate-limiting\n"
		  "1 first|added service s\nadded route r (service s)\n");
	end(&f);
}

static enum ms_err accept_few(void *arg, struct plan *plan, struct errinfo *info)
{
	size_t *most = arg;
	return plan->service_count <= *most ? MS_OK
					    : ms_fail(info, MS_ERR_LIMIT, "%zu are too many", plan->service_count);
}

TEST(what_cannot_be_put_in_force_is_not_written)
{
	struct fixture f;
	size_t most = 1;
	begin(&f, ms_test_database(false));
	f.edit.accepts = accept_few;
	f.edit.accepts_arg = &most;
	CHECK_OK(apply(&f, "services: [{name: s, host: h}]"));
	CHECK_INT(apply(&f, "services: [{name: s, host: h}, {name: t, host: h}]"), MS_ERR_LIMIT);
	CHECK_STR(f.info.message, "2 are too many");
	f.version = 9;
	CHECK_OK(ms_store_read_wait(f.store, run_list, &f, &f.info));
	CHECK_STR(f.out.p, "1 |added service s\n");
	most = 0;
	CHECK_OK(apply(&f, "services: []"));
	CHECK_INT(roll_back(&f, 1), MS_ERR_LIMIT);
	f.edit.only_look = true; // nobody is asked for a look
	CHECK_OK(apply(&f, "services: [{name: s, host: h}]"));
	end(&f);
}

TEST(secrets_are_hidden_and_come_back)
{
	struct fixture f;
	begin(&f, ms_test_database(false));
	CHECK_OK(apply(&f, "consumers: [{username: a, keyauth_credentials: [{key: my-key}], basicauth_credentials: "
			   "[{username: u, password: pw-of-u}]}]\n"
			   "plugins: [{name: rate-limiting, config: {minute: 5, redis_password: s3cret}}]\n"));
	const char *shown = export(&f, 1, true);
	CHECK(strstr(shown, "my-key") == NULL && strstr(shown, "s3cret") == NULL && strstr(shown, "pw-of-u") == NULL);
	CHECK_HAS(shown, "\"key\":\"…\"");
	// What was shown is given back with one change: the secrets stay.
	struct buf edited;
	ms_buf_init(&edited, 1 << 20);
	const char *minute = strstr(shown, "\"minute\":5");
	REQUIRE(minute != NULL);
	ms_buf_append(&edited, shown, (size_t)(minute - shown));
	ms_buf_append_cstr(&edited, "\"minute\":7");
	ms_buf_append_cstr(&edited, minute + strlen("\"minute\":5"));
	ms_buf_append_char(&edited, '\0');
	CHECK_OK(apply(&f, edited.p));
	CHECK_STR(f.edit.words.p, "changed plugin rate-limiting: config.minute 5 → 7\n");
	const char *full = export(&f, 0, false);
	CHECK_HAS(full, "\"key\":\"my-key\"");
	CHECK_HAS(full, "\"redis_password\":\"s3cret\"");
	CHECK_HAS(full, "\"password\":\"pw-of-u\"");
	CHECK_INT(apply(&f, "consumers: [{username: b, keyauth_credentials: [{key: '…'}]}]"), MS_ERR_CONFIG);
	CHECK_INT(apply(&f, "keyauth_credentials: [{key: '…', consumer: a}]\nconsumers: [{username: a}]"),
		  MS_ERR_CONFIG);
	CHECK_HAS(f.edit.words.p, "is hidden here");
	ms_buf_fini(&edited);
	end(&f);
}

TEST(characters_that_yaml_wants_escaped_are_read_again)
{
	struct fixture f;
	begin(&f, ms_test_database(false));
	CHECK_OK(apply(&f, "consumers: [{username: \"a\\u009e\\x7f\"}]"));
	CHECK_OK(apply(&f, "consumers: [{username: b}]"));
	CHECK_OK(roll_back(&f, 1));
	CHECK_INT(f.edit.version, 3);
	end(&f);
}

TEST(one_entity_is_changed_within_its_document)
{
	struct plan *plan = ms_kit_plan(
		"services: [{name: s, host: h}, {name: t, host: h}]\nroutes: [{name: r, service: s, paths: [/a]}]\n"
		"consumers: [{username: a, acls: [{group: g}], keyauth_credentials: [{key: k}]}, {username: b, acls: "
		"[{group: g}]}]\n"
		"plugins: [{name: cors, service: s}, {name: prometheus}]\n");
	struct buf out;
	ms_buf_init(&out, 1 << 20);
	struct arena arena;
	ms_arena_init(&arena, 4096, 1 << 20);
	ms_document_change(plan->source, "consumers", MS_SLICE_LIT("a"), NULL, &out);
	ms_buf_append_char(&out, '\0');
	struct plan *without = ms_kit_plan(out.p);
	CHECK(without->consumer_count == 1 && without->credential_count == 0 &&
	      without->consumers[0].groups.count == 1);
	CHECK_INT(without->use_count, 2);
	ms_plan_unref(without);
	ms_buf_clear(&out);
	ms_document_change(plan->source, "services", MS_SLICE_LIT("s"), NULL, &out);
	ms_buf_append_char(&out, '\0');
	char problems[1024];
	ms_kit_problems(out.p, problems, sizeof(problems)); // its plugin goes along, its route would be left without it
	CHECK_STR(problems, "1 routes[0].service: no service has the name or id \"s\"\n");
	const struct json_value *entity;
	REQUIRE(ms_json_parse(MS_SLICE_LIT("{\"name\":\"t\",\"host\":\"other\"}"), NULL, &arena, NULL, &entity) ==
		MS_OK);
	ms_buf_clear(&out);
	ms_document_change(plan->source, "services", MS_SLICE_LIT("t"), entity, &out);
	ms_buf_append_char(&out, '\0');
	struct plan *changed = ms_kit_plan(out.p);
	CHECK_INT(changed->service_count, 2);
	CHECK_SLICE(changed->services[1].host, "other");
	CHECK_STR(changed->services[1].id, plan->services[1].id);
	ms_plan_unref(changed);
	ms_buf_clear(&out);
	REQUIRE(ms_json_parse(MS_SLICE_LIT("{\"name\":\"u\",\"host\":\"new\"}"), NULL, &arena, NULL, &entity) == MS_OK);
	ms_document_change(plan->source, "services", MS_SLICE_LIT("u"), entity, &out);
	ms_buf_append_char(&out, '\0');
	changed = ms_kit_plan(out.p);
	CHECK_INT(changed->service_count, 3);
	ms_plan_unref(changed);
	ms_plan_unref(plan);
	ms_arena_fini(&arena);
	ms_buf_fini(&out);
}

TEST(files_are_checked)
{
	struct buf out;
	struct errinfo info;
	ms_errinfo_init(&info);
	ms_buf_init(&out, 1 << 20);
	CHECK_OK(ms_gateway_check(MS_SLICE_LIT("services: []"), "k.yml", false, &out, &info));
	CHECK_INT(out.n, 0);
	CHECK_INT(ms_gateway_check(MS_SLICE_LIT("a: [\n"), "k.yml", false, &out, &info), MS_ERR_CONFIG);
	ms_buf_append_char(&out, '\0');
	CHECK_HAS(out.p, "k.yml:2: not valid YAML");
	// Problems of several steps, from top to bottom.
	ms_buf_clear(&out);
	CHECK_INT(ms_gateway_check(MS_SLICE_LIT("services:\n- name: a\n  url: nothing\n  retries: x\nvaults: []\n"),
				   "k.yml", false, &out, &info),
		  MS_ERR_CONFIG);
	ms_buf_append_char(&out, '\0');
	CHECK_HAS(out.p, "k.yml:3: services[0].url");
	CHECK_HAS(out.p, "http://host:port/path, or https, grpc, grpcs\nk.yml:4: services[0].retries");
	CHECK_HAS(out.p, "k.yml:5: vaults: Kong has these, this gateway has not\n");
	ms_buf_clear(&out);
	CHECK_INT(ms_gateway_check(MS_SLICE_LIT("vaults: []"), "k.yml", true, &out, &info), MS_ERR_CONFIG);
	ms_buf_append_char(&out, '\0');
	CHECK_STR(out.p,
		  "{\"valid\":false,\"problems\":[{\"path\":\"vaults\",\"line\":1,\"message\":\"Kong has these, this "
		  "gateway has not\"}]}\n");
	ms_buf_fini(&out);
}
