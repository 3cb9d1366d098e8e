// SPDX-License-Identifier: Apache-2.0
// Other people's WebAuthn, for test_webauthn_peers.py: a line of JSON in, a line out. `emulator` makes and uses passkeys as a browser does;
// `server` says what another relying party thinks of an answer.
import { createInterface } from "node:readline";
import emulator from "nid-webauthn-emulator";
import { verifyAuthenticationResponse, verifyRegistrationResponse } from "@simplewebauthn/server";

const { default: WebAuthnEmulator, AuthenticatorEmulator } = emulator;
const browsers = new Map();
const unb64 = (text) => new Uint8Array(Buffer.from(text, "base64url"));

function browser({ name, algorithms }) {
  if (!browsers.has(name))
    browsers.set(name, new WebAuthnEmulator(new AuthenticatorEmulator(algorithms ? { algorithmIdentifiers: algorithms } : {})));
  return browsers.get(name);
}

const operations = {
  create: (ask) => browser(ask).createJSON(ask.origin, ask.options),
  get: (ask) => browser(ask).getJSON(ask.origin, ask.options),
  registration: async (ask) => {
    const { verified, registrationInfo } = await verifyRegistrationResponse({
      response: ask.response,
      expectedChallenge: ask.challenge,
      expectedOrigin: ask.origin,
      expectedRPID: ask.rpId,
      requireUserVerification: false,
      supportedAlgorithmIDs: [-8, -7, -257],
    });
    const key = registrationInfo && Buffer.from(registrationInfo.credential.publicKey).toString("base64url");
    return { verified, key };
  },
  authentication: async (ask) => {
    const { verified } = await verifyAuthenticationResponse({
      response: ask.response,
      expectedChallenge: ask.challenge,
      expectedOrigin: ask.origin,
      expectedRPID: ask.rpId,
      requireUserVerification: true,
      credential: { id: ask.response.id, publicKey: unb64(ask.key), counter: ask.counter },
    });
    return { verified };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const ask = JSON.parse(line);
  let answer;
  try {
    answer = { ok: await operations[ask.operation](ask) };
  } catch (error) {
    answer = { error: String(error.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
