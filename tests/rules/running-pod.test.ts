/**
 * What a running pod holds: the lock is its supervisor's alone, no program of rkt's stays resident, and when the supervisor ends the pod is over. Needs root.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { linux } from "../../src/host/linux.ts";
import { tryLock } from "../../src/host/lock.ts";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { descendantsOf, isAlive } from "../harness/processes.ts";
import { RKT, type RunningRkt, type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let image: string;

beforeAll(() => {
  rkt = testRkt();
  image = fetchedAci(rkt);
});
afterAll(() => rkt[Symbol.dispose]());

interface Pod {
  readonly running: RunningRkt;
  readonly uuid: string;
  readonly dir: string;
  /** Everything that rkt's process became or started. */
  members(): number[];
}

async function start(flags: readonly string[], apps: readonly string[]): Promise<Pod> {
  const uuidFile = join(rkt.dir, `uuid-${apps.join("-")}-${flags.length}`);
  const script = 'cat /proc/self/stat > /dev/null; echo "up $AC_APP_NAME"; sleep 300 & wait';
  const words = apps.flatMap((app, index) => [
    ...(index === 0 ? [] : ["---"]),
    ...[image, `--name=${app}`, "--exec=/bin/sh", "--", "-c", script],
  ]);
  const running = rkt.start(["--insecure-options=image", "run", ...flags, `--uuid-file-save=${uuidFile}`, ...words]);
  await until("every app's first line", () => apps.every((app) => running.stdout().includes(`up ${app}`)));
  const uuid = readFileSync(uuidFile, "utf8");
  const dir = join(rkt.dataDir, "pods/run", uuid);
  return { running, uuid, dir, members: () => [running.pid, ...descendantsOf(running.pid)] };
}

function attempt<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

const processes = () => readdirSync("/proc").map(Number).filter(Number.isInteger);

/** Processes of the whole machine that have the pod's directory itself open, and with a lock on it. */
function holders({ dir }: Pod): { open: number[]; locked: number[] } {
  const open = new Set<number>();
  const locked = new Set<number>();
  for (const pid of processes()) {
    for (const fd of attempt(() => readdirSync(`/proc/${pid}/fd`), [])) {
      if (attempt(() => readlinkSync(`/proc/${pid}/fd/${fd}`), "") !== dir) continue;
      open.add(pid);
      if (/^lock:.*FLOCK/m.test(attempt(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"), ""))) locked.add(pid);
    }
  }
  return { open: [...open], locked: [...locked] };
}

function lockIsFree({ dir }: Pod): boolean {
  const fd = openSync(dir, "r");
  try {
    return tryLock(linux, fd, "shared");
  } finally {
    closeSync(fd);
  }
}

/** Processes that run rkt's executable, or have it open or mapped. */
function usersOfExecutable(pids: readonly number[]): number[] {
  const { ino } = statSync(RKT);
  return pids.filter(
    (pid) =>
      attempt(() => statSync(`/proc/${pid}/exe`).ino, 0) === ino ||
      attempt(() => readFileSync(`/proc/${pid}/maps`, "utf8"), "").includes(RKT) ||
      attempt(() => readdirSync(`/proc/${pid}/fd`), []).some(
        (fd) => attempt(() => readlinkSync(`/proc/${pid}/fd/${fd}`), "") === RKT,
      ),
  );
}

const isGone = (pid: number) => !isAlive(pid);

describe("an nspawn pod of two apps, with a network", () => {
  let pod: Pod;
  beforeAll(async () => {
    pod = await start([], ["one", "two"]);
  });

  test("its supervisor alone has the lock, or the pod's directory at all", () => {
    expect(pod.members().length).toBeGreaterThan(4);
    expect(holders(pod)).toEqual({ open: [pod.running.pid], locked: [pod.running.pid] });
    expect(lockIsFree(pod)).toBe(false);
  });

  test("the supervisor is the process that rkt was", () => {
    expect(readFileSync(join(pod.dir, "ppid"), "utf8")).toBe(`${pod.running.pid}\n`);
    expect(readFileSync(`/proc/${pod.running.pid}/cmdline`, "utf8")).toContain("systemd-nspawn");
    // execve keeps the process and ends every other thread.
    expect(readdirSync(`/proc/${pod.running.pid}/task`)).toEqual([String(pod.running.pid)]);
  });

  test("no program of rkt's is left running, mapped or open, in the pod or beside it", () => {
    expect(usersOfExecutable(pod.members())).toEqual([]);
    const mine = processes().filter((pid) =>
      attempt(() => readFileSync(`/proc/${pid}/cmdline`, "utf8"), "").includes(rkt.dataDir),
    );
    expect(usersOfExecutable(mine)).toEqual([]);
  });

  test("apps have their stdio and nothing more", () => {
    const shells = pod
      .members()
      .filter((pid) => attempt(() => readFileSync(`/proc/${pid}/comm`, "utf8"), "") === "sh\n");
    expect(shells.length).toBe(2);
    for (const pid of shells) {
      const beyond = readdirSync(`/proc/${pid}/fd`).filter((fd) => Number(fd) > 2 && Number(fd) !== 10);
      expect(beyond).toEqual([]);
    }
  });

  test("when everything below the supervisor is killed, it ends by itself and the lock is free", async () => {
    const [, init] = pod.members();
    process.kill(init ?? -1, "SIGKILL");
    await pod.running.ended;
    expect(lockIsFree(pod)).toBe(true);
    expect(rkt.ok(["status", pod.uuid])).toContain("state=exited");
  });
});

describe("a fly pod", () => {
  test("rkt's process is the app, with the lock; what the app starts keeps the pod running after it, as it is part of the pod", async () => {
    const pod = await start(["--stage1-name=coreos.com/rkt/stage1-fly"], ["alone"]);
    const [app, child] = pod.members();
    expect(app).toBe(pod.running.pid);
    expect(usersOfExecutable(pod.members())).toEqual([]);
    expect(holders(pod).locked.sort()).toEqual([app ?? 0, child ?? 0].sort());
    process.kill(app ?? -1, "SIGKILL");
    await until("the app's end", () => isGone(app ?? -1));
    expect(rkt.ok(["status", pod.uuid])).toContain("state=running");
    process.kill(child ?? -1, "SIGKILL");
    await until("the last process's end", () => isGone(child ?? -1));
    expect(lockIsFree(pod)).toBe(true);
    expect(rkt.ok(["status", pod.uuid])).toContain("state=exited");
    await pod.running.ended;
  });
});

describe("an interactive pod whose input is a pipe", () => {
  test("what feeds it holds no lock, and no program of rkt's is left", async () => {
    const pod = await start(["--interactive", "--net=none"], ["talker"]);
    expect(holders(pod).locked).toEqual([pod.running.pid]);
    expect(usersOfExecutable(processes().filter((pid) => pid !== process.pid))).toEqual([]);
    rkt.ok(["stop", "--force", pod.uuid]);
    await pod.running.ended;
  });
});
