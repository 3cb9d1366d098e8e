// SPDX-License-Identifier: Apache-2.0
// Private to auth: what the files of the outside provider share.
#ifndef MS_AUTH_FEDERATION_H
#define MS_AUTH_FEDERATION_H

#include <pthread.h>

#include "auth/internal.h"
#include "wire/wire.h"

#define FEDERATION_PROVIDER_KEYS 64

// What the discovery document says; slices of whoever asked.
struct provider_metadata {
	struct slice authorization, token, jwks, userinfo; // addresses; userinfo may be empty
	bool names_itself;                                 // its answers carry iss (RFC 9207)
	bool secret_in_form;                               // client_secret_post is all it takes
};

// How a thing that is fetched from the provider stands.
struct provider_cache {
	pthread_mutex_t lock; // held while it is fetched: others want the same
	int64_t fetched_ns;   // 0: never
	int64_t failed_ns;    // when the last attempt failed; 0: it worked
	int64_t renewed_ns;   // when it was fetched out of turn last
	char failure[256];
};

struct federation {
	struct auth_provider_options options;
	struct log *log;
	const char *name;
	struct slice redirect_uri; // in auth's arena
	struct slice scope;
	struct wire_client *wire;
	struct pool *pool;
	atomic_bool stopping;           // answers are not worth waiting for
	struct jwe_key *decryption_key; // NULL: none
	struct provider_cache metadata_state, keys_state;
	struct arena metadata_arena; // of `metadata`
	struct provider_metadata metadata;
	struct jose_key *keys[FEDERATION_PROVIDER_KEYS];
	size_t key_count;
};

// (federation_provider.c) Pool threads. A copy in the arena.
MS_MUST_USE enum ms_err ms_provider_metadata(struct federation *f, struct arena *arena, struct errinfo *info,
					     struct provider_metadata *ret_metadata);
// References, in the arena: give them back with ms_provider_keys_done(). `anew`: a key was not found; seldom enough it is fetched out of turn.
MS_MUST_USE enum ms_err ms_provider_keys(struct federation *f, bool anew, struct arena *arena, struct errinfo *info,
					 struct jose_keys *ret_keys);
void ms_provider_keys_done(struct jose_keys keys);
// A JSON object that must be there with status 200. `what` for the message.
MS_MUST_USE enum ms_err ms_provider_fetch(struct federation *f, const struct wire_request *request, const char *what,
					  struct arena *arena, struct errinfo *info,
					  const struct json_value **ret_object);

// (federation_state.c) As in forms and queries (RFC 6749, appendix B).
void ms_federation_encode(struct buf *out, struct slice text);

// The cookie for an attempt that began now.
MS_MUST_USE enum ms_err ms_federation_seal(const struct auth *auth, const struct federation_attempt *attempt,
					   struct slice state, int64_t now_us, struct arena *arena,
					   struct errinfo *info, struct slice *ret_cookie);

#endif
