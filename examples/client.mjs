#!/usr/bin/env node
/*
 * Run one operation of a luma server on files or URLs, and save what it makes.
 *
 *   node client.mjs compress holiday.mov --preset medium --out results
 *   node client.mjs thumbnail film.mkv --count 5 --format png
 *   node client.mjs probe --url https://example.org/clip.mp4 --json
 *
 * Node 22 has the WebSocket that it needs; for Node 20 run `npm install` in this folder.
 * Exit status: 0 done, 1 the job failed, 2 it could not be asked for.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import * as fs from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const USAGE = `usage: client.mjs OPERATION [FILE]… [--url URL]… [--OPTION VALUE]…
  --server URL   where the server listens (ws://127.0.0.1:8080/ws, or $LUMA_SERVER)
  --token TOKEN  who you are, if the server asks ($LUMA_TOKEN)
  --out DIR      where the outputs go (.)
  --json         the server's messages, one a line, instead of words
Every other option is the operation's; \`client.mjs describe [OPERATION]\` lists them.`;

const FRAME = 512 * 1024; // bytes of a file in one message; the server takes up to 64 MiB
const WINDOW = 4 * 1024 * 1024; // bytes that may wait in the socket before we stop reading the file
const PATIENCE = 30_000; // ms to get back to a job, which the server keeps as long
const SILENCE = 8_000; // ms; while a job is alive the server says something every two seconds

class Refused extends Error {} // the request can't be made: exit status 2
class Lost extends Error {} // the connection, which may come back

/* Splits a command line into operation, inputs, our settings and the operation's options. */
function parse(rest) {
  const ours = {
    server: process.env.LUMA_SERVER ?? "ws://127.0.0.1:8080/ws",
    token: process.env.LUMA_TOKEN,
    out: ".",
  };
  const words = [], urls = [], options = {};
  while (rest.length) {
    const word = rest.shift();
    if (!word.startsWith("--") && word !== "-h") {
      words.push(word);
      continue;
    }
    let [, name, value] = word === "-h" ? [, "help"] : /^--([^=]*)(?:=(.*))?$/s.exec(word);
    if (value === undefined) {
      const isSwitch = ["json", "help"].includes(name) || !rest.length || rest[0].startsWith("--");
      value = isSwitch ? "true" : rest.shift();
    }
    if (name === "url") urls.push(value);
    else if (["server", "token", "out", "json", "help"].includes(name)) ours[name] = value;
    else options[name] = value;
  }
  if (ours.help || !words.length) throw new Refused(USAGE);
  return { operation: words[0], files: words.slice(1), urls, options, ours };
}

/* The JSON value that the text of a command line stands for, by the option's JSON Schema. */
function typed(text, schema = {}) {
  const parts = [schema, ...(schema.anyOf ?? []), ...(schema.oneOf ?? [])];
  const kinds = new Set(parts.flatMap((part) => part.type ?? []));
  const numeric = kinds.has("number") || kinds.has("integer");
  if (/^[[{]/.test(text) && (kinds.has("array") || kinds.has("object"))) return JSON.parse(text);
  if (kinds.has("array")) return text.split(",").map((item) => typed(item.trim(), schema.items));
  if (kinds.has("boolean") && ["true", "false"].includes(text)) return text === "true";
  if (numeric && text.trim() !== "" && Number.isFinite(Number(text))) return Number(text);
  return text; // a string, or something that the server will name in its error
}

function human(size) {
  const units = ["bytes", "KB", "MB", "GB"];
  while (size >= 1000 && units.length > 1) {
    size /= 1000;
    units.shift();
  }
  return `${units[0] === "bytes" ? size : size.toFixed(1)} ${units[0]}`;
}

const sentence = (error) =>
  [`${error.message} (${error.code})`]
    .concat(Object.entries(error.details ?? {}).map(([key, value]) =>
      `  ${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`))
    .join("\n");

/* A bar on a terminal; else a line when the stage changes, and every ten per cent. */
class Progress {
  constructor(quiet) {
    this.quiet = quiet;
    this.tty = process.stderr.isTTY;
  }
  show(stage, percent, rate, eta) {
    if (this.quiet) return;
    if (this.tty) {
      const bar = "#".repeat(Math.floor((percent ?? 0) * 0.3)).padEnd(30);
      const known = percent == null ? "    ?  " : ` ${percent.toFixed(1).padStart(5)} %`;
      const left = eta == null ? "" : `  ${Math.round(eta)} s left`;
      process.stderr.write(
        `\r\x1b[K${stage.padEnd(11)}[${bar}]${known}${rate ? "  " + rate : ""}${left}`);
      this.open = true;
      return;
    }
    const mark = `${stage} ${Math.floor((percent ?? 0) / 10)}`;
    if (mark !== this.last) {
      process.stderr.write(`${stage} ${Math.round(percent ?? 0)} %${rate ? " " + rate : ""}\n`);
    }
    this.last = mark;
  }
  close() {
    if (this.open) process.stderr.write("\n");
    this.open = false;
  }
}

/* Output bytes, written where their headers say, into files that replace nothing. */
class Outputs {
  files = new Map();
  received = new Map();
  constructor(folder) {
    this.folder = folder;
  }
  async write(header, payload) {
    let file = this.files.get(header.output);
    if (!file) {
      await fs.mkdir(this.folder, { recursive: true });
      file = await this.create(header);
      this.files.set(header.output, file);
    }
    if (header.offset === 0 && header.attempt > 1) await file.handle.truncate(0);
    await file.handle.write(payload, 0, payload.length, header.offset);
    const { output, attempt, offset } = header;
    this.received.set(output, { output, received: offset + payload.length, attempt });
  }
  /* The name comes from outside: only its last part is used, and no file is replaced. */
  async create(header) {
    const printable = (header.name ?? "").replace(/[\p{C}]/gu, "");
    const name = printable.split(/[\\/]/).pop().replace(/^\.+/, "") || `output-${header.output}`;
    const { name: stem, ext } = path.parse(name);
    for (let number = 1; ; number++) {
      const file = path.join(this.folder, number === 1 ? name : `${stem}-${number}${ext}`);
      try {
        return { path: file, handle: await fs.open(file, "wx+") };
      } catch (error) {
        if (error.code !== "EEXIST") throw error;
      }
    }
  }
  /* Closes a finished output and compares it with what the server says it is. */
  async check(output) {
    const file = this.files.get(output.index);
    if (!file) throw new Error(`Output ${output.name} never came`);
    await file.handle.close();
    this.files.delete(output.index);
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(file.path)) hash.update(chunk);
    if (hash.digest("hex") !== output.sha256) {
      throw new Error(`Output ${file.path} is damaged: its sha256 is not the server's`);
    }
    return file.path;
  }
  async discard() {
    for (const { path: file, handle } of this.files.values()) {
      await handle.close();
      await fs.unlink(file);
    }
  }
}

/* A WebSocket with requests that wait for their answers, and the other messages in their order. */
class Connection {
  waiting = [];
  constructor(socket) {
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    this.closed = new Promise((resolve) => socket.addEventListener("close", resolve));
    socket.addEventListener("message", ({ data }) => {
      this.waiting.push(data);
      if (this.waiting.length > 32) socket.pause?.(); // ws can; Node's own WebSocket can't
      this.wake?.();
    });
    this.closed.then(() => this.wake?.());
  }
  static async open(url) {
    const WebSocket = globalThis.WebSocket ?? (await import("ws").catch(() => {
      throw new Refused(
        "Node 20 has no WebSocket of its own: run `npm install` in the folder of client.mjs");
    })).WebSocket;
    const socket = new WebSocket(url, ["luma.v1"]);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("error", (event) =>
        reject(new Lost(`Can't connect to ${url}: ${event.message || "refused"}`)));
    });
    return new Connection(socket);
  }
  async *messages(patience) {
    for (;;) {
      while (this.waiting.length) {
        const data = this.waiting.shift();
        yield typeof data === "string" ? JSON.parse(data) : new Uint8Array(data);
      }
      if (this.socket.readyState > 1) return;
      this.socket.resume?.();
      await this.hear(patience);
    }
  }
  /* A WebSocket may not tell of the end of a connection while bytes that it can't send are left. */
  async hear(patience) {
    let timer;
    await new Promise((resolve, reject) => {
      this.wake = resolve;
      const give = () => reject(new Lost("The server has fallen silent"));
      if (patience) timer = setTimeout(give, patience);
    });
    clearTimeout(timer);
  }
  async ask(message) {
    const id = String(Math.random());
    this.socket.send(JSON.stringify({ ...message, request_id: id }));
    for await (const answer of this.messages()) {
      if (answer.type === "error") throw new Refused(sentence(answer));
      if (answer.request_id === id) return answer;
    }
    throw new Lost("The server closed the connection");
  }
  /* Waits while the socket holds more than a window: a file is read no faster than it is sent. */
  async send(header, payload) {
    const head = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(head.length);
    this.socket.send(Buffer.concat([length, head, payload]));
    while (this.socket.bufferedAmount > WINDOW && this.isOpen()) await sleep(2);
  }
  isOpen() {
    return this.socket.readyState === 1;
  }
}

/* Streams what the server lacks. */
async function upload(connection, ack, files, progress) {
  const received = new Map(ack.uploads.map((entry) => [entry.input, entry.received]));
  const sizes = await Promise.all(files.map(async (file) => (await fs.stat(file)).size));
  const total = sizes.reduce((a, b) => a + b, 0) || 1, start = Date.now();
  const before = [...received.values()].reduce((a, b) => a + b, 0);
  let sent = before;
  for (const [input, file] of files.entries()) {
    let offset = received.get(input), last = sizes[input] > 0 && offset >= sizes[input];
    const handle = await fs.open(file);
    try {
      while (!last && connection.isOpen()) {
        const { bytesRead, buffer } = await handle.read(Buffer.alloc(FRAME), 0, FRAME, offset);
        last = bytesRead === 0 || offset + bytesRead >= sizes[input];
        await connection.send({ type: "upload", job_id: ack.job_id, input, offset, last },
          buffer.subarray(0, bytesRead));
        offset += bytesRead;
        sent += bytesRead;
        const rate = (sent - before) / Math.max((Date.now() - start) / 1000, 0.001);
        progress.show("uploading", (100 * sent) / total, `${human(rate)}/s`, (total - sent) / rate);
      }
    } finally {
      await handle.close();
    }
  }
}

/* Reads messages until the job's last word, which it returns. */
async function follow(connection, jobId, outputs, progress, asJson) {
  for await (const message of connection.messages(SILENCE)) {
    if (message instanceof Uint8Array) {
      const length = new DataView(message.buffer).getUint32(0);
      const header = JSON.parse(Buffer.from(message.subarray(4, 4 + length)).toString());
      await outputs.write(header, message.subarray(4 + length));
      continue;
    }
    if (asJson) console.log(JSON.stringify(message));
    if (message.job_id !== jobId) continue;
    if (message.type === "progress" && message.stage !== "uploading") {
      const { stage, percent, speed, eta, position } = message;
      const rate = stage === "queued" && position ? `number ${position} in the queue`
        : speed ? `${speed.toFixed(1)}x` : "";
      progress.show(stage, percent, rate, eta);
    }
    if (message.type === "completed") progress.show("completed", 100);
    if (message.type === "completed" || message.final) return message;
  }
  throw new Lost("The server closed the connection before the job had ended");
}

/* Checks the outputs and tells what was made, or what went wrong; exit status. */
async function report(last, outputs, asJson) {
  if (last.type === "error") {
    console.error(sentence(last));
    return 1;
  }
  const saved = [];
  for (const output of last.outputs) saved.push([await outputs.check(output), output.size]);
  if (asJson) return 0;
  for (const note of last.notes ?? []) console.error(`note: ${note}`);
  if (last.result != null) console.log(JSON.stringify(last.result, null, 2));
  for (const [file, size] of saved) console.log(`${file}  ${human(size)}`);
  return 0;
}

async function describe(connection, names) {
  for (const operation of names.length ? names : [undefined]) {
    const answer = await connection.ask({ type: "describe", operation });
    for (const { name, summary, options } of answer.operations) {
      console.log(`${name}: ${summary}`);
      for (const [option, schema] of Object.entries(options.properties ?? {})) {
        console.log(`  --${option.padEnd(18)} ${schema.description ?? ""}`);
      }
    }
  }
  return 0;
}

/* Starts the job; its ack. The operation's schema says which type each option has. */
async function start(connection, { operation, files, urls, options }) {
  const described = await connection.ask({ type: "describe", operation });
  const schemas = described.operations[0].options.properties ?? {};
  const inputs = await Promise.all(files.map(async (file) => (
    { kind: "upload", name: path.basename(file), size: (await fs.stat(file)).size })));
  return connection.ask({
    type: "start_job", operation,
    inputs: [...inputs, ...urls.map((url) => ({ kind: "url", url }))],
    options: Object.fromEntries(Object.entries(options).map(
      ([name, text]) => [name, typed(text, schemas[name])])),
  });
}

/* Sends and reads at once until the job's last word, which it returns. */
async function transfer(connection, ack, files, outputs, progress, asJson) {
  const cancel = () =>
    connection.socket.send(JSON.stringify({ type: "cancel_job", job_id: ack.job_id }));
  process.once("SIGINT", cancel);
  try {
    const sender = upload(connection, ack, files, progress);
    const reader = follow(connection, ack.job_id, outputs, progress, asJson);
    return await Promise.race([reader, sender.then(() => reader)]); // either may fail first
  } finally {
    process.off("SIGINT", cancel);
    progress.close();
  }
}

/* All of it; after a lost connection it goes on from where both sides are. Exit status. */
async function run(request) {
  const { operation, files, ours } = request;
  const asJson = Boolean(ours.json);
  const progress = new Progress(asJson), outputs = new Outputs(ours.out);
  let jobId, deadline, connection;
  try {
    for (;;) {
      try {
        connection = await Connection.open(ours.server);
        await connection.ask({ type: "hello", token: ours.token, client: "examples/client.mjs" });
        if (operation === "describe") return await describe(connection, files);
        const ack = jobId
          ? await connection.ask({ type: "attach", job_id: jobId,
              outputs: [...outputs.received.values()] })
          : await start(connection, request);
        jobId = ack.job_id;
        deadline = undefined;
        const last = await transfer(connection, ack, files, outputs, progress, asJson);
        return await report(last, outputs, asJson);
      } catch (error) {
        if (!(error instanceof Lost) || !jobId || Date.now() > deadline) throw error;
        deadline ??= Date.now() + PATIENCE;
        console.error(`Connection lost, trying again: ${error.message}`);
        await sleep(1000);
      } finally {
        connection?.socket.close();
      }
    }
  } finally {
    await outputs.discard();
  }
}

try {
  process.exit(await run(parse(process.argv.slice(2)))); // though a lost connection is still closing
} catch (error) {
  console.error(error.message);
  process.exit(error instanceof Refused || error instanceof Lost || error.code ? 2 : 1);
}
