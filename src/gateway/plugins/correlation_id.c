// SPDX-License-Identifier: Apache-2.0
// correlation-id: an id in a header, kept when the client sent one.
#include <stdlib.h>

#include "gateway/plugins/plugins.h"

enum generator { GENERATOR_UUID, GENERATOR_UUID_COUNTER, GENERATOR_TRACKER };
struct config {
	struct slice header_name;
	int generator;
	bool echo_downstream;
};
static const char *const generators[] = {"uuid", "uuid#counter", "tracker", NULL};
static const struct field fields[] = {
	GW_STRING(config, header_name, "\"Kong-Request-ID\"", "Name of the header"),
	GW_CHOICE(config, generator, "\"uuid#counter\"", generators, "How ids are made"),
	GW_BOOL(config, echo_downstream, "false", "Send the id to the client, too"),
	{0},
};

// Of each loop: a UUID and how many ids it has given.
struct counter {
	struct gw_kept kept;
	char uuid[GW_UUID_SIZE];
	uint64_t count;
};

static void free_counter(struct gw_kept *kept)
{
	free(MS_CONTAINER_OF(kept, struct counter, kept));
}

static struct gw_kept *make_counter(struct gw_request *r, const void *config)
{
	(void)config;
	struct counter *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->kept.free = free_counter;
	ms_gw_uuid4(ms_loop_rand(r->x->loop), c->uuid);
	return &c->kept;
}

static struct slice counted(struct gw_request *r)
{
	struct gw_kept *kept = ms_gw_keep(r, MS_SLICE_LIT("correlation-id"), make_counter, NULL);
	if (kept == NULL)
		return MS_SLICE_EMPTY;
	struct counter *c = MS_CONTAINER_OF(kept, struct counter, kept);
	return ms_gw_text(r, "%s#%llu", c->uuid, (unsigned long long)++c->count);
}

static struct slice made(struct gw_request *r, enum generator generator)
{
	char uuid[GW_UUID_SIZE];
	struct rand *rand = ms_loop_rand(r->x->loop);
	switch (generator) {
	case GENERATOR_UUID_COUNTER:
		return counted(r);
	case GENERATOR_TRACKER: // client, loop, a number of this request, time
		return ms_gw_text(r, "%.*s-%u-%llu-%lld.%03lld", MS_SLICE_ARG(r->client_ip), ms_loop_index(r->x->loop),
				  (unsigned long long)(ms_rand_u64(rand) >> 20), (long long)(r->wall_ns / 1000000000),
				  (long long)(r->wall_ns / 1000000 % 1000));
	case GENERATOR_UUID:
	default:
		ms_gw_uuid4(rand, uuid);
		return ms_gw_text(r, "%s", uuid);
	}
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	// The gateway gives every request an id under this name itself, to both sides: another one would contradict the logs.
	if (ms_slice_eq_nocase(c->header_name, MS_SLICE_LIT("X-Request-ID")))
		return GW_NEXT;
	struct slice *id = MS_ARENA_NEW(r->arena, struct slice);
	if (id == NULL)
		return GW_NEXT;
	*id = ms_gw_header(&r->out.headers, c->header_name);
	if (ms_slice_trim(*id).n == 0)
		*id = made(r, (enum generator)c->generator);
	if (id->p == NULL || !ms_gw_header_set(&r->out.headers, c->header_name, *id))
		return GW_NEXT;
	*state = id;
	return GW_NEXT;
}

static void answer(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	const struct slice *id = *state;
	if (c->echo_downstream && id != NULL)
		MS_IGNORE(ms_gw_header_set(&r->answer.headers, c->header_name, *id)); // the answer counts more
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	const struct config *c = config;
	(void)plan;
	if (ms_gw_header_name_ok(c->header_name))
		return true;
	ms_problem_add(problems, path, NULL, "header_name: %.*s is no name of a header", MS_SLICE_ARG(c->header_name));
	return false;
}

const struct gw_plugin_kind ms_plugin_correlation_id = {
	.name = "correlation-id",
	.priority = 100001,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.per_consumer = true,
	.help = "Gives each request an id in a header",
	.compile = compile,
	.access = access,
	.answer = answer,
};
