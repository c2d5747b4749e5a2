/**
 * Lines of a pod's journal. Its files were written by the pod, whose root may have put anything there: they are read by journalctl without any right but to read them (nobody, no
 * capabilities, no network, no processes, no files but the journal and its own program's), and what that prints is decoded here like anything from outside.
 */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import { childrenOf } from "../host/child-processes.ts";
import { O, RESOLVE, SIGNAL } from "../host/constants.ts";
import { isErrno } from "../host/errno.ts";
import { linux } from "../host/mod.ts";
import type { Pod } from "../pod/mod.ts";
import { podStage1 } from "../stage0/call-stage1.ts";
import type { LogLine } from "./log-line.ts";

/** Opens the directory of the pod's journal; undefined when the pod keeps none. The caller closes it. */
export function openJournal(pod: Pod, stage1TreeId: string): number | undefined {
  const journal = `var/log/journal/${pod.uuid.replaceAll("-", "")}`;
  // Mounted, or, after a reboot, in the upper directory of the overlay. No link on the way: the pod's root could lead it out of the pod.
  for (const root of ["stage1/rootfs", `overlay/${stage1TreeId}/upper`]) {
    try {
      const strict = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS | RESOLVE.NO_MAGICLINKS;
      return linux.openat2(pod.fd, `${root}/${journal}`, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0, strict);
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EXDEV")) throw error;
    }
  }
  return undefined;
}

export interface JournalQuery {
  readonly apps: readonly string[];
  readonly follow: boolean;
  /** The last so many; undefined: all. */
  readonly tail: number | undefined;
  /** Seconds since the epoch. */
  readonly since: number | undefined;
  readonly until: number | undefined;
}

/** `$1`: the root in which journalctl lies; 3: the journal's directory. Both programs and journal are seen through mounts of this process's own. */
const READ = `
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind /proc/self/fd/3 "$root/tmp"
exec 3<&-
group=$(stat -c %g "$root/tmp"/*.journal 2> /dev/null | head -n 1)
exec setpriv --no-new-privs chroot --userspec=65534:65534 --groups="\${group:-65534}" "$root" /usr/bin/journalctl --directory=/tmp "$@"`;

/**
 * Reads the journal open at `journal` and gives each line to `onLine`. Ends with the journal; with `follow`, when `stop` says so, and what was written until then has been read.
 * Throws HOST_PROGRAM when journalctl fails.
 */
export async function readJournal(
  engine: Engine,
  pod: Pod,
  journal: number,
  query: JournalQuery,
  onLine: (line: LogLine) => void,
  stop: Promise<void>,
): Promise<void> {
  const read = { root: programRoot(engine, pod), pod, journal };
  const seconds = (flag: string, at: number | undefined) => (at === undefined ? [] : [`--${flag}=@${at.toFixed(6)}`]);
  const until = seconds("until", query.until);
  const units = query.apps.flatMap((app) => [
    "+",
    `_SYSTEMD_UNIT=${app}.service`,
    "+",
    `_SYSTEMD_UNIT=output@${app}.service`,
  ]);
  const matches = units.slice(1);
  const lines = query.tail === undefined ? [] : [`--lines=${query.tail}`];
  const words = [...lines, ...seconds("since", query.since), ...until, ...matches];
  if (!query.follow) return void (await journalctl(read, words, onLine));
  const all = query.tail === undefined ? ["--no-tail"] : [];
  const last = await journalctl(read, ["--follow", ...all, ...words], onLine, stop);
  // journald announces what it has written only some time later: the last lines, if the pod ended at once.
  await journalctl(read, last === undefined ? words : [`--after-cursor=${last}`, ...until, ...matches], onLine);
}

interface JournalRead {
  readonly root: string;
  readonly pod: Pod;
  readonly journal: number;
}

/** The cursor of the last entry; undefined when there was none. */
async function journalctl(
  { root, pod, journal }: JournalRead,
  words: readonly string[],
  onLine: (line: LogLine) => void,
  stop?: Promise<void>,
): Promise<string | undefined> {
  const argv = [
    ...["--mount", "--propagation=private", "--net", "--ipc", "--pid", "--fork", "--kill-child=KILL"],
    ...["sh", "-euc", READ, "read", root, "--output=json", "--all", "--quiet", "--no-pager", ...words],
  ];
  const child = spawn("unshare", argv, {
    stdio: ["ignore", "pipe", "pipe", journal],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8" },
  });
  if (child.stdout === null || child.stderr === null) return undefined;
  let said = "";
  child.stderr.on("data", (chunk) => {
    said = `${said}${String(chunk)}`.slice(-1000);
  });
  let stopped = false;
  void stop?.then(() => {
    stopped = true;
    killChildren(child.pid);
  });
  const status = new Promise<number | null>((done, fail) => {
    child.once("error", fail);
    child.once("close", done);
  });
  let rest = Buffer.alloc(0);
  let cursor: string | undefined;
  for await (const chunk of child.stdout) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = decodeEntry(rest.toString("utf8", 0, end));
      rest = rest.subarray(end + 1);
      if (line === undefined) continue;
      cursor = line.cursor ?? cursor;
      onLine(line);
    }
  }
  if ((await status) === 0 || stopped) return cursor;
  throw new RktError(
    "HOST_PROGRAM",
    `Cannot read the journal of pod ${pod.uuid}: ${said.trim() || "journalctl failed"}`,
  );
}

/** unshare(1) is deaf to TERM while it waits, and its child, having changed its user, no longer dies with it: so that child is killed, and unshare ends. */
function killChildren(pid: number | undefined): void {
  if (pid === undefined) return;
  for (const child of childrenOf(pid)) linux.kill(child, SIGNAL.KILL);
}

/** The stage1 that wrote the journal brings the journalctl that understands it; one that ran the host's systemd is read by the host's. From the tree, which only root writes. */
function programRoot(engine: Engine, pod: Pod): string {
  const root = podStage1(engine, pod.dir).rootfs;
  if (existsSync(join(root, "usr/bin/journalctl"))) return root;
  if (existsSync("/usr/bin/journalctl")) return "/";
  throw new RktError(
    "HOST_PROGRAM",
    `Cannot read the journal of pod ${pod.uuid}: neither its stage1 nor this host has journalctl`,
  );
}

/** One entry in journalctl's JSON form (journalctl(1), "json"); undefined for what is none. A text that is not UTF-8, or has control characters, comes as a list of bytes. */
export function decodeEntry(text: string): (LogLine & { readonly cursor?: string }) | undefined {
  let entry: unknown;
  try {
    entry = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof entry !== "object" || entry === null) return undefined;
  const fields = entry as Readonly<Record<string, unknown>>;
  const unit = bytesOf(fields["_SYSTEMD_UNIT"])?.toString("utf8") ?? "";
  const app = /^(?:output@)?([a-z0-9-]+)\.service$/.exec(unit)?.[1];
  const time = Number(fields["__REALTIME_TIMESTAMP"]);
  const cursor = fields["__CURSOR"];
  return {
    app,
    time: Number.isSafeInteger(time) ? BigInt(time) * 1000n : undefined,
    message: bytesOf(fields["MESSAGE"]) ?? Buffer.alloc(0),
    ...(typeof cursor === "string" && /^[0-9a-z=;]{1,300}$/.test(cursor) ? { cursor } : {}),
  };
}

function bytesOf(value: unknown): Buffer | undefined {
  if (typeof value === "string") return Buffer.from(value, "utf8");
  if (!Array.isArray(value)) return undefined;
  const isBytes = value.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255);
  // A field that an entry has several times is a list of its values.
  return isBytes ? Buffer.from(value as number[]) : bytesOf(value[0]);
}
