// SPDX-License-Identifier: Apache-2.0
#include "jose/internal.h"

static const struct jose_alg_row rows[JOSE_ALG_COUNT] = {
	[JOSE_HS256] = {"HS256", FAMILY_OCT, 0, 0, CRYPTO_SHA256},
	[JOSE_HS384] = {"HS384", FAMILY_OCT, 0, 0, CRYPTO_SHA384},
	[JOSE_HS512] = {"HS512", FAMILY_OCT, 0, 0, CRYPTO_SHA512},
	[JOSE_RS256] = {"RS256", FAMILY_RSA, CRYPTO_RSA, CRYPTO_RSA_PKCS1, CRYPTO_SHA256},
	[JOSE_RS384] = {"RS384", FAMILY_RSA, CRYPTO_RSA, CRYPTO_RSA_PKCS1, CRYPTO_SHA384},
	[JOSE_RS512] = {"RS512", FAMILY_RSA, CRYPTO_RSA, CRYPTO_RSA_PKCS1, CRYPTO_SHA512},
	[JOSE_PS256] = {"PS256", FAMILY_RSA, CRYPTO_RSA, CRYPTO_RSA_PSS, CRYPTO_SHA256},
	[JOSE_PS384] = {"PS384", FAMILY_RSA, CRYPTO_RSA, CRYPTO_RSA_PSS, CRYPTO_SHA384},
	[JOSE_PS512] = {"PS512", FAMILY_RSA, CRYPTO_RSA, CRYPTO_RSA_PSS, CRYPTO_SHA512},
	[JOSE_ES256] = {"ES256", FAMILY_EC, CRYPTO_P256, CRYPTO_ECDSA, CRYPTO_SHA256},
	[JOSE_ES384] = {"ES384", FAMILY_EC, CRYPTO_P384, CRYPTO_ECDSA, CRYPTO_SHA384},
	[JOSE_ES512] = {"ES512", FAMILY_EC, CRYPTO_P521, CRYPTO_ECDSA, CRYPTO_SHA512},
	[JOSE_ED25519] = {"EdDSA", FAMILY_OKP, CRYPTO_ED25519, CRYPTO_EDDSA, CRYPTO_SHA512},
};

const struct jose_alg_row *ms_jose_alg_row(enum jose_alg alg)
{
	MS_ASSERT((unsigned)alg < JOSE_ALG_COUNT);
	return &rows[alg];
}

const char *ms_jose_alg_name(enum jose_alg alg)
{
	return ms_jose_alg_row(alg)->name;
}

bool ms_jose_alg_find(struct slice name, enum jose_alg *ret_alg)
{
	for (size_t i = 0; i < JOSE_ALG_COUNT; i++) {
		if (ms_slice_eq_cstr(name, rows[i].name)) {
			*ret_alg = (enum jose_alg)i;
			return true;
		}
	}
	if (!ms_slice_eq_cstr(name, "Ed25519"))
		return false;
	*ret_alg = JOSE_ED25519;
	return true;
}
