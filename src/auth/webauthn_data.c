// SPDX-License-Identifier: Apache-2.0
#include "auth/webauthn_data.h"

#include "auth/cbor.h"
#include "json/json.h"

#define RP_ID_HASH_SIZE 32
#define AAGUID_SIZE 16
#define FIXED_SIZE (RP_ID_HASH_SIZE + 1 + 4)
#define P256_SIZE 32

static enum ms_err invalid(struct errinfo *info, const char *what)
{
	return ms_fail(info, MS_ERR_INVALID, "%s", what);
}

// --- COSE keys ---------------------------------------------------------------------------------------

// Labels of RFC 9052, table 4, and RFC 9053, section 7; RFC 8230 for RSA.
enum { LABEL_KTY = 1, LABEL_ALG = 3 };
enum { KTY_OKP = 1, KTY_EC2 = 2, KTY_RSA = 3 };
enum { CRV_P256 = 1, CRV_ED25519 = 6 };

static const struct cose_kind {
	enum cose_alg alg;
	int64_t kty, curve; // curve 0: none
	enum crypto_key_kind kind;
	size_t count; // of parameters
} kinds[] = {
	{COSE_ES256, KTY_EC2, CRV_P256, CRYPTO_P256, 5},
	{COSE_EDDSA, KTY_OKP, CRV_ED25519, CRYPTO_ED25519, 4},
	{COSE_RS256, KTY_RSA, 0, CRYPTO_RSA, 4},
};

static bool is_int(const struct cbor_value *map, int64_t label, int64_t want)
{
	int64_t n;
	return ms_cbor_as_int(ms_cbor_get_int(map, label), &n) && n == want;
}

static bool take_numbers(const struct cbor_value *map, const struct cose_kind *kind,
			 struct crypto_key_params *ret_params)
{
	struct crypto_key_params params = {0};
	bool ok = true;
	switch (kind->alg) {
	case COSE_ES256:
		ok = ms_cbor_as_bytes(ms_cbor_get_int(map, -2), &params.x) &&
		     ms_cbor_as_bytes(ms_cbor_get_int(map, -3), &params.y);
		break;
	case COSE_EDDSA:
		ok = ms_cbor_as_bytes(ms_cbor_get_int(map, -2), &params.x);
		break;
	case COSE_RS256:
		ok = ms_cbor_as_bytes(ms_cbor_get_int(map, -1), &params.n) &&
		     ms_cbor_as_bytes(ms_cbor_get_int(map, -2), &params.e);
		break;
	}
	*ret_params = params;
	return ok;
}

enum ms_err ms_cose_key_read(struct slice *rest, struct arena *arena, struct errinfo *info, struct cose_key *ret_key)
{
	struct slice at = *rest;
	struct cbor_value map;
	struct crypto_key_params params;
	int64_t alg;
	const struct cose_kind *kind = NULL;
	MS_TRY(ms_cbor_read(&at, NULL, arena, info, &map));
	if (!ms_cbor_as_int(ms_cbor_get_int(&map, LABEL_ALG), &alg))
		return invalid(info, "the public key names no algorithm");
	for (size_t i = 0; i < MS_ARRAY_LEN(kinds); i++) {
		if (kinds[i].alg == alg)
			kind = &kinds[i];
	}
	if (kind == NULL)
		return ms_fail(info, MS_ERR_INVALID,
			       "the public key is of algorithm %lld; accepted are -7, -8 and -257", (long long)alg);
	bool ok = is_int(&map, LABEL_KTY, kind->kty) && map.map.count == kind->count &&
		  (kind->curve == 0 || is_int(&map, -1, kind->curve)) && take_numbers(&map, kind, &params);
	if (!ok)
		return invalid(info, "the public key does not have exactly the parameters of its algorithm");
	struct cose_key key = {.alg = kind->alg};
	MS_TRY(ms_crypto_key_from_params(kind->kind, &params, info, &key.key));
	*rest = at;
	*ret_key = key;
	return MS_OK;
}

// One DER integer without sign, 1 to 33 bytes, into `size` bytes.
static bool read_der_integer(struct slice *rest, uint8_t *ret_number, size_t size)
{
	const uint8_t *p = (const uint8_t *)rest->p;
	if (rest->n < 3 || p[0] != 0x02 || p[1] == 0 || p[1] > size + 1 || rest->n < 2 + (size_t)p[1])
		return false;
	size_t n = p[1];
	p += 2;
	*rest = ms_slice_sub(*rest, 2 + n, SIZE_MAX);
	bool padded = p[0] == 0;
	if ((p[0] & 0x80) != 0 || (padded && (n == 1 || (p[1] & 0x80) == 0)) || n - padded > size)
		return false; // negative, zero, or longer than it needs to be
	memset(ret_number, 0, size);
	memcpy(ret_number + size - (n - padded), p + padded, n - padded);
	return true;
}

// ECDSA-Sig-Value (RFC 3279, 2.2.3) in DER to r || s.
static bool from_der(struct slice der, uint8_t ret_raw[2 * P256_SIZE])
{
	if (der.n < 8 || der.p[0] != 0x30 || (uint8_t)der.p[1] != der.n - 2 || der.n - 2 > 127)
		return false;
	struct slice rest = ms_slice_sub(der, 2, SIZE_MAX);
	return read_der_integer(&rest, ret_raw, P256_SIZE) && read_der_integer(&rest, ret_raw + P256_SIZE, P256_SIZE) &&
	       rest.n == 0;
}

bool ms_cose_verify(const struct cose_key *key, struct slice message, struct slice signature)
{
	uint8_t raw[2 * P256_SIZE];
	switch (key->alg) {
	case COSE_ES256:
		return from_der(signature, raw) &&
		       ms_crypto_verify(key->key, CRYPTO_ECDSA, CRYPTO_SHA256, message, ms_slice(raw, sizeof(raw)));
	case COSE_EDDSA:
		return ms_crypto_verify(key->key, CRYPTO_EDDSA, CRYPTO_SHA512, message, signature);
	case COSE_RS256:
		return ms_crypto_verify(key->key, CRYPTO_RSA_PKCS1, CRYPTO_SHA256, message, signature);
	}
	return false;
}

// --- Authenticator data ------------------------------------------------------------------------------

static enum ms_err take(struct slice *rest, size_t n, struct errinfo *info, struct slice *ret_part)
{
	if (rest->n < n)
		return invalid(info, "the authenticator data end too early");
	*ret_part = ms_slice_sub(*rest, 0, n);
	*rest = ms_slice_sub(*rest, n, SIZE_MAX);
	return MS_OK;
}

static enum ms_err take_value(struct slice *rest, enum cbor_type type, struct arena *arena, struct errinfo *info,
			      struct slice *ret_part)
{
	struct slice before = *rest;
	struct cbor_value value;
	MS_TRY(ms_cbor_read(rest, NULL, arena, info, &value));
	if (value.type != type)
		return ms_fail(info, MS_ERR_INVALID, "the authenticator data hold %s where %s belongs",
			       ms_cbor_type_name(value.type), ms_cbor_type_name(type));
	*ret_part = ms_slice_sub(before, 0, before.n - rest->n);
	return MS_OK;
}

static enum ms_err read_attested(struct slice *rest, struct arena *arena, struct errinfo *info,
				 struct authenticator_data *data)
{
	struct slice size = MS_SLICE_EMPTY;
	MS_TRY(take(rest, AAGUID_SIZE, info, &data->aaguid));
	MS_TRY(take(rest, 2, info, &size));
	size_t n = (size_t)(uint8_t)size.p[0] << 8 | (uint8_t)size.p[1];
	if (n == 0 || n > WEBAUTHN_CREDENTIAL_ID_MAX)
		return ms_fail(info, MS_ERR_INVALID, "the credential id has %zu bytes; 1 to %d are accepted", n,
			       WEBAUTHN_CREDENTIAL_ID_MAX);
	MS_TRY(take(rest, n, info, &data->credential_id));
	return take_value(rest, CBOR_MAP, arena, info, &data->public_key);
}

enum ms_err ms_authenticator_data_read(struct slice bytes, struct arena *arena, struct errinfo *info,
				       struct authenticator_data *ret_data)
{
	struct authenticator_data data = {0};
	struct slice rest = bytes, fixed = MS_SLICE_EMPTY, extensions;
	MS_TRY(take(&rest, FIXED_SIZE, info, &fixed));
	const uint8_t *p = (const uint8_t *)fixed.p + RP_ID_HASH_SIZE;
	data.rp_id_hash = ms_slice_sub(fixed, 0, RP_ID_HASH_SIZE);
	data.flags = p[0];
	data.sign_count = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
	if ((data.flags & AUTHENTICATOR_BACKED_UP) != 0 && (data.flags & AUTHENTICATOR_ELIGIBLE) == 0)
		return invalid(info, "the authenticator says that the credential is backed up and cannot be");
	if ((data.flags & AUTHENTICATOR_ATTESTED) != 0)
		MS_TRY(read_attested(&rest, arena, info, &data));
	if ((data.flags & AUTHENTICATOR_EXTENDED) != 0)
		MS_TRY(take_value(&rest, CBOR_MAP, arena, info, &extensions));
	if (rest.n > 0)
		return ms_fail(info, MS_ERR_INVALID, "%zu bytes follow the authenticator data", rest.n);
	*ret_data = data;
	return MS_OK;
}

enum ms_err ms_attestation_read(struct slice object, struct arena *arena, struct errinfo *info,
				struct slice *ret_auth_data)
{
	static const struct cbor_limits limits = {.max_depth = 8, .max_items = 1024, .any_order = true};
	struct cbor_value map;
	struct slice format;
	if (object.n > WEBAUTHN_OBJECT_MAX)
		return ms_fail(info, MS_ERR_LIMIT, "the attestation object is larger than %zu bytes",
			       WEBAUTHN_OBJECT_MAX);
	MS_TRY(ms_cbor_parse(object, &limits, arena, info, &map));
	const struct cbor_value *statement = ms_cbor_get_text(&map, "attStmt");
	if (!ms_cbor_as_text(ms_cbor_get_text(&map, "fmt"), &format) || statement == NULL ||
	    statement->type != CBOR_MAP || !ms_cbor_as_bytes(ms_cbor_get_text(&map, "authData"), ret_auth_data))
		return invalid(info, "the attestation object must hold fmt (text), attStmt (map) and authData (bytes)");
	if (ms_slice_eq_cstr(format, "none") && statement->map.count > 0)
		return invalid(info, "an attestation of format none has an empty statement");
	return MS_OK;
}

// --- Client data -------------------------------------------------------------------------------------

enum ms_err ms_client_data_read(struct slice json, struct arena *arena, struct errinfo *info,
				struct client_data *ret_data)
{
	static const struct json_limits limits = {
		.max_depth = 8, .max_bytes = WEBAUTHN_OBJECT_MAX, .reject_duplicates = true};
	struct client_data data = {0};
	const struct json_value *object;
	MS_TRY(ms_json_parse(json, &limits, arena, info, &object));
	if (object->type != JSON_OBJECT || !ms_json_as_str(ms_json_get(object, "type"), &data.type) ||
	    !ms_json_as_str(ms_json_get(object, "challenge"), &data.challenge) ||
	    !ms_json_as_str(ms_json_get(object, "origin"), &data.origin))
		return invalid(info, "the client data must be an object with type, challenge and origin");
	const struct json_value *cross = ms_json_get(object, "crossOrigin");
	if (cross != NULL && !ms_json_as_bool(cross, &data.cross_origin))
		return invalid(info, "crossOrigin of the client data must be true or false");
	if (ms_json_get(object, "topOrigin") != NULL)
		data.cross_origin = true;
	*ret_data = data;
	return MS_OK;
}
