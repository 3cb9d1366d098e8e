// SPDX-License-Identifier: Apache-2.0
// A person at a keyboard: Chromium with scripts off signs in, allows, and comes back to the client's own address.
//
//	node --experimental-websocket oauth_chromium.mjs CHROMIUM PROFILE <<<'{"authorize":…,"port":…,"user":…,"password":…}'
// Prints {"callback":…,"complaints":[…]}.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";

const [chromium, profile] = process.argv.slice(2);
const setup = JSON.parse(readFileSync(0, "utf8"));
const complaints = [];

// The client: its address is another origin than ours.
const arrived = new Promise((resolve) => {
  http.createServer((request, answer) => {
    answer.end("back at the client");
    if (request.url.startsWith("/cb")) resolve(request.url);
  }).listen(setup.port, "127.0.0.1");
});

const browser = spawn(chromium, ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"], { stdio: ["ignore", "ignore", "pipe"] });
const address = await new Promise((resolve) => browser.stderr.on("data", (text) => {
  const found = String(text).match(/ws:\/\/\S+/);
  if (found) resolve(found[0]);
}));
const targets = await (await fetch(`http://${new URL(address).host}/json`)).json();
const socket = new WebSocket(targets.find((target) => target.type === "page").webSocketDebuggerUrl);
await new Promise((resolve) => socket.addEventListener("open", resolve));
const waiting = new Map();
let loaded = () => {};
let number = 0;
socket.addEventListener("message", ({ data }) => {
  const message = JSON.parse(data);
  if (message.id) waiting.get(message.id)(message);
  if (message.method === "Log.entryAdded") complaints.push(message.params.entry.text);
  if (message.method === "Page.loadEventFired") loaded();
});
const send = (method, params = {}) => new Promise((resolve) => {
  waiting.set(++number, resolve);
  socket.send(JSON.stringify({ id: number, method, params }));
});
const load = () => new Promise((resolve) => { loaded = resolve; });
const press = async (key, text) => {
  await send("Input.dispatchKeyEvent", { type: "keyDown", key, code: key, text, windowsVirtualKeyCode: key === "Enter" ? 13 : 9 });
  await send("Input.dispatchKeyEvent", { type: "keyUp", key, code: key, windowsVirtualKeyCode: key === "Enter" ? 13 : 9 });
};

await send("Page.enable");
await send("Log.enable");
await send("Emulation.setScriptExecutionDisabled", { value: true });
let next = load();
await send("Page.navigate", { url: setup.authorize });
await next;
await send("Input.insertText", { text: setup.user }); // the field has the focus
await press("Tab");
await send("Input.insertText", { text: setup.password });
next = load();
await press("Enter", "\r");
await next;
await press("Tab"); // to "Allow"
await press("Enter", "\r");
const late = new Promise((resolve) => setTimeout(() => resolve(null), 15000));
console.log(JSON.stringify({ callback: await Promise.race([arrived, late]), complaints }));
browser.kill();
process.exit(0);
