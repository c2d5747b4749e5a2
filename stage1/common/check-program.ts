/** Why execve(2) would fail for a program of an image: its bare "No such file or directory" may mean the program, its interpreter or its loader. */

import { closeSync, readdirSync, readSync } from "node:fs";
import { quoted } from "../../src/core/text.ts";
import { type Host, O, S } from "../../src/host/mod.ts";
import { openInRoot, statInRoot } from "./in-root.ts";

export interface Obstacle {
  readonly text: string;
  readonly hint: string;
  readonly missing: boolean;
}

/** Undefined when nothing speaks against it. `root` is a descriptor of the app's root; `path` absolute in it. */
export function programObstacle(host: Host, root: number, path: string): Obstacle | undefined {
  const refused = fileObstacle(host, root, path);
  if (refused !== undefined) return refused;
  const file = readProgram(host, root, path);
  if (file === undefined) return undefined;
  try {
    const script = scriptInterpreter(file.head);
    if (script !== undefined) return interpreterObstacle(host, root, path, script, "a script");
    const elf = readElf(file);
    if (elf === undefined) return undefined;
    if (!NATIVE.includes(elf.machine) && !runsOthers()) {
      return {
        text: `${quoted(path)} is a program for another kind of machine (ELF machine ${elf.machine}), expected ${process.arch}`,
        hint: "use an image for this machine's architecture",
        missing: false,
      };
    }
    return elf.interpreter === undefined
      ? undefined
      : interpreterObstacle(host, root, path, elf.interpreter, "a program");
  } finally {
    closeSync(file.fd);
  }
}

function fileObstacle(host: Host, root: number, path: string): Obstacle | undefined {
  const status = statInRoot(host, root, path);
  const hint = "name a program of the image with --exec";
  if (status === undefined)
    return { text: `unable to open ${quoted(path)}: No such file or directory`, hint, missing: true };
  if ((status.mode & S.IFMT) !== S.IFREG) return { text: `${quoted(path)} is no regular file`, hint, missing: false };
  if ((status.mode & 0o111) !== 0) return undefined;
  const mode = (status.mode & 0o7777).toString(8).padStart(4, "0");
  return {
    text: `${quoted(path)} may not be executed by anybody (mode ${mode})`,
    hint: "make it executable in the image",
    missing: false,
  };
}

function interpreterObstacle(
  host: Host,
  root: number,
  path: string,
  interpreter: string,
  kind: string,
): Obstacle | undefined {
  if (!interpreter.startsWith("/") || statInRoot(host, root, interpreter) !== undefined) return undefined;
  return {
    text: `${quoted(path)} is ${kind} for ${quoted(interpreter)}: unable to open ${quoted(interpreter)}: No such file or directory`,
    hint: "the image lacks that interpreter; add it, or link the program statically",
    missing: true,
  };
}

interface ProgramFile {
  readonly fd: number;
  /** At most 4 KiB. */
  readonly head: Buffer;
}

function readProgram(host: Host, root: number, path: string): ProgramFile | undefined {
  // NONBLOCK: what was a regular file a moment ago must not hang the start.
  const fd = openInRoot(host, root, path, O.RDONLY | O.NONBLOCK | O.NOCTTY);
  const head = Buffer.alloc(4096);
  return { fd, head: head.subarray(0, readSync(fd, head, 0, head.length, 0)) };
}

/** The word after "#!" (execve(2), "Interpreter scripts"). */
function scriptInterpreter(head: Buffer): string | undefined {
  if (head.toString("latin1", 0, 2) !== "#!") return undefined;
  const [line = ""] = head.toString("utf8", 2, 257).split("\n");
  return line.trim().split(/[ \t]/)[0];
}

/** e_machine of programs that this processor runs: x86-64 and i386, AArch64 and ARM. */
const NATIVE = process.arch === "arm64" ? [183, 40] : [62, 3];

/** elf(5). Undefined for what is no ELF file of this byte order. */
function readElf({ fd, head }: ProgramFile): { machine: number; interpreter: string | undefined } | undefined {
  if (head.length < 64 || head.toString("latin1", 0, 4) !== "\x7fELF" || head[5] !== 1) return undefined;
  const wide = head[4] === 2;
  const machine = head.readUInt16LE(18);
  const table = wide ? Number(head.readBigUInt64LE(32)) : head.readUInt32LE(28);
  const size = head.readUInt16LE(wide ? 54 : 42);
  const count = head.readUInt16LE(wide ? 56 : 44);
  const PT_INTERP = 3;
  for (let index = 0; index < count; index += 1) {
    const at = table + index * size;
    if (at + 56 > head.length) break;
    if (head.readUInt32LE(at) !== PT_INTERP) continue;
    const offset = wide ? Number(head.readBigUInt64LE(at + 8)) : head.readUInt32LE(at + 4);
    const length = wide ? Number(head.readBigUInt64LE(at + 32)) : head.readUInt32LE(at + 16);
    const name = Buffer.alloc(Math.min(length, 4096));
    readSync(fd, name, 0, name.length, offset);
    return { machine, interpreter: name.toString("utf8").replace(/\0.*$/s, "") };
  }
  return { machine, interpreter: undefined };
}

/** An emulator is registered with the kernel (binfmt_misc). */
function runsOthers(): boolean {
  try {
    return readdirSync("/proc/sys/fs/binfmt_misc").some((name) => name !== "register" && name !== "status");
  } catch {
    return false;
  }
}
