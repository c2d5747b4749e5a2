/**
 * `--detach`: a prepared pod is started by a process of its own, and this one waits until the pod runs, has ended, or could not be started. Where systemd runs it is a
 * transient unit (systemd-run(1)): the pod is supervised, accounted and logged like any service. Elsewhere it is a session of its own, and nobody supervises it.
 */

import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { PodFiles } from "../core/data-dir.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import type { PreparedPod } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { tryLock } from "../host/lock.ts";
import { linux } from "../host/mod.ts";
import {
  closePod,
  findPod,
  isAfterRun,
  isReady,
  lookAgain,
  type Pod,
  podExitStatus,
  podFileTime,
  podReader,
  readPodFile,
  recordedPid,
} from "../pod/mod.ts";
import { parseImageManifest } from "../spec/appc/mod.ts";
import { abandonPod } from "./abandon-pod.ts";

export interface Detached {
  /** The words of `rkt … run-prepared … UUID`, without the program. */
  readonly words: readonly string[];
  /** The words of `rkt … rm UUID`, for a pod that is removed at its end. */
  readonly removal: readonly string[] | undefined;
  readonly description: string;
}

/**
 * Starts the pod, which lies in pods/prepared; this process gives up its lock. 0 when it runs; the pod's own status when it has ended meanwhile. Throws STAGE1, with what rkt said, when it
 * could not be started: then nothing of it is left.
 */
export async function startDetached(engine: Engine, pod: PreparedPod, detached: Detached): Promise<number> {
  const files = new PodFiles(pod.dir);
  writeFileSync(files.console, "", { mode: 0o640 });
  if (detached.removal !== undefined) writeFileSync(files.removeAtEnd, "", { mode: 0o640 });
  const reader = podReader(engine.dataDir, linux);
  closeSync(pod.lockFd);
  const starter = systemdRuns() ? startUnit(pod, files, detached) : startSession(files, detached);
  let look: Pod | undefined = findPod(reader, pod.uuid);
  try {
    for (let pause = 5; look !== undefined; pause = Math.min(pause * 2, 100)) {
      if (runs(look)) return 0;
      if (isAfterRun(look.state)) return await ended(engine, look);
      const status = starter.failed();
      if (status !== undefined && look.state === "prepared") return await failed(engine, look, status);
      await Bun.sleep(pause);
      look = lookAgain(reader, look);
    }
  } finally {
    if (look !== undefined) closePod(linux, look);
  }
  // It has run, ended, and was removed at its end, all between two looks.
  return 0;
}

/** sd_booted(3), and the program to ask it with. */
function systemdRuns(): boolean {
  return existsSync("/run/systemd/system") && ["/usr/bin", "/bin"].some((dir) => existsSync(`${dir}/systemd-run`));
}

/** Not StandardOutput=append: the file moves with the pod, and what runs at the pod's end could not open it any more. */
const INTO_CONSOLE = 'console=$1; shift; exec "$@" >> "$console" 2>&1';

/** systemd puts variables in a service's words. */
function literal(word: string): string {
  return word.replaceAll("$", "$$$$");
}

/** Undefined while it may yet succeed; else what it ended with. */
interface Starter {
  failed(): string | undefined;
}

function startUnit(pod: PreparedPod, files: PodFiles, detached: Detached): Starter {
  const properties = [
    // The supervisor is asked to end, and ends the apps in order; what is left after it is killed.
    ...["KillMode=mixed", "Delegate=yes", "TimeoutStartSec=infinity", "StandardInput=null"],
    ...(detached.removal === undefined
      ? []
      : [`ExecStopPost=-${[process.execPath, ...detached.removal].map(unitWord).join(" ")}`]),
  ];
  const argv = [
    ...[
      "--quiet",
      "--collect",
      `--unit=rkt-${pod.uuid}`,
      "--slice=machine.slice",
      `--description=${detached.description}`,
    ],
    ...[`--service-type=${notifies(files) ? "notify" : "exec"}`, ...properties.map((one) => `--property=${one}`)],
    ...["--", "/bin/sh", "-c", INTO_CONSOLE, "rkt", files.console, process.execPath, ...detached.words].map(literal),
  ];
  const child = spawn("systemd-run", argv, { stdio: ["ignore", "ignore", "pipe"] });
  let told = "";
  let status: string | undefined;
  child.stderr.on("data", (chunk) => {
    told = `${told}${String(chunk)}`.slice(-2000);
  });
  child.once("error", (error) => {
    status = `systemd-run: ${error.message}`;
  });
  child.once("close", (code) => {
    if (code !== 0) status ??= told.trim() || `systemd-run ended with status ${code}`;
  });
  return { failed: () => status };
}

/** systemd-nspawn tells the service manager when the pod is ready; fly's app may, but only some do. */
function notifies(files: PodFiles): boolean {
  const { name } = parseImageManifest(readFileSync(files.stage1Manifest, "utf8"));
  return /\/stage1-(nspawn|host|coreos|src)$/.test(name);
}

/** A word of a unit's command line (systemd.service(5), "Command lines"). */
function unitWord(word: string): string {
  return `"${word.replace(/["\\]/g, "\\$&").replaceAll("%", "%%").replaceAll("$", "$$$$")}"`;
}

function startSession(files: PodFiles, detached: Detached): Starter {
  const console = openSync(files.console, "a");
  // A unit has ExecStopPost= for it.
  const words = detached.removal === undefined ? detached.words : detached.words.toSpliced(-1, 0, "--rm");
  // setsid(2): no terminal's hangup reaches the pod.
  const child = spawn(process.execPath, [...words], {
    stdio: ["ignore", console, console],
    detached: true,
    cwd: "/",
  });
  closeSync(console);
  let status: string | undefined;
  child.once("error", (error) => {
    status = error.message;
  });
  child.once("exit", (code, signal) => {
    status = signal === null ? `status ${code}` : signal;
  });
  child.unref();
  return { failed: () => status };
}

/** The stage1 has started the apps; of a stage1 that does not tell: rkt has become the pod's supervisor. */
function runs(pod: Pod): boolean {
  if (pod.state !== "running") return false;
  const marks = podFileTime(linux, pod, "stage1/rootfs/rkt/exit-policy") !== undefined;
  if (marks) return isReady(linux, pod);
  const pid = recordedPid(linux, pod);
  return pid !== undefined && !["", programOf("self")].includes(programOf(pid));
}

function programOf(pid: number | "self"): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return "";
  }
}

/** The pod's status; for one that never got to its apps, what rkt or the stage1 said. */
async function ended(engine: Engine, pod: Pod): Promise<number> {
  const status = podExitStatus(linux, pod);
  if (status !== undefined) return status;
  // fly without a record, unless rkt said why it did not become the app: how that ended only its parent knows.
  const isFly = podFileTime(linux, pod, "pgid") !== undefined;
  if (isFly && !consoleText(pod).includes("run-prepared: ")) return 0;
  return failed(engine, pod, "it ended before its apps were started");
}

async function failed(engine: Engine, pod: Pod, status: string): Promise<never> {
  const said = consoleText(pod).trim().split("\n").slice(-5).join("\n");
  tryLock(linux, pod.fd, "exclusive");
  await abandonPod(engine, { uuid: pod.uuid, dir: pod.dir, lockFd: pod.fd });
  throw new RktError("STAGE1", `Cannot start pod ${quoted(pod.uuid)} detached: ${said === "" ? status : said}`);
}

/** By its place in the open directory: the pod has moved since. */
function consoleText(pod: Pod): string {
  return readPodFile(linux, pod, "console", 64 << 20)?.text ?? "";
}
