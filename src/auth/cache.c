// SPDX-License-Identifier: Apache-2.0
// What is known of credentials, by the SHA-256 of their text. Verified tokens stand in sets of a few places each, where the one not used
// for longest leaves; refused ones in a table of their own, so that a flood of wrong tokens pushes no good one out.
#include "auth/gate.h"

#include <stdlib.h>

enum ms_err ms_cache_init(struct cache *cache, size_t tokens, size_t refused)
{
	MS_ASSERT(tokens >= CACHE_WAYS && (tokens & (tokens - 1)) == 0 && refused > 0 &&
		  (refused & (refused - 1)) == 0);
	*cache = (struct cache){.set_count = tokens / CACHE_WAYS, .refused_count = refused};
	cache->entries = calloc(tokens, sizeof(*cache->entries));
	cache->refused = calloc(refused, sizeof(*cache->refused));
	if (cache->entries != NULL && cache->refused != NULL)
		return MS_OK;
	free(cache->entries);
	free(cache->refused);
	*cache = (struct cache){0};
	return MS_ERR_NO_MEMORY;
}

void ms_cache_fini(struct cache *cache)
{
	ms_cache_clear(cache);
	free(cache->entries);
	free(cache->refused);
	*cache = (struct cache){0};
}

void ms_token_unref(struct token *token)
{
	if (token == NULL || --token->refs > 0)
		return;
	ms_arena_fini(&token->arena);
	free(token);
}

void ms_token_release(void *token)
{
	ms_token_unref(token);
}

static uint64_t head_of(const uint8_t digest[MS_SHA256_SIZE])
{
	uint64_t head;
	memcpy(&head, digest, sizeof(head));
	return head;
}

static struct cache_entry *set_of(const struct cache *cache, const uint8_t digest[MS_SHA256_SIZE])
{
	return &cache->entries[((size_t)head_of(digest) & (cache->set_count - 1)) * CACHE_WAYS];
}

static struct cache_entry *find(const struct cache *cache, const uint8_t digest[MS_SHA256_SIZE])
{
	struct cache_entry *set = set_of(cache, digest);
	for (size_t i = 0; i < CACHE_WAYS; i++) {
		if (set[i].token != NULL && memcmp(set[i].digest, digest, MS_SHA256_SIZE) == 0)
			return &set[i];
	}
	return NULL;
}

struct token *ms_cache_find(struct cache *cache, const uint8_t digest[MS_SHA256_SIZE])
{
	struct cache_entry *entry = find(cache, digest);
	if (entry == NULL)
		return NULL;
	entry->used = ++cache->clock;
	return entry->token;
}

// Where a new token goes: a free place, or that of the one not asked for for longest. The clock may wrap; ages do not.
static struct cache_entry *choose(struct cache *cache, const uint8_t digest[MS_SHA256_SIZE])
{
	struct cache_entry *set = set_of(cache, digest), *oldest = &set[0];
	for (size_t i = 0; i < CACHE_WAYS; i++) {
		if (set[i].token == NULL)
			return &set[i];
		if (cache->clock - set[i].used > cache->clock - oldest->used)
			oldest = &set[i];
	}
	return oldest;
}

void ms_cache_put(struct cache *cache, const uint8_t digest[MS_SHA256_SIZE], struct token *token)
{
	struct cache_entry *entry = find(cache, digest);
	if (entry == NULL)
		entry = choose(cache, digest);
	ms_token_unref(entry->token);
	memcpy(entry->digest, digest, MS_SHA256_SIZE);
	entry->token = token;
	entry->used = ++cache->clock;
}

void ms_cache_remove(struct cache *cache, const uint8_t digest[MS_SHA256_SIZE])
{
	struct cache_entry *entry = find(cache, digest);
	if (entry == NULL)
		return;
	ms_token_unref(entry->token);
	entry->token = NULL;
}

void ms_cache_clear(struct cache *cache)
{
	for (size_t i = 0; i < cache->set_count * CACHE_WAYS; i++) {
		ms_token_unref(cache->entries[i].token);
		cache->entries[i].token = NULL;
	}
	for (size_t i = 0; i < cache->refused_count; i++)
		cache->refused[i].refusal = REFUSAL_NONE;
}

// --- Refused ones ------------------------------------------------------------------------------------

static struct cache_refused *refused_of(const struct cache *cache, const uint8_t digest[MS_SHA256_SIZE])
{
	return &cache->refused[(size_t)head_of(digest) & (cache->refused_count - 1)];
}

enum auth_refusal ms_cache_refusal(const struct cache *cache, const uint8_t digest[MS_SHA256_SIZE], int64_t now_us,
				   uint64_t generation)
{
	const struct cache_refused *r = refused_of(cache, digest);
	bool known = r->refusal != REFUSAL_NONE && r->generation == generation && now_us < r->until_us &&
		     r->until_us - now_us <= CACHE_REFUSED_US && memcmp(r->digest, digest, MS_SHA256_SIZE) == 0;
	return known ? r->refusal : REFUSAL_NONE;
}

void ms_cache_refuse(struct cache *cache, const uint8_t digest[MS_SHA256_SIZE], int64_t until_us, uint64_t generation,
		     enum auth_refusal refusal)
{
	struct cache_refused *r = refused_of(cache, digest);
	*r = (struct cache_refused){.until_us = until_us, .generation = generation, .refusal = refusal};
	memcpy(r->digest, digest, MS_SHA256_SIZE);
}
