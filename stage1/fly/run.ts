/**
 * fly: the app in a chroot, and nothing else. No network namespace, no isolator, no capability set, no seccomp filter: for host agents that one
 * trusts. rkt's own process becomes the app. Everything is mounted in a private mount namespace, so that a killed pod leaves nothing mounted.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import {
  AT_FDCWD,
  type CallerState,
  CLONE,
  callerState,
  type Host,
  handOver,
  isErrno,
  MS,
  O,
  PR,
  SIGNAL,
} from "../../src/host/mod.ts";
import type { App, PodManifest, RuntimeApp } from "../../src/spec/appc/mod.ts";
import { logsDeniedCalls, type RunArguments, recordsExit, restartOf } from "../../src/stage1-contract/mod.ts";
import { appEnvironment } from "../common/app-environment.ts";
import { attach } from "../common/attach.ts";
import { checkWorkingDirectory, findProgram } from "../common/find-binary.ts";
import { resolveIdentity } from "../common/identity.ts";
import { makeDirectoryInRoot, makeFileInRoot, openInRoot, openRoot, statInRoot } from "../common/in-root.ts";
import type { RunEntrypoint, Stage1Io } from "../common/io.ts";
import { recordIsolation } from "../common/isolation.ts";
import { METADATA_VARIABLE, metadataUrl } from "../common/metadata.ts";
import { type AppMount, appMounts } from "../common/mounts.ts";
import { supportsNotify } from "../common/notify.ts";
import { plan } from "../common/plan.ts";
import { definedVariables, lockDescriptor, readRunRequest } from "../common/pod.ts";
import { isSilenced } from "../common/stdio.ts";
import { makeReadOnly, type OpenVolume, openVolume } from "../common/volumes.ts";
import { boundingSet } from "../nspawn/sandbox.ts";
import { filterLines } from "../nspawn/seccomp.ts";
import { SUPERVISED, supervise } from "./supervise.ts";

export const run: RunEntrypoint = async (argv, io) => {
  const { host, podDir } = io;
  const { run, manifest, files } = readRunRequest(argv, podDir);
  const [app, ...others] = manifest.apps;
  if (app?.app === undefined || others.length > 0) {
    throw new RktError("UNSUPPORTED", "fly only supports 1 application per Pod for now");
  }
  if (run.privateUsers !== undefined)
    throw new RktError("UNSUPPORTED", "flag --private-users cannot be used with a fly stage1");
  if (app.app.exec.length === 0)
    throw new RktError(
      "INVALID_INPUT",
      `image ${quoted(app.image.name ?? "")} has an empty "exec" (try --exec=BINARY)`,
    );
  const supervised = io.env[SUPERVISED] !== undefined;
  // Said already, by the run that became the shell.
  if (!supervised) sayWhatHasNoEffect(io, run, manifest, app.app);
  if (run.debug) for (const text of plan(manifest, run, false)) io.emit({ kind: "debug", source: "stage1", text });
  const silenced = STREAMS.map((stream) => isSilenced(app, stream));

  const rootfs = files.appRootfs(app.name);
  const root = openRoot(host, rootfs);
  const identity = resolveIdentity(host, root, app.app);
  const environment = appEnvironment(app.name, app.app.environment, identity);
  if (run.mdsToken !== undefined) environment.set(METADATA_VARIABLE, metadataUrl(run.mdsToken, undefined));
  const workingDirectory = app.app.workingDirectory === "" ? "/" : app.app.workingDirectory;
  const [program = "", ...args] = app.app.exec;
  const { mounts, unfilled } = appMounts(manifest, app, false);
  checkWorkingDirectory(host, root, app, mounts);
  const binary = findProgram(host, root, app, mounts);
  const [missing] = unfilled;
  if (missing !== undefined)
    throw new RktError("INVALID_INPUT", `missing volume for mountpoint ${quoted(missing.name)}`, {
      hint: `give one with --volume=${missing.name},kind=…`,
    });
  const memory = mounts.filter(({ volume }) => volume.kind === "tmpfs").map(({ volume }) => volume.name);
  const twice = memory.find((name, index) => memory.indexOf(name) !== index);
  if (twice !== undefined)
    throw new RktError("UNSUPPORTED", `fly mounts a tmpfs volume once: ${quoted(twice)} has several targets`);
  const volumes = mounts.map((mount) => ({ mount, open: openVolume(host, podDir, mount.volume, mount.recursive) }));
  const system = systemMounts(host);
  const notifySocket = supportsNotify(files, app) ? io.env["NOTIFY_SOCKET"] : undefined;
  const notify: Record<string, string> = notifySocket === undefined ? {} : { NOTIFY_SOCKET: notifySocket };
  const lockFd = lockDescriptor(io.env);
  const caller = callerState(host);
  if (recordsExit(manifest) && !supervised) {
    const restart = restartOf(manifest);
    return supervise(argv, io, { files, app: app.name, restart, lockFd, env: definedVariables(io.env) });
  }
  writePids(files, host);
  recordIsolation(files, "fly", run, manifest);
  host.close(root);

  // From here to execve: synchronous calls only.
  enterRoot(
    host,
    rootfs,
    app,
    system,
    volumes,
    run.dnsMode ?? { resolv: "default", hosts: "default" },
    files,
    notifySocket,
  );
  host.setGroups(identity.groups);
  host.setResGid(identity.gid);
  host.setResUid(identity.uid);
  if (supervised) dieWithShell(host);
  changeDirectory(host, workingDirectory);
  silence(host, silenced);
  return handOver(host, caller, {
    path: binary,
    argv: [program, ...args],
    env: { ...Object.fromEntries(environment), ...socketVariables(caller, io.env), ...notify },
    keep: [lockFd],
  });
};

/** Names that mean nothing are refused, as by every flavor: a mistake must not wait until the pod runs where it matters. Throws INVALID_INPUT. */
function sayWhatHasNoEffect(io: Stage1Io, run: RunArguments, manifest: PodManifest, app: App): void {
  const capabilities = boundingSet(app.isolators);
  filterLines({ app: manifest.apps[0]?.name ?? "", isolators: app.isolators, capabilities, kernel: "" });
  if (manifest.apps.some(logsDeniedCalls))
    throw new RktError(
      "UNSUPPORTED",
      "fly has no system call filter: with --seccomp=mode=log there would be nothing to write down",
      {
        hint: "use another stage1: --stage1-name=coreos.com/rkt/stage1-nspawn",
      },
    );
  const warn = (text: string) => io.emit({ kind: "warning", text });
  const name = quoted(manifest.apps[0]?.name ?? "");
  for (const isolator of app.isolators) warn(`fly does not isolate: ${isolator.name} of app ${name} has no effect`);
  for (const isolator of manifest.isolators) warn(`fly does not isolate: ${isolator.name} of the pod has no effect`);
  for (const handler of app.eventHandlers) warn(`fly runs the app alone: its ${handler.name} handler has no effect`);
  if (run.hostname !== undefined) warn("fly uses the host's name: --hostname has no effect");
  if (run.net !== "host" && run.net !== "default") warn(`fly uses the host's network: --net=${run.net} has no effect`);
  if (manifest.ports.length > 0) warn("fly uses the host's network: --port has no effect");
}

/** After the change of users, which takes the setting away (prctl(2)). A shell starts its background with INT and QUIT ignored. */
function dieWithShell(host: Host): void {
  host.prctl(PR.SET_PDEATHSIG, SIGNAL.KILL);
  host.resetSignals([SIGNAL.INT, SIGNAL.QUIT]);
}

/** In the order of their descriptors. */
const STREAMS = ["stdin", "stdout", "stderr"] as const;

function silence(host: Host, silenced: readonly boolean[]): void {
  if (!silenced.includes(true)) return;
  const nothing = host.openat(AT_FDCWD, "/dev/null", O.RDWR | O.CLOEXEC, 0);
  for (const [fd, is] of silenced.entries()) if (is) host.dup3(nothing, fd, 0);
}

/** The activated sockets are the app's, which is the process that they were meant for (sd_listen_fds(3)). */
function socketVariables(caller: CallerState, env: Stage1Io["env"]): Record<string, string> {
  if (caller.listenFds === 0) return {};
  const names = env["LISTEN_FDNAMES"];
  return {
    LISTEN_PID: String(process.pid),
    LISTEN_FDS: String(caller.listenFds),
    ...(names === undefined ? {} : { LISTEN_FDNAMES: names }),
  };
}

/** pid and pgid are how other commands find a pod that has no cgroup of its own (docs/pod-lifecycle.md). execve keeps both. */
function writePids(files: PodFiles, host: Host): void {
  writeFileSync(files.pid, `${process.pid}\n`, { mode: 0o644 });
  writeFileSync(files.pgid, `${host.getpgid(0)}\n`, { mode: 0o644 });
}

const SYSTEM = ["dev", "proc", "sys"] as const;

/** The host's /dev, /proc and /sys as clones, taken before the unshare. */
function systemMounts(host: Host): { name: string; fd: number }[] {
  return SYSTEM.map((name) => ({ name, fd: host.openTree(AT_FDCWD, `/${name}`, 1 | O.CLOEXEC | 0x8000) }));
}

function enterRoot(
  host: Host,
  rootfs: string,
  app: RuntimeApp,
  system: readonly { name: string; fd: number }[],
  volumes: readonly { mount: AppMount; open: OpenVolume }[],
  dns: { resolv: string; hosts: string },
  files: PodFiles,
  notifySocket: string | undefined,
): void {
  host.unshare(CLONE.NEWNS);
  // slave, not private: what the host mounts later below a volume is still seen; what is mounted here never reaches the host.
  host.mount(null, "/", null, MS.REC | MS.SLAVE, null);
  host.mount(rootfs, rootfs, null, MS.BIND | MS.REC, null);
  const root = openRoot(host, rootfs);
  for (const { name, fd } of system) {
    attach(host, root, { fd, isDirectory: true, target: `/${name}`, what: `the host's "/${name}"` });
    // Unmounting below the pod must never unmount the host's own /dev/pts or /sys/fs/cgroup.
    host.mount(null, join(rootfs, name), null, MS.REC | MS.SLAVE, null);
  }
  makeDirectory(host, root, "/tmp", 0o1777);
  host.mount(
    "tmpfs",
    `/proc/self/fd/${directoryInRoot(host, root, "/tmp")}`,
    "tmpfs",
    MS.NOSUID | MS.NODEV,
    "mode=1777",
  );
  // Before the volumes, which may bring files of their own: nothing is made in a directory of the host.
  resolverFiles(host, root, dns, files);
  // One in the abstract namespace is the host's network's, and fly's.
  if (notifySocket?.startsWith("/") === true) bindFile(host, root, notifySocket, notifySocket);
  for (const { mount, open } of volumes) {
    if (mount.readOnly) makeReadOnly(host, open.fd);
    const what = `volume ${quoted(mount.volume.name)}`;
    attach(host, root, { fd: open.fd, isDirectory: open.isDirectory, target: mount.target, what });
  }
  if (app.readOnlyRootFs) host.mount(null, rootfs, null, MS.BIND | MS.REMOUNT | MS.RDONLY | MS.NODEV, null);
  host.close(root);
  host.chroot(rootfs);
  host.chdir("/");
}

function makeDirectory(host: Host, root: number, path: string, mode: number): void {
  host.close(makeDirectoryInRoot(host, root, path, mode));
}

function directoryInRoot(host: Host, root: number, path: string): number {
  return openInRoot(host, root, path, O.PATH | O.DIRECTORY);
}

/** resolv.conf and hosts by mode: the host's own files, stage0's, or what the image has. */
function resolverFiles(host: Host, root: number, dns: { resolv: string; hosts: string }, files: PodFiles): void {
  const bind = (source: string, target: string) => bindFile(host, root, source, target);
  const written = join(files.stage1Rootfs, "etc");
  if (dns.resolv === "host") bind("/etc/resolv.conf", "/etc/resolv.conf");
  if (dns.resolv === "stage0") bind(join(written, "rkt-resolv.conf"), "/etc/resolv.conf");
  if (dns.hosts === "host") bind("/etc/hosts", "/etc/hosts");
  if (dns.hosts === "stage0") bind(join(written, "rkt-hosts"), "/etc/hosts");
  if (dns.hosts === "default" && statInRoot(host, root, "/etc/hosts") === undefined) {
    mkdirSync(written, { recursive: true });
    writeFileSync(join(written, "rkt-hosts"), "127.0.0.1 localhost localdomain\n", { mode: 0o644 });
    bind(join(written, "rkt-hosts"), "/etc/hosts");
  }
}

function bindFile(host: Host, root: number, source: string, target: string): void {
  makeFileInRoot(host, root, target);
  const place = openInRoot(host, root, target, O.PATH);
  host.mount(source, `/proc/self/fd/${place}`, null, MS.BIND, null);
  host.close(place);
}

function changeDirectory(host: Host, path: string): void {
  try {
    host.chdir(path);
  } catch (cause) {
    if (!isErrno(cause, "ENOENT", "ENOTDIR", "EACCES")) throw cause;
    throw new RktError("INVALID_INPUT", `Cannot change to the working directory ${quoted(path)} of the app`, { cause });
  }
}
