// SPDX-License-Identifier: Apache-2.0
// The OAuth provider through other people's clients: openid-client and oauth4webapi, whole flows against a running server.
//
//	node oauth_interop.mjs NODE_MODULES <<<'{"server":…,"user":…,"password":…,"clients":{…}}'
import { webcrypto } from "node:crypto";
import { pathToFileURL } from "node:url";
import { readFileSync } from "node:fs";
import assert from "node:assert/strict";

globalThis.crypto ??= webcrypto;
const modules = process.argv[2];
const oidc = await import(pathToFileURL(`${modules}/openid-client/build/index.js`));
const oauth = await import(pathToFileURL(`${modules}/oauth4webapi/build/index.js`));
const setup = JSON.parse(readFileSync(0, "utf8"));
const issuer = new URL(setup.server);

// --- A person with a browser -------------------------------------------------------------------------

const unescape = (text) => text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name) => ({ amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" })[name]);

class Browser {
  cookie = "";
  async load(url, body) {
    const headers = this.cookie ? { Cookie: this.cookie } : {};
    const answer = await fetch(url, { method: body ? "POST" : "GET", body, headers, redirect: "manual" });
    const set = answer.headers.get("set-cookie");
    if (set) this.cookie = set.split(";")[0];
    const text = await answer.text();
    if (answer.status !== 303) return { url, text };
    const next = new URL(answer.headers.get("location"), url);
    return next.origin === issuer.origin && next.pathname.startsWith("/oauth/") ? this.load(next) : { away: next };
  }
  submit(page, fields) {
    const values = new URLSearchParams();
    for (const [, name, value] of page.text.matchAll(/<input[^>]*? name="([^"]*)"(?:[^>]*? value="([^"]*)")?/g)) values.set(name, unescape(value ?? ""));
    for (const [name, value] of Object.entries(fields)) values.set(name, value);
    const action = page.text.match(/<form[^>]* action="([^"]*)"/)[1];
    return this.load(new URL(action, page.url), values);
  }
  // Signs in and allows, as far as asked; where it leads in the end.
  async through(url) {
    let page = await this.load(url);
    if (page.text?.includes('name="password"')) page = await this.submit(page, { username: setup.user, password: setup.password });
    if (page.text?.includes('value="allow"')) page = await this.submit(page, { decision: "allow" });
    assert(page.away, page.text);
    return page.away;
  }
}

// --- Tests -------------------------------------------------------------------------------------------

const tests = [];
const test = (name, run) => tests.push({ name, run });
const insecure = { execute: [oidc.allowInsecureRequests] };
const { web, post, native, machine, keyed, device } = setup.clients;

async function flow(config, chosen, scope, extra = {}) {
  const verifier = oidc.randomPKCECodeVerifier(), state = oidc.randomState(), nonce = oidc.randomNonce();
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: chosen.redirect, scope, state, nonce, code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256", ...extra,
  });
  const browser = new Browser();
  const back = await browser.through(url);
  const tokens = await oidc.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true, maxAge: 300 });
  return { tokens, browser, back, verifier, state, nonce };
}

for (const [name, chosen, auth] of [
  ["client_secret_basic", web, (c) => oidc.ClientSecretBasic(c.secret)],
  ["client_secret_post", post, (c) => oidc.ClientSecretPost(c.secret)],
  ["a public client on a loopback port", native, () => oidc.None()],
]) {
  test(`openid-client: code, userinfo, refresh, revocation with ${name}`, async () => {
    const config = await oidc.discovery(issuer, chosen.id, undefined, auth(chosen), insecure);
    const { tokens } = await flow(config, chosen, "openid profile email offline_access predict");
    const claims = tokens.claims();
    assert.equal(claims.sub, setup.user_id);
    const info = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
    assert.equal(info.preferred_username, setup.user);
    assert.equal(info.email, setup.email);
    const fresh = await oidc.refreshTokenGrant(config, tokens.refresh_token);
    assert.notEqual(fresh.refresh_token, tokens.refresh_token);
    assert.equal(fresh.claims().sub, claims.sub);
    await oidc.tokenRevocation(config, fresh.refresh_token);
    await assert.rejects(oidc.refreshTokenGrant(config, fresh.refresh_token), (e) => e.error === "invalid_grant");
    await assert.rejects(oidc.fetchUserInfo(config, fresh.access_token, claims.sub), (e) => e.status === 401 || e.cause?.[0]?.scheme === "bearer");
  });
}

test("openid-client: introspection", async () => {
  const config = await oidc.discovery(issuer, web.id, undefined, oidc.ClientSecretBasic(web.secret), insecure);
  const { tokens } = await flow(config, web, "openid predict");
  const seen = await oidc.tokenIntrospection(config, tokens.access_token);
  assert.equal(seen.active, true);
  assert.equal(seen.sub, setup.user_id);
  assert.equal((await oidc.tokenIntrospection(config, "nonsense")).active, false);
});

test("openid-client: a replayed code is refused", async () => {
  const config = await oidc.discovery(issuer, web.id, undefined, oidc.ClientSecretBasic(web.secret), insecure);
  const { back, verifier, state, nonce } = await flow(config, web, "openid");
  const again = oidc.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce });
  await assert.rejects(again, (e) => e.error === "invalid_grant");
});

test("openid-client: errors come back to the client, with iss", async () => {
  const config = await oidc.discovery(issuer, web.id, undefined, oidc.ClientSecretBasic(web.secret), insecure);
  const state = oidc.randomState(), verifier = oidc.randomPKCECodeVerifier();
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: web.redirect, scope: "openid", state, prompt: "none", code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
  });
  const back = (await new Browser().load(url)).away;
  assert.equal(back.searchParams.get("iss"), setup.server);
  await assert.rejects(oidc.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier, expectedState: state }), (e) => e.error === "login_required");
});

test("openid-client: client credentials with a secret and with private_key_jwt", async () => {
  const config = await oidc.discovery(issuer, machine.id, undefined, oidc.ClientSecretBasic(machine.secret), insecure);
  const tokens = await oidc.clientCredentialsGrant(config, { scope: "models.read" });
  assert.equal(tokens.scope, "models.read");
  const models = await fetch(`${setup.server}/api/v1/models`, { headers: { Authorization: `Bearer ${tokens.access_token}` } });
  assert.equal(models.status, 200);
  const key = await crypto.subtle.importKey("jwk", keyed.key, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
  const proven = await oidc.discovery(issuer, keyed.id, undefined, oidc.PrivateKeyJwt({ key, kid: "k1" }), insecure);
  assert.equal((await oidc.clientCredentialsGrant(proven, {})).scope, "models.read");
  const wrong = await oidc.discovery(issuer, machine.id, undefined, oidc.ClientSecretBasic("wrong"), insecure);
  await assert.rejects(oidc.clientCredentialsGrant(wrong, {}), (e) => e.error === "invalid_client" || e.status === 401);
});

test("openid-client: device flow", async () => {
  const config = await oidc.discovery(issuer, device.id, undefined, oidc.None(), insecure);
  const begun = await oidc.initiateDeviceAuthorization(config, { scope: "openid predict offline_access" });
  const browser = new Browser();
  let page = await browser.load(begun.verification_uri_complete);
  page = await browser.submit(page, { username: setup.user, password: setup.password });
  page = await browser.submit(page, {});
  page = await browser.submit(page, { decision: "allow" });
  assert.match(page.text, /The device is signed in/);
  const tokens = await oidc.pollDeviceAuthorizationGrant(config, begun);
  assert.equal(tokens.claims().sub, setup.user_id);
  assert.equal((await oidc.refreshTokenGrant(config, tokens.refresh_token)).scope, "openid predict offline_access");
});

test("openid-client: signing out", async () => {
  const config = await oidc.discovery(issuer, web.id, undefined, oidc.ClientSecretBasic(web.secret), insecure);
  const { tokens, browser } = await flow(config, web, "openid");
  const url = oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: web.logout, state: "bye" });
  const back = (await browser.load(url)).away;
  assert.equal(back.href, `${web.logout}?state=bye`);
  assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).active, false);
});

const http = { [oauth.allowInsecureRequests]: true };
for (const algorithm of ["oidc", "oauth2"]) {
  test(`oauth4webapi: ${algorithm} discovery, code, id token, userinfo, refresh`, async () => {
    const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm, ...http }));
    const client = { client_id: web.id }, auth = oauth.ClientSecretBasic(web.secret);
    const verifier = oauth.generateRandomCodeVerifier(), state = oauth.generateRandomState(), nonce = oauth.generateRandomNonce();
    const url = new URL(as.authorization_endpoint);
    for (const [name, value] of Object.entries({
      client_id: web.id, redirect_uri: web.redirect, response_type: "code", scope: "openid email offline_access", state, nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
    })) url.searchParams.set(name, value);
    const params = oauth.validateAuthResponse(as, client, await new Browser().through(url), state);
    const answer = await oauth.authorizationCodeGrantRequest(as, client, auth, params, web.redirect, verifier, http);
    const tokens = await oauth.processAuthorizationCodeResponse(as, client, answer, { expectedNonce: nonce, requireIdToken: true });
    await oauth.validateApplicationLevelSignature(as, answer, http);
    const { sub } = oauth.getValidatedIdTokenClaims(tokens);
    assert.equal(sub, setup.user_id);
    const info = await oauth.processUserInfoResponse(as, client, sub, await oauth.userInfoRequest(as, client, tokens.access_token, http));
    assert.equal(info.email, setup.email);
    const fresh = await oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, http));
    assert(fresh.refresh_token);
    await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, fresh.refresh_token, http));
  });
}

test("oauth4webapi: the access token is one of RFC 9068 for the resource server", async () => {
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, http));
  const client = { client_id: machine.id };
  const answer = await oauth.clientCredentialsGrantRequest(as, client, oauth.ClientSecretPost(machine.secret), new URLSearchParams(), http);
  const tokens = await oauth.processClientCredentialsResponse(as, client, answer);
  const request = new Request(`${setup.server}/api/v1/models`, { headers: { Authorization: `Bearer ${tokens.access_token}` } });
  const claims = await oauth.validateJwtAccessToken(as, request, setup.audience, http);
  assert.equal(claims.client_id, machine.id);
  assert.equal(claims.sub, machine.id);
});

let failed = 0;
console.log(`1..${tests.length}`);
for (const [index, { name, run }] of tests.entries()) {
  try {
    await run();
    console.log(`ok ${index + 1} - ${name}`);
  } catch (error) {
    failed++;
    console.log(`not ok ${index + 1} - ${name}`);
    console.log(String(error.stack ?? error).replace(/^/gm, "# "), error.cause ? `\n# cause: ${JSON.stringify(error.cause)}` : "");
  }
}
process.exit(failed === 0 ? 0 : 1);
