// SPDX-License-Identifier: Apache-2.0
// npm oidc-provider as the outside provider of tests/system/test_federation.py. Settings are one JSON line on standard input; "ready" on standard output.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import readline from "node:readline";

const require = createRequire(process.argv[2] + "/");
const { Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));
const line = await new Promise((done) => readline.createInterface({ input: process.stdin }).once("line", done));
const setup = JSON.parse(line);

const provider = new Provider(setup.issuer, {
  clients: [setup.client],
  jwks: { keys: setup.keys },
  cookies: { keys: ["for tests alone"] },
  claims: { openid: ["sub"], profile: ["preferred_username", "name"], email: ["email", "email_verified"], groups: ["groups"] },
  scopes: ["openid", "profile", "email", "groups"],
  conformIdTokenClaims: setup.conform ?? true,
  enabledJWA: setup.enabledJWA,
  features: { encryption: { enabled: true } },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id, name: "Name of " + id, email: id + "@example.com", email_verified: true, groups: setup.groups ?? [] }) }),
});
provider.on("server_error", (ctx, error) => console.error(error));
provider.listen(setup.port, "127.0.0.1", () => console.log("ready"));
