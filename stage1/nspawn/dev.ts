/**
 * An app's own /dev. Not the pod's: what an app's root puts in place of /dev/null there would be opened by the pod's systemd, and by the other apps, outside of
 * the app's root (a link in it could name any file of the pod).
 */

import { existsSync } from "node:fs";
import { type IdRange, idOnHost } from "../../src/core/id-range.ts";
import { FSCONFIG, type Host, MOUNT_ATTR, S } from "../../src/host/mod.ts";
import { attach } from "../common/attach.ts";

/** Those that every app has (rkt 1.x, prepare-app); tun only where the host has it. */
const NODES = [
  ["null", 1, 3],
  ["zero", 1, 5],
  ["full", 1, 7],
  ["random", 1, 8],
  ["urandom", 1, 9],
  ["tty", 5, 0],
] as const;

const LINKS = [
  ["fd", "/proc/self/fd"],
  ["stdin", "/proc/self/fd/0"],
  ["ptmx", "pts/ptmx"],
  ["log", "/run/systemd/journal/dev-log"],
] as const;

export interface DevOptions {
  /** Where descriptors 1 and 2 are sockets, which cannot be opened by name: the file that the logs of images that are links to /dev/stdout get instead. */
  readonly journal: "console" | "output" | undefined;
  /** The pod's users, where it has a user namespace: the devices belong to its root. The caller makes files as that root (asFileOwner). */
  readonly ids: IdRange | undefined;
  /** SELinux context of what is made there. */
  readonly context?: string | undefined;
}

/**
 * Mounts /dev on the root (a descriptor), with pseudo-terminals of the app's own and shared memory: `shm` (a detached mount; closed), or some of its own. In
 * the pod's mount namespace.
 */
export function mountDev(host: Host, root: number, shm: number | undefined, options: DevOptions): void {
  const attributes = MOUNT_ATTR.NOSUID | MOUNT_ATTR.NOEXEC;
  const id = (number: number) => String(options.ids === undefined ? number : idOnHost(options.ids, number));
  const label: Record<string, string> = options.context === undefined ? {} : { context: options.context };
  const rootOwns = { uid: id(0), gid: id(0), ...label };
  const dev = fileSystem(host, "tmpfs", { mode: "755", size: "64k", nr_inodes: "1k", ...rootOwns }, attributes);
  fill(host, dev, options);
  const device = (fd: number, target: string) =>
    attach(host, root, { fd, isDirectory: true, target, what: "the devices" });
  device(dev, "/dev");
  // gid 5 is "tty" everywhere; ptmxmode: whoever may open it gets a terminal of this instance.
  device(fileSystem(host, "devpts", { mode: "620", gid: id(5), ptmxmode: "666", ...label }, attributes), "/dev/pts");
  device(
    shm ?? fileSystem(host, "tmpfs", { mode: "1777", ...rootOwns }, MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV),
    "/dev/shm",
  );
}

function fill(host: Host, dev: number, { journal }: DevOptions): void {
  const mask = host.umask(0);
  try {
    for (const name of ["pts", "shm", "net"]) host.mkdirat(dev, name, 0o755);
    for (const [name, target] of LINKS) host.symlinkat(target, dev, name);
    for (const [name, fd] of [
      ["stdout", 1],
      ["stderr", 2],
    ] as const)
      host.symlinkat(journal ?? `/proc/self/fd/${fd}`, dev, name);
    for (const [name, major, minor] of NODES) host.mknodat(dev, name, S.IFCHR | 0o666, { major, minor });
    if (existsSync("/dev/net/tun")) host.mknodat(dev, "net/tun", S.IFCHR | 0o666, { major: 10, minor: 200 });
    // Mount points: sandbox.ts binds the pod's own.
    const points = ["console", ...(journal === "output" ? [journal] : [])];
    for (const name of points) host.mknodat(dev, name, S.IFREG | 0o600, { major: 0, minor: 0 });
  } finally {
    host.umask(mask);
  }
}

/** A detached mount of a new file system. */
export function fileSystem(
  host: Host,
  type: string,
  options: Readonly<Record<string, string>>,
  attributes: number,
): number {
  const context = host.fsOpen(type);
  try {
    host.fsConfig(context, FSCONFIG.SET_STRING, "source", type);
    for (const [key, value] of Object.entries(options)) host.fsConfig(context, FSCONFIG.SET_STRING, key, value);
    host.fsConfig(context, FSCONFIG.CMD_CREATE, null, null);
    return host.fsMount(context, attributes);
  } finally {
    host.close(context);
  }
}
