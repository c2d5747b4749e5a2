/** What stays in memory, besides the app itself, for as long as a container runs. */

import { censusScope } from "../tests/harness/leaks.ts";
import { PLAIN_ENVIRONMENT, run } from "./measure.ts";
import { type ResidentProcess, residentIn, residentProcess } from "./memory.ts";
import type { Workspace } from "./workspace.ts";

export interface Resident {
  readonly name: string;
  readonly processes: readonly ResidentProcess[];
  readonly absent?: string;
}

const SLEEP = "/bin/sleep";

export async function measureResident(space: Workspace): Promise<Resident[]> {
  const app = [`oci:${space.layout}:latest`, `--exec=${SLEEP}`, "--", "1000"];
  const found = [
    await during("rkt run, nspawn", space.rkt(["run", ...app])),
    await during("rkt run, fly", space.rkt(["run", "--stage1-name=coreos.com/rkt/stage1-fly", ...app])),
  ];
  run(space.rkt(["gc", "--grace-period=0s"]));
  return [...found, residentOfPodman(space)];
}

/** podman moves what stays into a cgroup of its own choice; it knows the process. */
function residentOfPodman(space: Workspace): Resident {
  const name = "podman run --detach";
  try {
    const id =
      run(space.podman(["images", "--quiet"]))
        .trim()
        .split("\n")[0] ?? "";
    const limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"];
    // With runc, which accepts hybrid cgroups.
    const command = ["--runtime=runc", "run", "--detach", "--net=host", ...limits, id, SLEEP, "1000"];
    const container = run(space.podman(command)).trim();
    const monitor = Number(run(space.podman(["inspect", "--format={{.State.ConmonPid}}", container])));
    const processes = [residentProcess(monitor)];
    run(space.podman(["rm", "--force", "--time=0", container]));
    return { name, processes };
  } catch (error) {
    return { name, processes: [], absent: error instanceof Error ? error.message : String(error) };
  }
}

/** Starts the command, waits for the app, notes all processes, and ends them. */
async function during(name: string, command: readonly string[]): Promise<Resident> {
  using scope = censusScope();
  const [cgroup = ""] = scope.cgroups;
  const child = Bun.spawn([...command], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
    env: PLAIN_ENVIRONMENT,
  });
  const isApp = (one: ResidentProcess) => one.name === `${SLEEP} 1000`;
  const deadline = Date.now() + 60_000;
  try {
    while (!residentIn(cgroup).some(isApp)) {
      if (Date.now() > deadline) return { name, processes: [], absent: "its app did not start" };
      await Bun.sleep(50);
    }
    await Bun.sleep(500); // Until what only helps with the start has ended.
    return { name, processes: residentIn(cgroup).filter((one) => !isApp(one)) };
  } finally {
    child.kill("SIGTERM");
    await Promise.race([child.exited, Bun.sleep(15_000)]);
    for (let left = residentIn(cgroup); left.length > 0; left = residentIn(cgroup)) {
      for (const { pid } of left) end(pid);
      await Bun.sleep(50);
    }
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
