/** The files that a pod's systemd reads, written into the stage1's root before it starts. */

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { PodFiles } from "../../src/core/data-dir.ts";
import type { PodManifest } from "../../src/spec/appc/mod.ts";
import { appStatusFiles, type RunArguments } from "../../src/stage1-contract/mod.ts";
import { appFiles, UNIT_DIRECTORY } from "./app-files.ts";
import type { NamedLimit } from "./caller-limits.ts";
import { writePolicies } from "./policies.ts";
import type { PodApp } from "./prepare-apps.ts";
import { type AppInput, defaultTarget, readyMark } from "./units.ts";

/** Everything of the stage1's root that says what this pod is: units, accounts, names, the environment of the apps. Throws INVALID_INPUT. */
export function writeUnits(
  files: PodFiles,
  manifest: PodManifest,
  apps: readonly PodApp[],
  run: RunArguments,
  {
    hostname,
    ...how
  }: {
    hostname: string;
    input: AppInput;
    journal: "no" | "too" | "only";
    limits: readonly NamedLimit[];
    /** Device nodes in the stage1's root. */
    disks: readonly string[];
    /** Release of the kernel that the apps run on. */
    kernel: string;
  },
): void {
  const root = files.stage1Rootfs;
  for (const directory of [UNIT_DIRECTORY, "rkt/env", "rkt/memory", "rkt/status"])
    mkdirSync(join(root, directory), { recursive: true, mode: 0o755 });
  writeFileSync(join(root, "etc/hostname"), `${hostname}\n`, { mode: 0o644 });
  writeFileSync(join(root, "etc/machine-id"), `${run.uuid.replaceAll("-", "")}\n`, { mode: 0o444 });
  writeAccounts(root, apps);
  if (run.mutable) writeFileSync(join(root, "rkt/mutable"), "", { mode: 0o644 });
  const options = {
    ...how,
    restarts: writePolicies(root, manifest),
    mutable: run.mutable,
    disableCapabilities: run.disableCapabilitiesRestriction,
    disablePaths: run.disablePaths,
    privateUsers: run.privateUsers !== undefined,
    disableSeccomp: run.disableSeccomp,
  };
  const started = apps.map(({ unit: { runtimeApp, notify } }) => ({ name: runtimeApp.name, notify }));
  writeFileSync(join(root, UNIT_DIRECTORY, "default.target"), defaultTarget(started, run.mutable), { mode: 0o644 });
  const mark = run.mutable ? [] : readyMark(manifest.apps.map((app) => app.name));
  for (const [file, text] of mark) writeFileSync(join(root, UNIT_DIRECTORY, file), text, { mode: 0o644 });
  for (const app of apps) {
    for (const [file, { text, mode }] of appFiles(app, manifest, options)) {
      const path = join(root, file);
      mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
      writeFileSync(path, text, { mode });
    }
    const { created, started } = appStatusFiles(app.unit.runtimeApp.name);
    // Their times count. The app starts a tenth of a second from here, when no code of ours is left to write it down.
    for (const file of [created, started]) writeFileSync(join(root, "rkt/status", file), "", { mode: 0o644 });
  }
}

/** systemd refuses a numeric User= that its own /etc/passwd lacks (status 217); the names here mean nothing to the apps, which see their images' files. */
function writeAccounts(root: string, apps: readonly PodApp[]): void {
  const identities = apps.map((app) => app.unit.identity);
  const users = new Map(identities.filter(({ uid }) => uid !== 0).map(({ uid, gid }) => [uid, gid]));
  const groups = new Set(identities.flatMap(({ gid, groups }) => [gid, ...groups]).filter((gid) => gid !== 0));
  const passwd = [
    "root:x:0:0:root:/root:/bin/sh",
    ...[...users].map(([uid, gid]) => `u${uid}:x:${uid}:${gid}::/:/bin/sh`),
  ];
  const group = ["root:x:0:", ...[...groups].map((gid) => `g${gid}:x:${gid}:`)];
  writeFileSync(join(root, "etc/passwd"), `${passwd.join("\n")}\n`, { mode: 0o644 });
  writeFileSync(join(root, "etc/group"), `${group.join("\n")}\n`, { mode: 0o644 });
}
