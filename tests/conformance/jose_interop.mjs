// SPDX-License-Identifier: Apache-2.0
// Tokens between the npm package jose and the jose module: each signs what the other verifies, with keys that either made, for every
// algorithm; and the module decrypts what the package encrypted. Usage: node jose_interop.mjs PROGRAM FOLDER-OF-THE-PACKAGE
import { spawnSync } from "node:child_process";
import { webcrypto } from "node:crypto";
import { pathToFileURL } from "node:url";
import path from "node:path";

globalThis.crypto ??= webcrypto; // before Node.js 19 it is not there by itself
const [program, folder] = process.argv.slice(2);
const jose = await import(pathToFileURL(path.join(folder, "dist/webapi/index.js")).href);

const HMAC = { HS256: 32, HS384: 48, HS512: 64 };
const SIGN = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"];
const WRAP = {
  dir: null, A128KW: 16, A192KW: 24, A256KW: 32, A128GCMKW: 16, A192GCMKW: 24, A256GCMKW: 32,
  "RSA-OAEP": null, "RSA-OAEP-256": null,
  "ECDH-ES": null, "ECDH-ES+A128KW": null, "ECDH-ES+A192KW": null, "ECDH-ES+A256KW": null,
};
const ENC = { A128GCM: 16, A192GCM: 24, A256GCM: 32, "A128CBC-HS256": 32, "A192CBC-HS384": 48, "A256CBC-HS512": 64 };
const CURVES = ["P-256", "P-384", "P-521", "X25519"];
const PAYLOAD = '{"sub":"7","name":"Zoë"}';

let number = 0, failed = 0;
function report(ok, name, why = "") {
  number++;
  failed += ok ? 0 : 1;
  console.log(`${ok ? "" : "not "}ok ${number} - ${name}${ok ? "" : ` # ${why}`}`);
}

function ask(requests) {
  const run = spawnSync(program, { input: requests.map((r) => JSON.stringify(r) + "\n").join(""), maxBuffer: 1 << 26 });
  const lines = run.stdout.toString().split("\n").slice(0, -1);
  if (run.status !== 0 || lines.length !== requests.length) {
    console.log(`Bail out! the program answered ${lines.length} of ${requests.length} requests, status ${run.status}`);
    process.exit(1);
  }
  return lines;
}

const secretJwk = (size) => ({ kty: "oct", k: Buffer.from(crypto.getRandomValues(new Uint8Array(size))).toString("base64url") });

async function packageKeys(alg, options) {
  const pair = await jose.generateKeyPair(alg, { extractable: true, ...options });
  return { pair, secret: { ...(await jose.exportJWK(pair.privateKey)), alg }, open: { ...(await jose.exportJWK(pair.publicKey)), alg } };
}

async function packageSigns(alg, jwk) {
  return new jose.CompactSign(Buffer.from(PAYLOAD)).setProtectedHeader({ alg, typ: "JWT" }).sign(await jose.importJWK(jwk, alg));
}

const expected = `ok ${Buffer.from(PAYLOAD).toString("base64url")}`;

async function packageVerifies(name, token, jwk, alg) {
  try {
    const { payload, protectedHeader } = await jose.compactVerify(token, await jose.importJWK(jwk, alg), { algorithms: [alg] });
    report(Buffer.from(payload).toString() === PAYLOAD && protectedHeader.kid.length > 0, name, "another payload");
  } catch (e) {
    report(false, name, `${e}`);
  }
}

// The signature with its last byte changed must be refused by the module.
function spoil(token) {
  const bytes = Buffer.from(token.slice(token.lastIndexOf(".") + 1), "base64url");
  bytes[bytes.length - 1] ^= 1;
  return token.slice(0, token.lastIndexOf(".") + 1) + bytes.toString("base64url");
}

async function signatures() {
  for (const alg of [...Object.keys(HMAC), ...SIGN]) {
    const keys = HMAC[alg] ? { secret: { ...secretJwk(HMAC[alg]), alg } } : await packageKeys(alg);
    keys.open ??= keys.secret;
    const token = await packageSigns(alg, keys.secret);
    const requests = [
      { do: "verify", jwk: keys.open, token },
      { do: "verify", jwk: keys.open, token: spoil(token) },
      { do: "sign", jwk: keys.secret, payload: PAYLOAD },
    ];
    if (!HMAC[alg]) {
      requests.push({ do: "verify", pem: await jose.exportSPKI(keys.pair.publicKey), alg, token });
      requests.push({ do: "generate", alg });
    }
    const answers = ask(requests);
    report(answers[0] === expected, `${alg}: the module verifies the package's token`, answers[0]);
    report(answers[1].startsWith("error "), `${alg}: and not a changed one`, answers[1]);
    // The module names Ed25519 EdDSA in what it signs.
    const written = alg === "Ed25519" ? "EdDSA" : alg;
    await packageVerifies(`${alg}: the package verifies the module's token`, answers[2].slice(3), { ...keys.open, alg: written }, written);
    if (HMAC[alg]) continue;
    report(answers[3] === expected, `${alg}: the module reads the package's PEM`, answers[3]);
    const own = JSON.parse(answers[4].slice(3));
    const theirs = await packageSigns(written, own);
    const [back, signed] = ask([
      { do: "verify", jwk: own, token: theirs },
      { do: "sign", jwk: own, payload: PAYLOAD },
    ]);
    report(back === expected, `${alg}: the package signs with the module's key`, back);
    const { d, p, q, dp, dq, qi, ...open } = own;
    await packageVerifies(`${alg}: and verifies with it`, signed.slice(3), open, written);
    report((await jose.calculateJwkThumbprint(open)) === own.kid, `${alg}: the same thumbprint`, own.kid);
  }
}

async function encryptions() {
  const plaintext = Buffer.from(PAYLOAD);
  for (const [alg, size] of Object.entries(WRAP)) {
    const variants = alg.startsWith("ECDH") ? CURVES : [null];
    for (const crv of variants) {
      const pair = alg.includes("RSA") || crv ? await packageKeys(alg, crv ? { crv } : {}) : null;
      const requests = [], names = [];
      for (const [enc, bytes] of Object.entries(ENC)) {
        const jwk = pair?.secret ?? { ...secretJwk(size ?? bytes), alg };
        const key = pair?.pair.publicKey ?? Buffer.from(jwk.k, "base64url");
        const encrypt = new jose.CompactEncrypt(plaintext).setProtectedHeader({ alg, enc });
        if (crv) encrypt.setKeyManagementParameters({ apu: Buffer.from("Alice"), apv: Buffer.from("Bob") });
        const token = await encrypt.encrypt(key);
        requests.push({ do: "decrypt", jwk, token }, { do: "decrypt", jwk, token: spoil(token) });
        names.push(`${alg}${crv ? ` ${crv}` : ""} ${enc}`);
      }
      const answers = ask(requests);
      names.forEach((name, i) => {
        report(answers[2 * i] === expected, `${name}: the module decrypts`, answers[2 * i]);
        report(answers[2 * i + 1].startsWith("error "), `${name}: and not a changed one`, answers[2 * i + 1]);
      });
    }
  }
}

await signatures();
await encryptions();
console.log(`1..${number}`);
process.exit(failed > 0 ? 1 : 0);
