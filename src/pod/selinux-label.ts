/**
 * The SELinux label of a pod: the policy's contexts for containers (lxc_contexts), with two categories that no other pod of the data directory has (sVirt). The policy
 * lets a process reach only files whose categories it has as well. Recorded in the pod's directory (`selinux`), so that it is free again when the directory is gone.
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DataDir, POD_STATE_DIRS, PodFiles } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import { randomBelow } from "../core/random-below.ts";
import { quoted } from "../core/text.ts";
import { AT_FDCWD, O } from "../host/constants.ts";
import { directoryNames } from "../host/directory-names.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { lockWithBackoff } from "../host/lock.ts";
import { readPolicyFile } from "../host/selinux.ts";
import { isContext, levelOf, type PodLabel } from "../stage1-contract/selinux.ts";
import type { Pod } from "./find.ts";
import { readPodFile } from "./read.ts";

/** Policies for containers have c0 to c1023. */
const CATEGORIES = 1024;

/**
 * The label that is recorded in `podDir`; where there is none, it is chosen and recorded, under a lock of the data directory, so that no two pods have the same
 * one. Throws NOT_FOUND or INVALID_INPUT for a policy without contexts for containers.
 */
export async function takePodLabel(
  dataDir: DataDir,
  host: Host,
  podDir: string,
  policy: () => string = () => readPolicyFile("contexts/lxc_contexts"),
): Promise<PodLabel> {
  const before = readPodLabel(podDir);
  if (before !== undefined) return before;
  const contexts = parseLxcContexts(policy());
  mkdirSync(dataDir.locks, { recursive: true, mode: 0o750 });
  const lock = host.openat(AT_FDCWD, dataDir.selinuxLock, O.RDWR | O.CREAT | O.NOFOLLOW | O.CLOEXEC, 0o640);
  try {
    await lockWithBackoff(host, lock, "exclusive", { what: "the choice of a pod's SELinux label" });
    const categories = chooseCategories(usedCategories(dataDir));
    const label = {
      process: withCategories(contexts.process, categories),
      file: withCategories(contexts.file, categories),
    };
    const text = `process=${label.process}\nfile=${label.file}\n`;
    writeFileSync(new PodFiles(podDir).selinux, text, { mode: 0o640, flag: "wx" });
    return label;
  } finally {
    host.close(lock);
  }
}

/** The policy's context for files that all pods read and none writes (`ro_file`); else that of a pod's files, without categories. */
export function sharedLayerContext(lxcContexts: string): string {
  const own = /^\s*ro_file\s*=\s*"([^"]*)"\s*$/m.exec(lxcContexts)?.[1] ?? "";
  return isContext(own) ? own : sharedContext(parseLxcContexts(lxcContexts).file);
}

/** Without categories: every pod may use it. */
export function sharedContext(context: string): string {
  const [user, role, type, sensitivity = "s0"] = context.split(":");
  return [user, role, type, sensitivity.split("-")[0]].join(":");
}

/** Undefined for a pod without a label. Throws INVALID_INPUT for a damaged record. */
export function readPodLabel(podDir: string): PodLabel | undefined {
  const path = new PodFiles(podDir).selinux;
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  const label = parseLabel(text);
  if (label !== undefined) return label;
  throw new RktError("INVALID_INPUT", `Cannot read the pod's SELinux label: ${quoted(path)} is damaged`);
}

/** For whoever shows it. Undefined where there is none, or none that can be read. */
export function podLabel(host: Host, pod: Pod): PodLabel | undefined {
  return parseLabel(readPodFile(host, pod, "selinux", 4096)?.text ?? "");
}

function parseLabel(text: string): PodLabel | undefined {
  const [, process = "", file = ""] = /^process=(.*)\nfile=(.*)\n$/.exec(text) ?? [];
  return isContext(process) && isContext(file) ? { process, file } : undefined;
}

/** `process` and `file` of lxc_contexts (the policy's, as libvirt and Docker read it): `NAME = "CONTEXT"`. Throws INVALID_INPUT. */
export function parseLxcContexts(text: string): PodLabel {
  const value = (name: string) => {
    const context = new RegExp(`^\\s*${name}\\s*=\\s*"([^"]*)"\\s*$`, "m").exec(text)?.[1] ?? "";
    if (isContext(context)) return context;
    throw new RktError(
      "INVALID_INPUT",
      `Cannot label the pod: the policy's lxc_contexts has ${context === "" ? "nothing" : quoted(context)} for ${quoted(name)}, expected USER:ROLE:TYPE:LEVEL`,
      { hint: "install the host's SELinux policy for containers" },
    );
  };
  return { process: value("process"), file: value("file") };
}

/** "c12,c700": the smaller first, and never twice the same, which would be one category. `random`: a number below its argument. Throws CONFLICT. */
export function chooseCategories(used: ReadonlySet<string>, random: (below: number) => number = randomBelow): string {
  const pairs = (CATEGORIES * (CATEGORIES - 1)) / 2;
  const start = random(pairs);
  for (let step = 0; step < pairs; step += 1) {
    const pair = pairNumber((start + step) % pairs);
    if (!used.has(pair)) return pair;
  }
  throw new RktError("CONFLICT", "Cannot label the pod: all pairs of SELinux categories are in use", {
    hint: "remove ended pods with `rkt gc`",
  });
}

/** Pairs in order of the larger: (0,1), (0,2), (1,2), (0,3), … */
function pairNumber(number: number): string {
  let larger = Math.floor((1 + Math.sqrt(1 + 8 * number)) / 2);
  // Roots are rounded.
  while ((larger * (larger - 1)) / 2 > number) larger -= 1;
  while (((larger + 1) * larger) / 2 <= number) larger += 1;
  return `c${number - (larger * (larger - 1)) / 2},c${larger}`;
}

/** The context with its own sensitivity and these categories in place of its own. */
function withCategories(context: string, categories: string): string {
  const [user, role, type] = context.split(":");
  const sensitivity = /^s[0-9]+/.exec(levelOf(context))?.[0] ?? "s0";
  return [user, role, type, sensitivity, categories].join(":");
}

/** Of all pods, ended ones too: their files still have the label. */
function usedCategories(dataDir: DataDir): Set<string> {
  const used = new Set<string>();
  for (const state of POD_STATE_DIRS) {
    const directory = dataDir.podsIn(state);
    for (const uuid of directoryNames(directory, "ENOTDIR")) {
      try {
        const label = readPodLabel(join(directory, uuid));
        if (label !== undefined) used.add(levelOf(label.process).split(":")[1] ?? "");
      } catch {
        // Damaged: nobody can use it any more.
      }
    }
  }
  return used;
}
