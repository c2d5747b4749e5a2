/** What the guest's first program does for this pod besides what it does for every pod (guest/plan.c reads it). Pure. */

import {
  type PodManifest,
  parseQuantity,
  quantityUnits,
  sysctlFile,
  type TmpfsVolume,
} from "../../src/spec/appc/mod.ts";
import { appMounts } from "../common/mounts.ts";
import type { DevOptions } from "../nspawn/dev.ts";
import type { PodApp } from "../nspawn/prepare-apps.ts";
import type { GuestLink } from "./link.ts";

/** A line of words; what is no plain character is written as %XX. */
function line(...words: readonly (string | number)[]): string {
  const encoded = words.map((word) =>
    [...Buffer.from(String(word), "utf8")]
      .map((byte) => {
        const character = String.fromCharCode(byte);
        return /[A-Za-z0-9/._:,=+@-]/.test(character) ? character : `%${byte.toString(16).padStart(2, "0")}`;
      })
      .join(""),
  );
  return `${encoded.join(" ")}\n`;
}

/** Kernel settings, before /proc/sys becomes read-only. */
export function settingLines(settings: readonly (readonly [name: string, value: string])[]): string {
  return settings.map(([name, value]) => line("set", sysctlFile(name), value)).join("");
}

export function linkLines(links: readonly GuestLink[]): string {
  return links
    .flatMap(({ name, mac, mtu, addresses, routes }) => [
      line("link", mac, name, mtu),
      ...addresses.map((address) => line("address", name, address)),
      ...routes.map(({ to, gateway, source, metric }) =>
        line("route", name, to, gateway ?? "-", source ?? "-", metric),
      ),
    ])
    .join("");
}

/**
 * The mounts of the apps that are the guest's own: devices, memory, and on top of those the volumes that the host has
 * mounted in its root already. A volume that is read-only is so on the host; here it is shown as such.
 */
export function mountLines(manifest: PodManifest, apps: readonly PodApp[], dev: Pick<DevOptions, "journal">): string {
  const count = { next: 0 };
  return apps.map((app) => appLines(manifest, app, dev, count)).join("");
}

function appLines(
  manifest: PodManifest,
  { unit, mounts: { readOnlyRoot, volumes: opened, writable } }: PodApp,
  dev: Pick<DevOptions, "journal">,
  count: { next: number },
): string {
  const { runtimeApp } = unit;
  const volumes = appMounts(manifest, runtimeApp, true).mounts;
  const isDirectory = new Map(opened.map(({ target, open }) => [target, open.isDirectory]));
  const shared = volumes.filter(({ volume }) => volume.kind !== "tmpfs");
  const places = [
    ...shared.map(({ target, readOnly }) => ({ target, readOnly })),
    ...writable.map((target) => ({ target, readOnly: false })),
  ];
  const numbers = new Map(places.map(({ target }) => [target, count.next++]));
  const memory = volumes.flatMap((one) => (one.volume.kind === "tmpfs" ? [{ ...one, volume: one.volume }] : []));
  /** Guest's own file systems, where nothing of the host's is seen. */
  const own = ["/dev", ...memory.map(({ target }) => target)];
  const make = (target: string, kind: "d" | "f") => {
    const base = own.filter((one) => target.startsWith(`${one}/`)).sort((a, b) => b.length - a.length)[0];
    if (base === undefined) return [];
    const parts = target.slice(base.length + 1).split("/");
    return parts.map((_, index) =>
      line("make", index === parts.length - 1 ? kind : "d", `${base}/${parts.slice(0, index + 1).join("/")}`),
    );
  };
  return [
    line("app", `/opt/stage2/${runtimeApp.name}/rootfs`),
    ...places.map(({ target }) => line("take", numbers.get(target) ?? 0, target)),
    line("dev", "console", ...(dev.journal === undefined ? [] : [`stdout=${dev.journal}`])),
    ...(readOnlyRoot ? [line("readonly")] : []),
    ...writable.map((target) => line("put", numbers.get(target) ?? 0, target, "rw")),
    ...volumes.flatMap(({ volume, target, readOnly }) => {
      const mode = readOnly ? "ro" : "rw";
      if (volume.kind === "tmpfs")
        return [...make(target, "d"), line("memory", volume.name, target, memoryOptions(volume), mode)];
      return [
        ...make(target, isDirectory.get(target) === false ? "f" : "d"),
        line("put", numbers.get(target) ?? 0, target, mode),
      ];
    }),
  ].join("");
}

/** tmpfs(5). */
function memoryOptions({ size, mode, uid, gid }: TmpfsVolume): string {
  return [
    ...(size === undefined ? [] : [`size=${quantityUnits(parseQuantity(size))}`]),
    `mode=${mode}`,
    `uid=${uid}`,
    `gid=${gid}`,
  ].join(",");
}
