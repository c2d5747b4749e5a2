/**
 * enter: a command in the context of a running app. rkt resolves user and program as for an nspawn pod, on the files that it shares with the guest, and leaves the rest to the agent in the guest
 * (guest/session.c), over a port of the machine's own: the guest's systemd starts the command with the app's rights.
 */

import { existsSync } from "node:fs";
import type { Socket } from "node:net";
import { RktError } from "../../src/core/errors.ts";
import { printable } from "../../src/core/text.ts";
import { openBeneath } from "../../src/host/beneath.ts";
import { AT_FDCWD, type Host, isErrno, O } from "../../src/host/mod.ts";
import { COMMAND_NOT_FOUND } from "../common/find-binary.ts";
import type { Entrypoint } from "../common/io.ts";
import { stty } from "../common/stty.ts";
import { commandOf, NOT_EXECUTED, parse } from "../nspawn/enter.ts";
import { pathOf } from "../nspawn/enter-request.ts";
import { onTerminal } from "../nspawn/input.ts";
import { environmentFile } from "../nspawn/unit-text.ts";
import { frame, frameReader } from "./frames.ts";

export const enter: Entrypoint = async (argv, { host, env }) => {
  const { pid, app, user, command } = parse(argv);
  // The supervisor's working directory is the pod's, in the mount namespace where the pod's files are mounted.
  const podDir = host.openat(AT_FDCWD, `/proc/${pid}/cwd`, O.PATH | O.DIRECTORY | O.CLOEXEC, 0);
  await handedOver(host, podDir, pid);
  const root = host.openat(podDir, "stage1/rootfs", O.PATH | O.DIRECTORY | O.CLOEXEC | O.NOFOLLOW, 0);
  const { service, environment, identity } = commandOf(host, { root, ids: undefined }, app, user, command);
  const id = `enter-${process.pid}`;
  const terminal = onTerminal();
  if (terminal && env["TERM"] !== undefined) environment.set("TERM", env["TERM"]);
  const socket = await connect(host, podDir);
  for (const fd of [root, podDir]) host.close(fd);
  const send = (letter: string, data: string | Uint8Array = "") => void socket.write(frame(letter, data));
  const begin = () => {
    send("N", `${app} ${id}`);
    if (identity !== undefined) send("U", `${identity.uid} ${identity.gid}`);
    send("S", ["[Service]", ...service, `EnvironmentFile=/run/rkt/${id}/environment`, ""].join("\n"));
    send("V", environmentFile(environment));
    if (terminal) send("T", windowSize());
    send("G");
  };
  const status = await relay(socket, terminal, send, { id, begin });
  return status === NOT_EXECUTED ? COMMAND_NOT_FOUND : status;
};

/** Until everything is there that a session needs: the last file that `run` writes says so. A pod counts as running from the first. Throws WRONG_STATE when it ends before. */
async function handedOver(host: Host, podDir: number, pid: number): Promise<void> {
  for (;;) {
    try {
      host.close(openBeneath(host, pathOf(podDir), "isolation", O.PATH));
      return;
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
    if (!existsSync(`/proc/${pid}`)) throw new RktError("WRONG_STATE", "Cannot enter the pod: it has ended");
    await Bun.sleep(20);
  }
}

/** Ports are few (run.ts), and each serves one at a time. */
const PORTS = 8;

/** A connection to a port that nobody uses: its lock is held until this process ends. The pod's directory is given by descriptor; nothing in it is followed. Throws WRONG_STATE. */
async function connect(host: Host, podDir: number): Promise<Socket> {
  const { createConnection } = await import("node:net");
  const { tryLock } = await import("../../src/host/lock.ts");
  for (const deadline = performance.now() + 60_000; ; await Bun.sleep(100)) {
    for (let port = 0; port < PORTS; port += 1) {
      const lock = openBeneath(host, pathOf(podDir), `kvm/session-${port}.lock`, O.RDWR | O.CREAT, 0o600);
      if (!tryLock(host, lock, "exclusive")) {
        host.close(lock);
        continue;
      }
      const place = openBeneath(host, pathOf(podDir), `kvm/session-${port}.sock`, O.PATH);
      try {
        return await new Promise<Socket>((done, fail) => {
          const socket = createConnection({ path: pathOf(place), allowHalfOpen: true });
          socket.once("connect", () => done(socket));
          socket.once("error", fail);
        });
      } catch (cause) {
        throw new RktError("WRONG_STATE", "Cannot enter the pod: its machine has ended", { cause });
      } finally {
        host.close(place);
      }
    }
    if (performance.now() > deadline)
      throw new RktError(
        "CONFLICT",
        `Cannot enter the pod: ${PORTS} commands run in it already, and none has ended within a minute`,
      );
  }
}

type Send = (letter: string, data?: string | Uint8Array) => void;

/** Milliseconds between two greetings. */
const GREETING = 100;

/**
 * Until the command has ended: its status. Throws STAGE1 with what the guest says, WRONG_STATE when the pod ends first. While the guest tidies up after the session before it throws away what comes, so
 * it is greeted until it answers; only then `begin` says what is to run.
 */
async function relay(
  socket: Socket,
  terminal: boolean,
  send: Send,
  { id, begin }: { readonly id: string; readonly begin: () => void },
): Promise<number> {
  const settings = terminal ? stty(["-g"]).trim() : "";
  if (terminal) stty(["raw", "-echo"]);
  const resize = () => send("W", windowSize());
  const greet = () => send("H", id);
  const greeting = setInterval(greet, GREETING);
  let isGreeted = false;
  const answered = () => {
    isGreeted = true;
    clearInterval(greeting);
    begin();
    if (terminal) process.on("SIGWINCH", resize);
    process.stdin.on("data", (chunk: Buffer) => {
      for (let at = 0; at < chunk.length; at += 16384) send("I", chunk.subarray(at, at + 16384));
      // What the command does not take now is not read now.
      if (socket.writableLength > 1 << 20) {
        process.stdin.pause();
        socket.once("drain", () => process.stdin.resume());
      }
    });
    process.stdin.once("end", () => send("I"));
  };
  greet();
  try {
    return await new Promise<number>((done, fail) => {
      const take = frameReader((letter, data) => {
        // Anything else is still the session's before.
        if (!isGreeted) {
          if (letter === "H" && data.toString("latin1") === id) answered();
        } else if (letter === "O") write(process.stdout, data, socket);
        else if (letter === "R") write(process.stderr, data, socket);
        else if (letter === "X") done(exitStatus(data.toString("latin1")));
        else if (letter === "F") fail(new RktError("STAGE1", printable(data.toString("utf8").slice(0, 300))));
      });
      const over = () => fail(new RktError("WRONG_STATE", "Cannot wait for the pod's answer: the pod has ended"));
      socket.on("data", take);
      socket.once("end", over);
      socket.once("error", over);
    });
  } finally {
    clearInterval(greeting);
    process.stdin.pause();
    process.stdin.removeAllListeners();
    process.off("SIGWINCH", resize);
    socket.destroy();
    if (terminal) stty([settings]);
  }
}

/** As the guest tells it, which may be an attacker's: anything but a status is the status of what went wrong. */
export function exitStatus(text: string): number {
  return /^[0-9]{1,3}$/.test(text) && Number(text) <= 255 ? Number(text) : 254;
}

/** Who reads rkt slowly slows the command down, not rkt's memory up. */
function write(stream: NodeJS.WriteStream, data: Buffer, socket: Socket): void {
  if (stream.write(data)) return;
  socket.pause();
  stream.once("drain", () => socket.resume());
}

/** "ROWS COLUMNS". */
function windowSize(): string {
  return stty(["size"]).trim();
}
