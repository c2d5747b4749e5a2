/** The programs of the host that run a machine. */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";

/** Not the caller's PATH: what is found here is executed as root, or with the pod's memory in its hands. */
const QEMU = ["/usr/bin/qemu-system-x86_64", "/usr/libexec/qemu-kvm"];

/** Throws HOST_PROGRAM. */
export function findQemu(): string {
  return find(QEMU, "QEMU", "install Debian's package qemu-system-x86");
}

/**
 * virtiofsd with the words that every pod's has: which of the two programs of this name it is shows in its place. QEMU's own (Debian 12) keeps the limit of open files, since raising it takes a
 * right that a container's root lacks. Extended attributes: file capabilities, access lists. Sub-mounts: a file of a volume has another device than one of the root. Throws HOST_PROGRAM.
 */
export function findVirtiofsd(): string[] {
  const hint = "it is part of QEMU's packages on Debian 12, and Debian's package virtiofsd later";
  return virtiofsdWords(find([SEPARATE_VIRTIOFSD, "/usr/lib/qemu/virtiofsd"], "virtiofsd", hint));
}

const SEPARATE_VIRTIOFSD = "/usr/libexec/virtiofsd";

/** Pure. Without CAP_MKNOD: a guest's root that makes a node of the host's disk on a volume, readable by everybody, would leave it there for a user of the host. */
export function virtiofsdWords(path: string): string[] {
  // It drops all but the first seven by itself, but for one thread of QEMU's libraries, which is there before: what that one lacks from the start nobody can take from it.
  const kept = ["chown", "dac_override", "fowner", "fsetid", "setgid", "setuid", "setfcap", "setpcap", "sys_admin"];
  const bounded = ["/usr/bin/setpriv", `--bounding-set=${["-all", ...kept.map((name) => `+${name}`)].join(",")}`];
  return path === SEPARATE_VIRTIOFSD
    ? [
        ...bounded,
        ...[path, "--xattr", "--announce-submounts", "--cache=auto", "--sandbox=namespace"],
        ...["--modcaps=-mknod", "--rlimit-nofile=0"],
      ]
    : [
        ...bounded,
        path,
        "-o",
        "xattr",
        "-o",
        "announce_submounts",
        "-o",
        "cache=auto",
        "-o",
        "modcaps=-mknod",
        "-o",
        "log_level=warn",
        "--rlimit-nofile=0",
      ];
}

function find(places: readonly string[], what: string, hint: string): string {
  const found = places.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new RktError(
    "HOST_PROGRAM",
    `Cannot find ${what} on this host: there is no ${places.map(quoted).join(" or ")}`,
    { hint },
  );
}

/** The frequency of the host's time-stamp counter, which an emulated processor has too (guest/init.c). Undefined where it cannot be measured: then the guest finds out by itself. */
export function kilohertz(guest: string): number | undefined {
  const { stdout } = spawnSync(guest, ["frequency"], { encoding: "utf8", env: {} });
  const text = (stdout ?? "").trim();
  return /^[1-9][0-9]{4,8}$/.test(text) ? Number(text) : undefined;
}
