/**
 * attach: joins the caller's terminal, or its standard streams, to those of an app (iomux.ts). The sockets are the pod's: they are opened by descriptor inside the
 * pod's root, without following a link, so that nothing in the pod leads rkt to a socket of the host.
 */

import type { Socket } from "node:net";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { openBeneath, readFileBeneath } from "../../src/host/beneath.ts";
import { type Host, isErrno, O } from "../../src/host/mod.ts";
import { isAcName } from "../../src/spec/appc/mod.ts";
import { STAGE1_ENV } from "../../src/stage1-contract/mod.ts";
import { openInRoot } from "../common/in-root.ts";
import type { Entrypoint } from "../common/io.ts";
import { STREAMS } from "../common/stdio.ts";
import { stty } from "../common/stty.ts";
import { openPod, type PodInit, pathOf } from "./enter-request.ts";

/** What a person types to leave the app alone: Ctrl-] three times, as with systemd-nspawn. */
const LEAVE = "\x1d\x1d\x1d";

export const attach: Entrypoint = async (argv, { host, env }) => {
  const flag = (name: string) => argv.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3) ?? "";
  const app = flag("app");
  if (!isAcName(app)) throw new RktError("USAGE", `Cannot attach: ${quoted(app)} is no app name`);
  const pod = openPod(host, Number(env[STAGE1_ENV.enterPid] ?? ""), "attach to the pod");
  const text = readFileBeneath(host, pathOf(pod.root), `rkt/iottymux/${app}/endpoints`, 65536)?.toString("utf8");
  const available = text === undefined ? [] : targets(text);
  const action = flag("action");
  if (action === "list") {
    if (text === undefined) throw notAttachable(app);
    await write(1, text);
    return 0;
  }
  const wanted = action === "auto-attach" ? available : chosen((name) => flag(name) === "true");
  if (wanted.length === 0) throw notAttachable(app);
  const missing = wanted.find((name) => !available.includes(name));
  if (missing !== undefined)
    throw new RktError("WRONG_STATE", `Cannot attach to the ${missing} of app ${quoted(app)}: it is not attachable`, {
      hint:
        available.length === 0
          ? "add the app with --stdin=stream, --stdout=stream, or tty"
          : `it has ${available.join(", ")}`,
    });
  return wanted.includes("tty") ? attachTerminal(host, pod, app, flag) : attachStreams(host, pod, app, wanted);
};

function notAttachable(app: string): RktError {
  return new RktError(
    "WRONG_STATE",
    `Cannot attach to app ${quoted(app)}: none of its streams is attachable, or it is not running`,
    {
      hint: "give it --stdin=stream, --stdout=stream, --stderr=stream, or tty",
    },
  );
}

function chosen(given: (name: string) => boolean): string[] {
  if (given("tty-in") || given("tty-out")) return ["tty"];
  return STREAMS.filter(given);
}

/** The pod wrote it: names that are not ours count as none. */
function targets(text: string): string[] {
  return ["stdin", "stdout", "stderr", "tty"].filter((name) => text.includes(`"name": "${name}"`));
}

async function attachStreams(host: Host, pod: PodInit, app: string, names: readonly string[]): Promise<number> {
  const sockets = await Promise.all(names.map(async (name) => [name, await connect(host, pod, app, name)] as const));
  const ends: Promise<void>[] = [];
  for (const [name, socket] of sockets) {
    if (name === "stdin") sendInput(socket);
    else socket.on("data", (chunk) => void write(name === "stdout" ? 1 : 2, chunk));
    // Input alone: over when all of it has been taken; else when the app's last output has come.
    ends.push(over(socket));
  }
  const outputs = ends.filter((_, index) => names[index] !== "stdin");
  await Promise.all(outputs.length > 0 ? outputs : ends);
  for (const [, socket] of sockets) socket.destroy();
  process.stdin.destroy();
  return 0;
}

/** The app's side is at its end. */
function over(socket: Socket): Promise<void> {
  return new Promise((done) => {
    socket.once("end", () => done());
    socket.once("close", () => done());
  });
}

function sendInput(socket: Socket): void {
  process.stdin.on("data", (chunk) => {
    if (!socket.write(chunk)) {
      process.stdin.pause();
      socket.once("drain", () => process.stdin.resume());
    }
  });
  process.stdin.once("end", () => socket.end());
}

async function attachTerminal(host: Host, pod: PodInit, app: string, flag: (name: string) => string): Promise<number> {
  const both = flag("tty-in") !== "true" && flag("tty-out") !== "true";
  const [input, output] = [both || flag("tty-in") === "true", both || flag("tty-out") === "true"];
  const socket = await connect(host, pod, app, "tty");
  const tty = process.getBuiltinModule("node:tty");
  const terminal = input && tty.isatty(0);
  const settings = terminal ? stty(["-g"]).trim() : "";
  const resize = terminal ? windowSize(host, pod, app) : () => undefined;
  if (terminal) stty(["raw", "-echo"]);
  resize();
  process.on("SIGWINCH", resize);
  try {
    if (output) socket.on("data", (chunk) => void write(1, chunk));
    if (input) forwardKeys(socket, terminal);
    await over(socket);
    return 0;
  } finally {
    process.off("SIGWINCH", resize);
    process.stdin.destroy();
    if (terminal) stty([settings]);
  }
}

/** Keys reach the app as they are typed; {@link LEAVE} ends the connection instead. */
function forwardKeys(socket: Socket, terminal: boolean): void {
  let typed = "";
  process.stdin.on("data", (chunk: Buffer) => {
    typed = (typed + chunk.toString("latin1")).slice(-LEAVE.length);
    if (terminal && typed === LEAVE) socket.destroy();
    else socket.write(chunk);
  });
  // Without a terminal the end of the input is the end of what this client has to say; the app's answer still comes.
  process.stdin.once("end", () => undefined);
}

/** Gives the app's terminal the size of this one's window. Its file is the pod's: it must be a terminal of the app's own file system of terminals. */
function windowSize(host: Host, pod: PodInit, app: string): () => void {
  const DEVPTS_MAGIC = 0x1cd1;
  const number = /^\/opt\/stage2\/[a-z0-9-]+\/rootfs\/dev\/pts\/(\d{1,6})$/.exec(terminalLink(host, pod, app))?.[1];
  if (number === undefined) return () => undefined;
  const devices = openInRoot(host, pod.root, `opt/stage2/${app}/rootfs/dev/pts`, O.PATH | O.DIRECTORY);
  if (host.fileSystemType(pathOf(devices)) !== DEVPTS_MAGIC) return () => undefined;
  const slave = openBeneath(host, pathOf(devices), number, O.RDWR);
  return () => host.copyWindowSize(0, slave);
}

function terminalLink(host: Host, pod: PodInit, app: string): string {
  const directory = openBeneath(host, pathOf(pod.root), `rkt/iottymux/${app}`, O.PATH | O.DIRECTORY);
  try {
    return host.readlinkat(directory, "stage2-pts").toString("utf8");
  } finally {
    host.close(directory);
  }
}

/** rkt 1.x waits so long for a client's connection. Milliseconds. */
const PATIENCE = 15_000;

/** iomux makes its sockets when the app starts. */
async function connect(host: Host, pod: PodInit, app: string, name: string): Promise<Socket> {
  const { createConnection } = await import("node:net");
  for (const deadline = performance.now() + PATIENCE; ; await Bun.sleep(50)) {
    try {
      const fd = openBeneath(host, pathOf(pod.root), `rkt/iottymux/${app}/sock-${name}`, O.PATH);
      return await new Promise<Socket>((done, fail) => {
        const socket = createConnection({ path: pathOf(fd), allowHalfOpen: true });
        socket.once("connect", () => done(socket));
        socket.once("error", fail);
      }).finally(() => host.close(fd));
    } catch (error) {
      const retry =
        isErrno(error, "ENOENT", "ENOTDIR") ||
        (error instanceof Error && "code" in error && error.code === "ECONNREFUSED");
      if (retry && performance.now() < deadline) continue;
      throw retry
        ? new RktError("WRONG_STATE", `Cannot attach to the ${name} of app ${quoted(app)}: it is not running`, {
            cause: error,
          })
        : error;
    }
  }
}

async function write(fd: 1 | 2, data: string | Uint8Array): Promise<void> {
  const stream = fd === 1 ? process.stdout : process.stderr;
  await new Promise<void>((done) => stream.write(data, () => done()));
}
