/**
 * A request to a pod's systemd to start a command: `/rkt/enter/ID/` in the stage1's root, with the unit's name in `unit`, and a drop-in of that unit. SIGPWR starts
 * sigpwr.target (systemd(1), "Signals"), which starts enter.service, which starts what is requested: no message bus, no client, nothing resident. When the
 * command has ended, command-ended leaves its status in `status`.
 */

import { RktError } from "../../src/core/errors.ts";
import type { IdRange } from "../../src/core/id-range.ts";
import { openBeneath, readFileBeneath, replaceFileBeneath } from "../../src/host/beneath.ts";
import { AT_FDCWD, type Host, isErrno, O } from "../../src/host/mod.ts";
import { removeTree } from "../../src/host/remove-tree.ts";
import { makeDirectoryInRoot } from "../common/in-root.ts";
import { idsOfProcess } from "./pod-ids.ts";
import { environmentFile } from "./unit-text.ts";

/** A pod's init, and its root; descriptors. */
export interface PodInit {
  readonly pidfd: number;
  readonly root: number;
  /** The pod's users, where it has a user namespace: what is made in the pod belongs to its root. */
  readonly ids: IdRange | undefined;
}

export interface PodRequest extends PodInit {
  readonly host: Host;
  /** One word, of this request alone. */
  readonly id: string;
  /** What is started: an instance of a unit that has this id. */
  readonly unit: string;
}

export interface EnterRequest extends PodRequest {
  readonly app: string;
}

/** All stay those of this process, even when its number is given to another one. Throws WRONG_STATE when the pod has ended. */
export function openPod(host: Host, pid: number, what = "enter the pod"): PodInit {
  try {
    const pidfd = host.pidfdOpen(pid);
    const root = host.openat(AT_FDCWD, `/proc/${pid}/root`, O.PATH | O.DIRECTORY | O.CLOEXEC, 0);
    const ids = idsOfProcess(pid);
    host.pidfdSendSignal(pidfd, 0);
    return { pidfd, root, ids };
  } catch (error) {
    if (isErrno(error, "ESRCH", "ENOENT")) throw new RktError("WRONG_STATE", `Cannot ${what}: it has ended`);
    throw error;
  }
}

const UNITS = "etc/systemd/system";

export function makeRequest({ host, root, id }: PodRequest): void {
  host.close(makeDirectoryInRoot(host, root, `rkt/enter/${id}`, 0o700));
}

/** Opens a file of the request's directory, or makes it. No link is followed: a pod's root may have put one there. */
export function openRequestFile({ host, root, id }: PodRequest, name: string, flags: number): number {
  return openBeneath(host, pathOf(root), `rkt/enter/${id}/${name}`, flags);
}

/** Has the command started. `service`: lines of the [Service] section; `environment`: variables besides the app's. */
export function submitRequest(
  request: PodRequest,
  service: readonly string[],
  environment: ReadonlyMap<string, string>,
): void {
  const { host, root, id, unit } = request;
  host.close(makeDirectoryInRoot(host, root, `${UNITS}/${unit}.d`));
  const path = pathOf(root);
  const lines = ["[Service]", ...service, `EnvironmentFile=/rkt/enter/${id}/environment`];
  replaceFileBeneath(host, path, `rkt/enter/${id}/environment`, environmentFile(environment), 0o600);
  replaceFileBeneath(host, path, `${UNITS}/${unit}.d/command.conf`, `${lines.join("\n")}\n`, 0o644);
  startRequest(request);
}

/** Has the request's unit started. */
export function startRequest(request: PodRequest): void {
  const { host, root, id, unit } = request;
  replaceFileBeneath(host, pathOf(root), `rkt/enter/${id}/unit`, `${unit}\n`, 0o644);
  wake(request);
}

/** Waits for the command's status, 128+N for a death by signal N. Throws WRONG_STATE when the pod ends first, STAGE1 when it does not react. */
export async function requestStatus(request: PodRequest): Promise<number> {
  const AGAIN = 500;
  const GIVE_UP = 30_000;
  const asked = performance.now();
  for (let next = asked + AGAIN; ; ) {
    const status = read(request, "status");
    if (status !== undefined) return Number(status);
    const now = performance.now();
    if (now > next && read(request, "unit") !== undefined) {
      // A signal that comes while enter.service is ending starts nothing.
      if (now > asked + GIVE_UP) throw new RktError("STAGE1", "Cannot reach the pod: its init does not react");
      wake(request);
      next = now + AGAIN;
    }
    await Bun.sleep(5);
    if (hasEnded(request)) throw new RktError("WRONG_STATE", "Cannot wait for the pod's answer: the pod has ended");
  }
}

/** Leaves nothing in the pod. Errors do not matter: the pod may be gone, and its directory goes with it. */
export function removeRequest(request: PodRequest): void {
  const { host, root, id, unit } = request;
  for (const [directory, name] of [
    ["rkt/enter", id],
    [UNITS, `${unit}.d`],
  ] as const) {
    try {
      const parent = openBeneath(host, pathOf(root), directory, O.RDONLY | O.DIRECTORY);
      removeTree(host, parent, name);
      host.close(parent);
    } catch {
      // See above.
    }
  }
}

/** Makes a user and a group known to the pod's systemd, which refuses numbers that its own files lack (statuses 216 and 217). */
export function addIdentity(host: Host, root: number, { uid, gid }: { uid: number; gid: number }): void {
  addEntry(host, root, "etc/passwd", uid, `u${uid}:x:${uid}:${gid}::/:/bin/sh`);
  addEntry(host, root, "etc/group", gid, `g${gid}:x:${gid}:`);
}

/** In both files the number is the third field (passwd(5), group(5)). */
function addEntry(host: Host, root: number, path: string, id: number, line: string): void {
  const LARGEST = 1 << 20;
  const text = readFileBeneath(host, pathOf(root), path, LARGEST)?.toString("utf8") ?? "";
  if (text.split("\n").some((entry) => entry.split(":")[2] === String(id))) return;
  replaceFileBeneath(host, pathOf(root), path, `${text}${line}\n`, 0o644);
}

function wake({ host, pidfd }: PodRequest): void {
  const SIGPWR = 30;
  host.pidfdSendSignal(pidfd, SIGPWR);
}

function read({ host, root, id }: PodRequest, name: string): string | undefined {
  return readFileBeneath(host, pathOf(root), `rkt/enter/${id}/${name}`, 4096)?.toString("latin1").trim();
}

function hasEnded({ host, pidfd }: PodRequest): boolean {
  try {
    host.pidfdSendSignal(pidfd, 0);
    return false;
  } catch (error) {
    if (isErrno(error, "ESRCH")) return true;
    throw error;
  }
}

/** The directory behind a descriptor, as a path: it stays that directory. */
export function pathOf(fd: number): string {
  return `/proc/self/fd/${fd}`;
}
