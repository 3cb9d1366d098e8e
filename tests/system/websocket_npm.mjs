// SPDX-License-Identifier: Apache-2.0
// The WebSocket server through npm ws. Arguments: URL. Prints "ok" and ends with 0, or says what was wrong.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createRequire } from "node:module";

const WebSocket = createRequire(process.cwd() + "/package.json")("ws");
const base = process.argv[2];

async function open(path, protocols = [], options = {}) {
	const ws = new WebSocket(base + path, protocols, options);
	await once(ws, "open");
	return ws;
}

async function echo(ws, data, options = {}) {
	const answer = once(ws, "message");
	ws.send(data, options);
	const [got, isBinary] = await answer;
	assert.equal(isBinary, typeof data !== "string");
	assert.ok(Buffer.from(data).equals(got), `${data.length} bytes came back as ${got.length}`);
}

async function close(ws, code, reason) {
	const closed = once(ws, "close");
	ws.close(code, reason);
	const [gotCode, gotReason] = await closed;
	assert.equal(gotCode, code);
	assert.equal(gotReason.toString(), "");
}

// Plain, and with each of the parameters that the package can offer.
const offers = [
	false,
	true,
	{ threshold: 0 },
	{ threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
	{ threshold: 0, serverMaxWindowBits: 9, clientMaxWindowBits: 10 },
	{ threshold: 0, serverMaxWindowBits: 15, clientMaxWindowBits: true },
];
for (const perMessageDeflate of offers) {
	const ws = await open("/echo", [], { perMessageDeflate });
	assert.equal(ws.extensions, perMessageDeflate === false ? "" : "permessage-deflate");
	for (const size of [0, 1, 125, 126, 127, 65535, 65536, 200000]) {
		await echo(ws, "x\u00b5\u20ac\u{1f600}".repeat(size / 4));
		await echo(ws, randomBytes(size));
		await echo(ws, "y".repeat(size), { compress: false });
	}
	await close(ws, 1000, "done");
}

const chat = await open("/echo", ["other", "chat"]);
assert.equal(chat.protocol, "chat");
// Fragments, with a ping between them.
const pong = once(chat, "pong");
const whole = once(chat, "message");
chat.send("a \u20ac", { fin: false });
chat.ping("between");
chat.send("b".repeat(1000), { fin: false });
chat.send("c", { fin: true });
assert.equal((await pong)[0].toString(), "between");
assert.equal((await whole)[0].toString(), "a \u20ac" + "b".repeat(1000) + "c");
await close(chat, 4999, "bye");

const asked = await open("/close");
const closed = once(asked, "close");
asked.on("message", () => assert.fail("a message after the Close frame"));
asked.send("4321 so it is \u20ac");
const [code, reason] = await closed;
assert.equal(code, 4321);
assert.equal(reason.toString(), "so it is \u20ac");

for (const [path, options, status] of [
	["/echo", { origin: "https://elsewhere.example" }, 403],
	["/echo", { protocolVersion: 8 }, 426],
	["/nowhere", {}, 404],
]) {
	const refused = new WebSocket(base + path, [], options);
	const [, answer] = await once(refused, "unexpected-response");
	assert.equal(answer.statusCode, status);
	refused.on("error", () => {});
	refused.terminate();
}
console.log("ok");
