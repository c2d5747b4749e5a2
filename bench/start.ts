/** From a shell's point of view: how long does it take to run `true` in a container, image in the store, until its exit status is back? */

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, interleave, PLAIN_ENVIRONMENT, run, type Timed } from "./measure.ts";
import type { Workspace } from "./workspace.ts";

export const FLOOR = "systemd-nspawn + systemd, boot and halt of the same stage1 tree";

export function measureStart(space: Workspace, runs: number, tell: (text: string) => void): Timed[] {
  const cases = [
    measuringItself(),
    ...rktCases(space),
    ...pluginCases(space),
    ...peerCases(space),
    ...nspawnCases(space),
  ];
  return interleave(cases, runs, tell);
}

function measuringItself(): Case {
  return { name: "/bin/true", command: ["/bin/true"], note: "what measuring costs" };
}

function rktCases(space: Workspace): Case[] {
  // By its id: a reference to a layout would be looked at again each time, as it should.
  const image = run(space.rkt(["fetch", "--full", `oci:${space.layout}:latest`])).trim();
  const fly = "--stage1-name=coreos.com/rkt/stage1-fly";
  const uuidFile = join(space.dir, "uuid");
  const uuid = () => readFileSync(uuidFile, "utf8").trim();
  const app = [image, "--exec=/bin/true"];
  const collect = () => void run(space.rkt(["gc", "--grace-period=0s"]));
  const prepare = (...flags: string[]) => {
    writeFileSync(uuidFile, run(space.rkt(["prepare", "--quiet", ...flags, ...app])));
  };
  const one = (name: string, command: Case["command"], rest: Partial<Case> = {}): Case => ({
    name: `rkt ${name}`,
    command,
    own: true,
    after: collect,
    ...rest,
  });
  return [
    one("run, fly", space.rkt(["run", fly, ...app])),
    one("run-prepared, fly", () => space.rkt(["run-prepared", uuid()]), { before: () => prepare(fly) }),
    one("run, nspawn, --net=host", space.rkt(["run", "--net=host", ...app])),
    one("run-prepared, nspawn, --net=host", () => space.rkt(["run-prepared", "--net=host", uuid()]), {
      before: () => prepare(),
    }),
    one("run, nspawn, default network", space.rkt(["run", ...app]), { note: "with the plugins' time, below" }),
    one("rm of that pod", () => space.rkt(["rm", uuid()]), {
      note: "what --rm is elsewhere",
      before: () => void run(space.rkt(["run", `--uuid-file-save=${uuidFile}`, ...app])),
    }),
  ];
}

/** The CNI plugins alone, called by hand: nothing that calls them can be faster. */
function pluginCases(space: Workspace): Case[] {
  const conf = join(space.dir, "cni.json");
  const ipam = { type: "host-local", subnet: "172.16.29.0/24", routes: [{ dst: "0.0.0.0/0" }] };
  const content = { cniVersion: "0.4.0", name: "bench", type: "ptp", ipMasq: true, ipam };
  writeFileSync(conf, JSON.stringify(content));
  const environment = {
    CNI_CONTAINERID: "bench",
    CNI_NETNS: "/run/netns/bench",
    CNI_IFNAME: "eth0",
    CNI_PATH: "/usr/lib/cni",
  };
  const call = ["sh", "-c", `exec /usr/lib/cni/ptp < ${conf}`];
  return [
    {
      name: "CNI plugins alone (ptp, host-local)",
      command: call,
      environment: { ...environment, CNI_COMMAND: "ADD" },
      before: () => void run(["ip", "netns", "add", "bench"]),
      after: () => {
        run(call, { ...environment, CNI_COMMAND: "DEL" });
        run(["ip", "netns", "delete", "bench"]);
      },
    },
  ];
}

function peerCases(space: Workspace): Case[] {
  const bundle = join(space.dir, "bundle");
  const rootfs = makeBundle(space, bundle);
  const store = { id: "" };
  const withPodman = () => {
    if (store.id !== "") return;
    run(space.podman(["pull", "--quiet", `oci:${space.layout}:latest`]));
    store.id =
      run(space.podman(["images", "--quiet"]))
        .trim()
        .split("\n")[0] ?? "";
  };
  const runtime = (program: string, command: readonly string[], note: string): Case => ({
    name: `${program} run`,
    command,
    note: `a bundle made before, no image store${note}`,
  });
  const bundled = (program: string) => [
    program,
    "--root",
    join(space.dir, `${program}-state`),
    "run",
    "--bundle",
    bundle,
    `bench-${program}`,
  ];
  const crun = acceptable(bundled("crun"));
  // The limits: podman asks for more than a machine without CAP_SYS_RESOURCE gives.
  const limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"];
  const podman = (): readonly string[] =>
    acceptable(space.podman(["run", "--rm", "--net=host", ...limits, store.id, "/bin/true"])).command;
  return [
    runtime("runc", bundled("runc"), ""),
    runtime("crun", crun.command, crun.note),
    {
      name: "podman run --rm --net=host",
      command: podman,
      note: `with crun${acceptable([]).note}`,
      before: withPodman,
    },
    {
      name: "systemd-nspawn, one process",
      command: ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", `--directory=${rootfs}`, "/bin/true"],
      note: "the host's, no init",
    },
  ];
}

/** crun refuses a host with cgroup v1 and a v2 hierarchy that has controllers; there it is started where v2 is not seen. */
function acceptable(command: readonly string[]): { command: readonly string[]; note: string } {
  const unified = "/sys/fs/cgroup/unified";
  if (!existsSync(unified)) return { command, note: "" };
  const script = `umount ${unified}; exec "$@"`;
  return {
    command: ["unshare", "--mount", "sh", "-c", script, "sh", ...command],
    note: "; in a mount namespace without cgroup v2, as crun refuses hybrid hosts",
  };
}

/** busybox unpacked, and a configuration as `runc spec` writes it, on the host's network, without a terminal. */
function makeBundle(space: Workspace, bundle: string): string {
  run(["umoci", "unpack", "--image", `${space.layout}:latest`, bundle]);
  rmSync(join(bundle, "config.json"));
  run(["sh", "-c", `cd ${bundle} && ${specProgram()} spec`]);
  const file = join(bundle, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8"));
  config.process.terminal = false;
  config.process.args = ["/bin/true"];
  config.linux.namespaces = config.linux.namespaces.filter((one: { type: string }) => one.type !== "network");
  writeFileSync(file, JSON.stringify(config));
  return join(bundle, "rootfs");
}

function specProgram(): string {
  return Bun.which("runc", { PATH: PLAIN_ENVIRONMENT.PATH }) === null ? "crun" : "runc";
}

/** The stage1 that rkt uses, unpacked and booted by hand: the floor of every pod under it. */
function nspawnCases(space: Workspace): Case[] {
  const unpacked = join(space.dir, "stage1");
  mkdirSync(unpacked);
  run(["tar", "-xzf", "build/stage1-nspawn.aci", "-C", unpacked]);
  const root = join(unpacked, "rootfs");
  const units = join(root, "etc/systemd/system");
  mkdirSync(units, { recursive: true });
  const target = "[Unit]\nDefaultDependencies=no\nRequires=pod-exit.service\n";
  writeFileSync(join(units, "default.target"), target);
  const loader = join(root, "usr/lib/rkt/loader");
  const libraries = [0, 1].map((index) => join(root, `usr/lib/rkt/libraries/${index}`)).join(":");
  const command = [
    ...[loader, "--library-path", libraries, join(root, "usr/bin/systemd-nspawn")],
    ...["--boot", "--register=no", "--keep-unit", "--link-journal=no", "--quiet", `--directory=${root}`],
    ...["--kill-signal=SIGRTMIN+3", "--resolv-conf=off", "--timezone=off", "--"],
    ...["--default-standard-output=tty", "--log-target=null", "--show-status=0"],
  ];
  return [
    { name: FLOOR, command, note: "the floor" },
    {
      name: `${FLOOR}, no seccomp`,
      command,
      environment: { SYSTEMD_SECCOMP: "0" },
      note: "nspawn builds its filter at each start; rkt brings one ready-made",
    },
  ];
}
