/** kvm `run`: from a pod's directory to a virtual machine. The exported function is the list of what happens, in order. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { quoted } from "../../src/core/text.ts";
import { parseUuid } from "../../src/core/uuid.ts";
import { detectCgroups } from "../../src/host/cgroup.ts";
import { CLONE, callerState, F, handOver, MS } from "../../src/host/mod.ts";
import { KVM_DEVICE } from "../../src/host/virtualization.ts";
import { joinNetns, resolvePorts, setUpNetwork } from "../../src/network/mod.ts";
import { ISOLATOR, rateLimit } from "../../src/spec/appc/mod.ts";
import { journalOf } from "../../src/stage1-contract/mod.ts";
import type { RunEntrypoint } from "../common/io.ts";
import { recordIsolation } from "../common/isolation.ts";
import { plan } from "../common/plan.ts";
import { definedVariables, lockDescriptor, readRunRequest } from "../common/pod.ts";
import { mountApps } from "../nspawn/app-mounts.ts";
import { callerLimits } from "../nspawn/caller-limits.ts";
import { onTerminal } from "../nspawn/input.ts";
import { logDirectory } from "../nspawn/iomux.ts";
import { logWarnings } from "../nspawn/log-filter.ts";
import { mountLogs, openLogs } from "../nspawn/logs.ts";
import { joinCgroup } from "../nspawn/pod-cgroup.ts";
import { limitPod } from "../nspawn/pod-limits.ts";
import { prepareApps } from "../nspawn/prepare-apps.ts";
import { resolverBinds, wantedDns } from "../nspawn/resolver.ts";
import { withMetadata } from "../nspawn/run.ts";
import { podSysctls } from "../nspawn/sysctl.ts";
import { writeUnits } from "../nspawn/write-units.ts";
import { findAccelerator } from "./accelerator.ts";
import { cellWords, machineUser, makeMachineFiles, mountCell } from "./cell.ts";
import { qemuWords } from "./hypervisor.ts";
import { hostShare, limitGuest, unlimitedDisks } from "./limits.ts";
import { linkMachine } from "./link.ts";
import { machineSize } from "./machine.ts";
import { linkLines, mountLines, settingLines } from "./plan.ts";
import { findQemu, findVirtiofsd, kilohertz } from "./programs.ts";
import { refuse } from "./refuse.ts";
import { supervisorScript } from "./supervisor.ts";

/** As many can be in a pod at the same time (guest/guest.h). */
const SESSIONS = 8;

export const run: RunEntrypoint = async (argv, io) => {
  const { host, podDir } = io;
  const { run, manifest, files } = readRunRequest(argv, podDir);
  const uuid = parseUuid(run.uuid);
  if (run.debug) for (const text of plan(manifest, run, true)) io.emit({ kind: "debug", source: "stage1", text });
  /** Out of the way of the supervisor's own descriptors: a shell names those below 10 only. */
  const raised = (fd: number) => host.fcntl(fd, F.DUPFD, 32);
  const lockFd = raised(lockDescriptor(io.env));
  const caller = { ...callerState(host), umask: 0o022 };
  refuse(run, manifest, caller.listenFds);
  if (!run.disableSeccomp) for (const text of logWarnings(manifest)) io.emit({ kind: "warning", text });
  const root = files.stage1Rootfs;
  const kernel = join(root, "usr/lib/rkt/kernel");
  const [qemu, virtiofsd] = [findQemu(), findVirtiofsd()];
  const accelerator = findAccelerator();
  const accelerated = accelerator.kind === "kvm";
  if (!accelerated)
    io.emit({
      kind: "warning",
      text: `${accelerator.why}: the pod's machine is emulated, which is many times slower`,
    });
  const limits = callerLimits(host, caller);
  const input = !run.interactive ? "none" : onTerminal() ? "terminal" : "fifo";
  const layout = detectCgroups();
  const cgroup = joinCgroup(io, uuid, layout);
  writeFileSync(files.pid, `${process.pid}\n`, { mode: 0o644 });
  const journal = journalOf(manifest);
  const prepared = prepareApps(io, files, manifest, { inherited: [], journal: journal !== "no" });
  const logs = openLogs(host, logDirectory(manifest));
  for (const name of unlimitedDisks(manifest))
    io.emit({
      kind: "warning",
      text: `the disk limits of app ${quoted(name)} have no effect: in a virtual machine of several apps they hold for the pod only`,
    });
  limitPod(io, hostShare(manifest), cgroup, layout);
  const user = machineUser(uuid);
  host.chdir(podDir);
  const made = makeMachineFiles(host, user, SESSIONS);
  const machineFiles = { files: raised(made.files), sessions: made.sessions.map(raised) };
  const network = await setUpNetwork({
    ...{
      uuid,
      podDir,
      net: run.net,
      ports: resolvePorts(manifest),
      localConfigDir: run.localConfig,
      stage1NetDirs: [],
    },
    ...{ emit: io.emit, host, cgroupPath: `/${cgroup.subcgroup}` },
    dns: wantedDns(root, run.dnsMode?.resolv ?? "default"),
    bandwidth: rateLimit(manifest.isolators, ISOLATOR.networkBandwidth),
  });
  const apps = withMetadata(prepared, run.mdsToken, network);
  const { links: opened, guest } = network === undefined ? { links: [], guest: [] } : linkMachine(host, network);
  const links = opened.map((link) => ({ ...link, fd: raised(link.fd) }));
  const sysctls = podSysctls(manifest, { net: true, ipc: true });
  const hostname = run.hostname ?? `rkt-${uuid}`;
  const resolver = resolverBinds(root, run.dnsMode ?? { resolv: "default", hosts: "default" }, hostname, network?.dns);
  const named = journal === "no" || input !== "none" ? undefined : journal === "only" ? "output" : "console";
  if (journal !== "no") mkdirSync(join(root, "var/log/journal"), { recursive: true, mode: 0o755 });
  const release = readFileSync(join(kernel, "release"), "utf8").trim();
  writeUnits(files, manifest, apps, run, { hostname, input, journal, limits, disks: [], kernel: release });
  limitGuest(root, manifest);
  const mark = crypto.getRandomValues(Buffer.alloc(16)).toString("hex");
  const guestFile = (name: string, text: string) => writeFileSync(join(root, "rkt/vm", name), text, { mode: 0o600 });
  mkdirSync(join(root, "rkt/vm"), { recursive: true, mode: 0o700 });
  guestFile("settings", settingLines([...sysctls.net, ...sysctls.ipc]));
  guestFile("plan", linkLines(guest) + mountLines(manifest, apps, { journal: named }));
  guestFile(
    "words",
    systemdWords(run.debug)
      .map((word) => `${word}\n`)
      .join(""),
  );
  guestFile(
    "environment",
    `container=rkt\ncontainer_uuid=${uuid}\nPATH=/usr/sbin:/usr/bin\nSYSTEMD_UNIT_PATH=${UNIT_PATH}\n${run.debug ? "" : "SYSTEMD_LOG_LEVEL=crit\n"}`,
  );
  if (run.disablePaths) guestFile("writable", "");
  if (input === "terminal") guestFile("terminal", "");
  if (input === "fifo") guestFile("input", mark);
  const words = qemuWords({
    ...{ uuid, accelerated, links, sessions: machineFiles.sessions, debug: run.debug },
    size: machineSize(manifest, { processors: cpus().length, accelerated }),
    kilohertz: accelerated ? undefined : kilohertz(join(root, "usr/lib/rkt/guest")),
    tun:
      run.disableCapabilitiesRestriction ||
      apps.some(({ unit }) => JSON.stringify(unit.app.isolators).includes("CAP_NET_ADMIN")),
    kernelWords: (io.env["RKT_HYPERVISOR_EXTRA_KERNEL_PARAMS"] ?? "").split(/\s+/).filter((word) => word !== ""),
  });
  const devices = ["/dev/null", "/dev/urandom", ...(accelerated ? [KVM_DEVICE] : [])];
  const script = supervisorScript({
    virtiofsd: [...virtiofsd, `--fd=${machineFiles.files}`, "-o", `source=${root}`],
    qemu: [...cellWords(join(podDir, "kvm/root"), user, accelerated ? accelerator.group : undefined), qemu, ...words],
    input: input === "fifo" ? "pipe" : input,
    mark,
  });
  recordIsolation(
    files,
    "kvm",
    run,
    manifest,
    new Map([
      ["vm", accelerated ? "qemu:kvm" : "qemu:emulated"],
      ...(accelerated ? [] : [["kvm", undefined] as const]),
    ]),
  );

  // From here to execve: synchronous calls only.
  host.unshare(CLONE.NEWNS);
  host.mount(null, "/", null, MS.REC | MS.SLAVE, null);
  if (network !== undefined) joinNetns(host, network.netnsPath);
  mountApps(
    host,
    files,
    apps.map((app) => app.mounts),
    resolver,
    undefined,
  );
  mountLogs(host, root, logs);
  mountCell(host, podDir, kernel, devices);
  return handOver(host, caller, {
    ...{
      path: "/bin/sh",
      argv: ["rkt-kvm", "-c", script],
      env: { ...definedVariables(io.env), RKT_LOCK_FD: String(lockFd) },
    },
    keep: [
      lockFd,
      machineFiles.files,
      ...machineFiles.sessions,
      ...links.map(({ fd }) => fd),
      ...(network?.portSockets ?? []).map(raised),
    ],
  });
};

/** Those that there are: systemd would look for every unit in nine others, each time a request to the host. */
const UNIT_PATH = "/etc/systemd/system:/run/systemd/system:/usr/lib/systemd/system";

/** As with systemd-nspawn (nspawn/supervisor.ts). */
function systemdWords(debug: boolean): string[] {
  return ["--default-standard-output=null", ...(debug ? [] : ["--log-target=null", "--show-status=0"])];
}
