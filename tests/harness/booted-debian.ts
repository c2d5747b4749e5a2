/**
 * A small Debian booted by systemd-nspawn: a host with systemd as process 1, D-Bus, machined, a journal and cgroup v2, for what rkt does on such a host (units,
 * slices, machinectl, packages, services). It has loopback and no other network. The build's rkt is in its PATH; /var is a plain directory, so that rkt's
 * overlays work. Needs root, systemd-container, and the tree that tools/test-packages.sh makes. Everything ends when the test ends, also when it fails.
 *
 *     using machine = await bootDebian();
 *     machine.ok(["rkt", "run", …]);                       // in a transient unit of its own, like a service
 *     machine.enter(["machinectl", "list"]);               // as from a root shell outside of any unit
 *     readFileSync(machine.path("/etc/machine-id"));       // a file of the machine, as the host reaches it
 */

import { spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { cgroupDirectory, detectCgroups } from "../../src/host/cgroup.ts";
import { cgroupsBelow } from "../../src/host/cgroup-tree.ts";
import { childrenOf } from "../../src/host/child-processes.ts";
import { type Result, RKT, until } from "./rkt.ts";
import { atEnd, temporaryDirectory } from "./temporary.ts";

export interface BootOptions {
  /** Default: bookworm, with systemd 252. Others must be in build/.cache/test-roots. */
  readonly debian?: string;
  /** Paths of the host that the machine sees read-only, by its own path: { "/opt/files": "/somewhere" }. */
  readonly binds?: Readonly<Record<string, string>>;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Properties of the unit (systemd-run(1), --property): "Slice=web.slice". */
  readonly properties?: readonly string[];
}

export interface BootedDebian {
  /** The machine's process 1, as the host knows it. */
  readonly leader: number;
  /** Runs a command in a transient unit of its own, to its end. */
  run(command: readonly string[], options?: RunOptions): Result;
  /** Like run, but throws with both outputs unless the status is 0; returns stdout. */
  ok(command: readonly string[], options?: RunOptions): string;
  /** Runs a command in the machine's namespaces, but in no unit: what a root shell would do. Throws unless its status is 0; returns stdout. */
  enter(command: readonly string[]): string;
  /** Where the host finds a path of the machine. */
  path(path: string): string;
  /** What was said on the console. */
  console(): string;
  [Symbol.dispose](): void;
}

/** The arguments: the machine's cgroup, "v2" when the host has v2 alone, then systemd-nspawn's command line. */
const BOOT = `
echo $$ > "$1/cgroup.procs"
mount -t tmpfs -o mode=755 tmpfs /run/systemd/nspawn
if [ "$2" != v2 ]; then
  umount -l -R /sys/fs/cgroup
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
mount -t overlay -o "lowerdir=$3,upperdir=$4/upper,workdir=$4/work" overlay "$4/root"
shift 4
exec "$@"
`;

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Resolves when the machine has started all its services. Throws with its console when that fails. */
export async function bootDebian(options: BootOptions = {}): Promise<BootedDebian> {
  const tree = resolve("build/.cache/test-roots", options.debian ?? "bookworm");
  if (!existsSync(tree)) throw new Error(`no Debian in ${tree}: run tools/setup.sh test`);
  const work = temporaryDirectory("boot");
  for (const name of ["upper", "work", "root", "var"]) mkdirSync(join(work.path, name));
  // Not join(), which would take the dot away, and with it the meaning.
  spawnSync("cp", ["-a", `${tree}/var/.`, join(work.path, "var")]);
  mkdirSync("/run/systemd/nspawn", { recursive: true, mode: 0o755 });
  const name = `booted-${work.path.slice(-6)}`;
  const { cgroup, kind } = makeCgroup(name);
  const log = join(work.path, "console");
  const out = openSync(log, "w");
  const binds = { "/opt/rkt": dirname(RKT), ...options.binds };
  const child = spawn(
    "unshare",
    [
      ...["--mount", "--propagation=private", "sh", "-ec", BOOT, "boot", cgroup, kind, tree, work.path],
      ...["systemd-nspawn", "--boot", `--directory=${work.path}/root`, `--machine=${name}`, `--hostname=${name}`],
      ...["--register=no", "--keep-unit", "--link-journal=no", "--private-network", "--console=pipe"],
      ...["--capability=all", "--resolv-conf=off", "--timezone=off", `--bind=${work.path}/var:/var`],
      ...Object.entries(binds).map(([inside, outside]) => `--bind-ro=${outside}:${inside}`),
    ],
    // A host has every system call and a writable /proc/sys; its programs are trusted.
    {
      stdio: ["ignore", out, out],
      env: { PATH, SYSTEMD_SECCOMP: "0", SYSTEMD_NSPAWN_API_VFS_WRITABLE: "yes", container: "" },
    },
  );
  closeSync(out);
  let over = false;
  child.once("exit", () => {
    over = true;
  });
  let leader = 0;
  const dispose = atEnd(() => {
    // Process 1 takes all others of the machine with it.
    if (leader > 1) kill(leader);
    if (child.pid !== undefined) kill(child.pid);
    removeCgroup(cgroup);
    work[Symbol.dispose]();
  });

  const inside = (command: readonly string[], input = ""): Result => {
    const result = spawnSync("nsenter", [`--target=${leader}`, "--all", "--", ...command], {
      encoding: "utf8",
      input,
      env: { PATH, HOME: "/root", TERM: "dumb", LC_ALL: "C.UTF-8" },
      maxBuffer: 64 * 1024 * 1024,
      timeout: 280_000,
    });
    return { status: result.status ?? 255, stdout: result.stdout ?? "", stderr: result.stderr ?? "" };
  };
  const run: BootedDebian["run"] = (command, { input = "", env = {}, properties = [] } = {}) =>
    inside(
      [
        ...["systemd-run", "--quiet", "--pipe", "--wait", "--collect"],
        ...properties.map((property) => `--property=${property}`),
        ...Object.entries({ PATH, HOME: "/root", ...env }).map(([key, value]) => `--setenv=${key}=${value}`),
        ...["--", ...command],
      ],
      input,
    );
  const checked = (command: readonly string[], result: Result) => {
    if (result.status === 0) return result.stdout;
    throw new Error(`${command.join(" ")}: status ${result.status}\n${result.stdout}\n${result.stderr}`);
  };

  try {
    await until(
      "the machine to boot",
      () => {
        if (over) throw new Error("the machine ended");
        leader = childrenOf(child.pid ?? 0)[0] ?? 0;
        return leader > 1 && /^(running|degraded)$/m.test(inside(["systemctl", "is-system-running"]).stdout);
      },
      120,
    );
    const link = inside(["ln", "-s", `/opt/rkt/${RKT.slice(dirname(RKT).length + 1)}`, "/usr/local/bin/rkt"]);
    if (link.status !== 0) throw new Error(link.stderr);
  } catch (error) {
    const text = readFileSync(log, "utf8");
    dispose();
    throw new Error(`${String(error)}; its console:\n${text}`);
  }
  // A pod with users of its own makes a /proc of its own, which the kernel allows where a whole one is to be seen (mount_namespaces(7)); later systemd-nspawns cover parts of the machine's.
  for (const type of ["proc", "sysfs"])
    checked([type], inside(["sh", "-ec", `mkdir /run/whole-${type}; mount -t ${type} ${type} /run/whole-${type}`]));
  return {
    leader,
    run,
    ok: (command, settings) => checked(command, run(command, settings)),
    enter: (command) => checked(command, inside(command)),
    path: (path) => join(`/proc/${leader}/root`, path),
    console: () => readFileSync(log, "utf8"),
    [Symbol.dispose]: dispose,
  };
}

/** One of the machine's own, below the test's, in the v2 hierarchy. */
function makeCgroup(name: string): { cgroup: string; kind: string } {
  const { hierarchies, kind } = detectCgroups();
  const v2 = hierarchies.find(({ version }) => version === 2);
  const cgroup = v2 === undefined ? undefined : cgroupDirectory(v2, join(v2.own, name));
  if (cgroup === undefined)
    throw new Error("a machine to boot needs a cgroup v2 hierarchy, which this host does not have");
  mkdirSync(cgroup);
  return { cgroup, kind };
}

function removeCgroup(cgroup: string): void {
  // The last process may be on its way out.
  for (let round = 0; round < 50 && existsSync(cgroup); round += 1) {
    for (const directory of cgroupsBelow(cgroup)) {
      try {
        rmdirSync(directory);
      } catch {
        Bun.sleepSync(20);
      }
    }
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
