/** nspawn `run`: from a pod's directory to systemd-nspawn. The exported function is the list of what happens, in order. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PodFiles } from "../../src/core/data-dir.ts";
import { parseIdRange } from "../../src/core/id-range.ts";
import { parseUuid } from "../../src/core/uuid.ts";
import { detectCgroups } from "../../src/host/cgroup.ts";
import { isErrno } from "../../src/host/errno.ts";
import { asFileOwner, CLONE, callerState, type Host, handOver, MS } from "../../src/host/mod.ts";
import { ownContext, selinuxEnforcing, setNextContext } from "../../src/host/selinux.ts";
import { joinNetns, type NetworkResult, resolvePorts, setUpNetwork } from "../../src/network/mod.ts";
import { ISOLATOR, type PodManifest, rateLimit } from "../../src/spec/appc/mod.ts";
import { journalOf, labelFromEnvironment, logsDeniedCalls, type PodLabel } from "../../src/stage1-contract/mod.ts";
import type { RunEntrypoint, Stage1Io } from "../common/io.ts";
import { recordIsolation } from "../common/isolation.ts";
import { METADATA_VARIABLE, metadataUrl } from "../common/metadata.ts";
import { plan } from "../common/plan.ts";
import { definedVariables, lockDescriptor, readRunRequest } from "../common/pod.ts";
import { volumeUsers } from "../common/volumes.ts";
import { mountApps } from "./app-mounts.ts";
import { callerLimits } from "./caller-limits.ts";
import { delegateCgroups, mountControllers } from "./cgroup-mounts.ts";
import { closeDevices, makeDiskNodes } from "./devices.ts";
import { enterHostUnit, hostRunsSystemd } from "./host-unit.ts";
import { feedInput, onTerminal } from "./input.ts";
import { logDirectory } from "./iomux.ts";
import { podCapabilities, writeLaterApps } from "./later-apps.ts";
import { limitsDisks } from "./limits.ts";
import { logWarnings } from "./log-filter.ts";
import { mountLogs, openLogs } from "./logs.ts";
import { joinCgroup } from "./pod-cgroup.ts";
import { filterPod, hasPodFilter, joinOwnKeyring } from "./pod-filter.ts";
import { limitPod } from "./pod-limits.ts";
import { type PodApp, prepareApps } from "./prepare-apps.ts";
import { resolverBinds, wantedDns } from "./resolver.ts";
import { DEFAULT_CAPABILITIES } from "./sandbox.ts";
import { inheritedSockets, portsWithSocket } from "./sockets.ts";
import { supervisor, supervisorContext } from "./supervisor.ts";
import { podSysctls, writeSysctls } from "./sysctl.ts";
import { writeUnits } from "./write-units.ts";

/** Puts what the pod's init needs into the stage1's root, unless it is there, and tells how systemd-nspawn is started: the first words of its command line. */
export type ProvideSystemd = (files: PodFiles) => readonly [program: string, ...words: string[]];

export const run: RunEntrypoint = (argv, io) => runWith(imageSystemd, argv, io);

/** `run`, with the systemd that `provide` names. */
export async function runWith(provide: ProvideSystemd, argv: readonly string[], io: Stage1Io): Promise<never> {
  const { host, podDir } = io;
  const { run, manifest, files } = readRunRequest(argv, podDir);
  const uuid = parseUuid(run.uuid);
  const ids = run.privateUsers === undefined ? undefined : parseIdRange(run.privateUsers);
  /** What it makes belongs to the pod's root. */
  const inPod = <T>(act: () => T): T => asFileOwner(host, ids, act);
  if (run.debug) for (const text of plan(manifest, run, true)) io.emit({ kind: "debug", source: "stage1", text });
  const lockFd = lockDescriptor(io.env);
  const label = labelFromEnvironment(io.env);
  if (!run.disableSeccomp) for (const text of logWarnings(manifest)) io.emit({ kind: "warning", text });
  // The pod's own files are as rkt and systemd make them, whatever the caller's umask.
  const caller = { ...callerState(host), umask: 0o022 };
  const limits = callerLimits(host, caller);
  const input = !run.interactive ? "none" : onTerminal() ? "terminal" : "fifo";
  if (input === "fifo") feedInput(host, files.stage1Rootfs, podDir, ids);
  const users = ids === undefined ? undefined : await volumeUsers(io.emit, ids);
  const registered = await enterHostUnit(io, uuid);
  // First of all, so that whatever a crash leaves is found.
  const layout = detectCgroups();
  const cgroup = joinCgroup(io, uuid, layout);
  writeFileSync(files.ppid, `${process.pid}\n`, { mode: 0o644 });
  const inherited = inheritedSockets(caller.listenFds);
  const journal = writesJournal(manifest);
  const settings = { inherited, users, context: label?.file, journal: journal !== "no" };
  const prepared = inPod(() => prepareApps(io, files, manifest, settings));
  const logs = openLogs(host, logDirectory(manifest), users);
  const served = portsWithSocket(manifest, inherited);
  limitPod(io, manifest, cgroup, layout);
  const network = await setUpNetwork({
    uuid,
    podDir,
    net: run.net,
    ports: resolvePorts(manifest).filter((port) => !served.has(port.name)),
    localConfigDir: run.localConfig,
    stage1NetDirs: [],
    emit: io.emit,
    host,
    cgroupPath: `/${cgroup.subcgroup}`,
    dns: wantedDns(files.stage1Rootfs, run.dnsMode?.resolv ?? "default"),
    bandwidth: rateLimit(manifest.isolators, ISOLATOR.networkBandwidth),
  });
  const apps = withMetadata(prepared, run.mdsToken, network);
  const sysctls = podSysctls(manifest, { net: network !== undefined, ipc: run.ipc !== "parent", ids });
  const hostname = run.hostname ?? `rkt-${uuid}`;
  const dnsMode = run.dnsMode ?? { resolv: "default", hosts: "default" };
  const resolver = inPod(() => resolverBinds(files.stage1Rootfs, dnsMode, hostname, network?.dns));
  const named = journal === "no" || input !== "none" ? undefined : journal === "only" ? "output" : "console";
  const dev = { journal: named, ids, context: label?.file } as const;
  if (journal !== "no")
    inPod(() => mkdirSync(join(files.stage1Rootfs, "var/log/journal"), { recursive: true, mode: 0o755 }));
  inPod(() => {
    const disks =
      run.mutable || apps.some((app) => limitsDisks(app.unit.app)) ? makeDiskNodes(host, files.stage1Rootfs) : [];
    const how = { hostname, input, journal, limits, disks, kernel: kernelRelease() } as const;
    writeUnits(files, manifest, apps, run, how);
  });
  if (!run.disablePaths) closeDevices(host, cgroup, layout, apps);
  const capabilities = podCapabilities(run, network !== undefined, DEFAULT_CAPABILITIES);
  if (run.mutable) {
    writeLaterApps(podDir, {
      ...{ resolver, dev, limits, disablePaths: run.disablePaths, disableSeccomp: run.disableSeccomp },
      capabilities: run.disableCapabilitiesRestriction ? undefined : capabilities,
    });
  }
  // An app that is added later may have another filter, which the pod's must leave room for.
  const filtered = apps.map((app) => app.unit.app);
  const logsCalls = !run.disableSeccomp && manifest.apps.some(logsDeniedCalls);
  const ownFilter = !run.mutable && !logsCalls && hasPodFilter(filtered, run.disableSeccomp);
  const program = inPod(() => provide(files));
  if (ids !== undefined) delegateCgroups(host, cgroup, layout, ids);
  // Mounted trees have the label by their mount. Copies had it before all of the above was written, which has the caller's level and holds the apps' environments.
  if (label !== undefined && !existsSync(files.overlayPrepared)) {
    (await import("../../src/host/relabel-tree.ts")).relabelTree(host, files.stage1Rootfs, label.file);
  }
  const target = supervisor(files, program, {
    run,
    uuid,
    manifest,
    // From version 257 on systemd begins a console with a terminal's control sequences, unless there is no such terminal: they would be the first bytes of the app's output.
    env: { ...definedVariables(io.env), ...(input === "terminal" ? {} : { TERM: "dumb" }) },
    // An error of a filter around the pod would come before the question of the app's own (seccomp(2), "precedence").
    withoutFilter: ownFilter || logsCalls,
    ownIpc: sysctls.ipc.length > 0,
    limits,
    registered,
    capabilities,
    label,
  });
  recordIsolation(files, "nspawn", run, manifest, new Map([["selinux", labelHolds(label)]]));

  // From here to execve: synchronous calls only.
  host.unshare(CLONE.NEWNS);
  host.mount(null, "/", null, MS.REC | MS.SLAVE, null);
  ownNspawnDirectory(host);
  if (network !== undefined) joinNetns(host, network.netnsPath);
  const mounts = apps.map((app) => app.mounts);
  inPod(() => mountApps(host, files, mounts, resolver, dev));
  mountLogs(host, files.stage1Rootfs, logs);
  writeSysctls(host, sysctls);
  inPod(() => mountControllers(host, files.stage1Rootfs, cgroup, layout, run.disablePaths));
  // Last: from here on this process could not do much of the above any more.
  if (ownFilter) filterPod(host, filtered);
  else if (logsCalls) joinOwnKeyring(host);
  const supervised = { ...target, keep: [lockFd, ...(network?.portSockets ?? [])] };
  if (label !== undefined) becomeLabelled(label, () => handOver(host, caller, supervised), io);
  return handOver(host, caller, supervised);
}

/** The image's own systemd-nspawn, started through the image's own loader, so that the host needs no systemd. */
function imageSystemd({ stage1Rootfs: root }: PodFiles): [string, ...string[]] {
  const libraries = [0, 1].map((index) => join(root, `usr/lib/rkt/libraries/${index}`)).join(":");
  return [join(root, "usr/lib/rkt/loader"), "--library-path", libraries, join(root, "usr/bin/systemd-nspawn")];
}

/** Comes back when the policy, which is the host's, does not let systemd-nspawn have the pod's categories: then only its readiness is lost. */
function becomeLabelled(label: PodLabel, become: () => never, io: Stage1Io): void {
  try {
    setNextContext(supervisorContext(ownContext(), label));
    become();
  } catch (error) {
    if (!isErrno(error, "EACCES", "EPERM")) throw error;
    setNextContext(undefined);
    const text =
      "SELinux keeps the pod's categories from systemd-nspawn: `rkt status --wait-ready` may not hear of the pod";
    io.emit({ kind: "warning", text });
  }
}

/** A permissive policy forbids nothing. */
function labelHolds(label: PodLabel | undefined): string | undefined {
  return label !== undefined && selinuxEnforcing() ? label.process : undefined;
}

/** Known only when the pod has its networks. */
export function withMetadata(
  apps: readonly PodApp[],
  token: string | undefined,
  network: NetworkResult | undefined,
): readonly PodApp[] {
  if (token === undefined) return apps;
  const url = metadataUrl(token, network);
  return apps.map((app) => ({ ...app, environment: new Map([...app.environment, [METADATA_VARIABLE, url]]) }));
}

export function kernelRelease(): string {
  return readFileSync("/proc/sys/kernel/osrelease", "utf8").trim();
}

/** Where the host has a journal, whose tools then show the pod's. */
function writesJournal(manifest: PodManifest): "no" | "too" | "only" {
  const wanted = journalOf(manifest);
  return wanted === "no" && hostRunsSystemd() ? "too" : wanted;
}

/**
 * systemd-nspawn refuses to clean up its directory when that lies on a disk, and when it is killed it leaves a lock and a directory of the pod there. A tmpfs just there, which
 * goes with the pod's mounts: one on /run would hide the notify socket and /run/netns.
 */
function ownNspawnDirectory(host: Host): void {
  mkdirSync("/run/systemd/nspawn", { recursive: true, mode: 0o755 });
  host.mount("tmpfs", "/run/systemd/nspawn", "tmpfs", MS.NOSUID | MS.NODEV, "mode=0755");
}
