/**
 * A data directory as rkt 1.30 left it, laid out file by file: store, trees, and pods in every state. The images are real archives; the trees are unpacked by tar and the pods' changes made through real
 * overlays, so that whiteouts and opaque marks are those of the kernel. Needs root.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { rktGroup } from "../../src/host/accounts.ts";
import { buildAci } from "./images.ts";
import { killAtEnd, runProgram } from "./temporary.ts";

export type Rkt1State = "embryo" | "prepare" | "prepared" | "run" | "exited-garbage" | "garbage";

export interface Rkt1Image {
  /** `sha512-` and 64 digits. */
  readonly id: string;
  readonly tree: string;
  readonly manifest: Record<string, unknown> & { name: string };
}

export interface Rkt1PodOptions {
  readonly state?: Rkt1State;
  /** The app's image; the app is called like the last part of its name. */
  readonly image: Rkt1Image;
  readonly stage1: Rkt1Image;
  /** A shell script that runs in the app's root, as the app did. */
  readonly changes?: string;
  /** The status that the reaper wrote. */
  readonly status?: number;
  /** False: copied trees, as with --no-overlay. */
  readonly overlay?: boolean;
  /** True: the overlays are still mounted, as after a pod's end and before the next boot. */
  readonly mounted?: boolean;
  /** Files of the pod's directory besides (`netns`, `net/…`). */
  readonly files?: Readonly<Record<string, string>>;
}

export interface Rkt1Directory {
  readonly dir: string;
  /** Imports an ACI (compressed or not) as `rkt fetch` did; rendered too. */
  image(aci: string, options?: { rendered?: boolean }): Rkt1Image;
  /** Makes a pod and returns its UUID. */
  pod(options: Rkt1PodOptions): string;
  podDir(state: Rkt1State, uuid: string): string;
}

/** rkt 1.x's tmpfiles.d/rkt.conf. */
const MODES: Readonly<Record<string, number>> = {
  "": 0o2750,
  tmp: 0o2750,
  locks: 0o2750,
  pods: 0o2750,
  "pods/embryo": 0o2750,
  "pods/prepare": 0o2750,
  "pods/prepared": 0o2750,
  "pods/run": 0o2750,
  "pods/exited-garbage": 0o2750,
  "pods/garbage": 0o2750,
  cas: 0o2770,
  "cas/db": 0o2770,
  "cas/blob": 0o2770,
  "cas/imageManifest": 0o2770,
  "cas/imagelocks": 0o2770,
  "cas/tmp": 0o2770,
  "cas/tree": 0o2700,
  "cas/treestorelocks": 0o2700,
};

export function layOutRkt1(dir: string): Rkt1Directory {
  const group = rktGroup() ?? 0;
  for (const [path, mode] of Object.entries(MODES)) {
    mkdirSync(join(dir, path), { recursive: true });
    chownSync(join(dir, path), 0, group);
    chmodSync(join(dir, path), mode);
  }
  put(dir, "locks/prepareLock", "", 0o640);
  // Never read: a ql database, and its write-ahead log.
  put(dir, "cas/db/ql.db", "QL\x00\x01 not a database that anybody here reads", 0o660);
  put(dir, "cas/db/.34a8b4c1ad933746145fdbfef3073706ee571625", "", 0o660);
  return {
    dir,
    podDir: (state, uuid) => join(dir, "pods", state, uuid),
    image: (aci, options = {}) => importAci(dir, group, aci, options.rendered ?? true),
    pod: (options) => makePod(dir, options),
  };
}

function importAci(dir: string, group: number, aci: string, rendered: boolean): Rkt1Image {
  const bytes = readFileSync(aci);
  const tar = bytes[0] === 0x1f ? gunzipSync(bytes) : bytes;
  const id = `sha512-${sha512(tar).slice(0, 64)}`;
  const place = join("sha512", id.slice(7, 9), id);
  const blob = put(dir, join("cas/blob", place), tar, 0o660, group);
  // A year ago.
  const then = new Date(Date.now() - 365 * 24 * 3600 * 1000);
  utimesSync(blob, then, then);
  const manifest = runProgram(["tar", "-xOf", blob, "manifest"]);
  put(dir, join("cas/imageManifest", place), manifest, 0o660, group);
  put(dir, join("cas/imagelocks", id), "", 0o660, group);
  const tree = `deps-sha512-${sha512(id).slice(0, 64)}`;
  if (rendered) {
    const root = join(dir, "cas/tree", tree);
    mkdirSync(root, { mode: 0o700 });
    runProgram(["tar", "--numeric-owner", "-xpf", blob, "-C", root]);
    put(dir, join("cas/treestorelocks", tree), "", 0o600);
    for (const [name, text] of Object.entries({ image: id, hash: `sha512-${"0".repeat(128)}`, rendered: "" }))
      put(root, name, text, 0o644);
  }
  return { id, tree, manifest: JSON.parse(manifest) };
}

function makePod(dir: string, options: Rkt1PodOptions): string {
  const { image, stage1, state = "run", overlay = true } = options;
  const uuid = crypto.randomUUID();
  const pod = join(dir, "pods", state, uuid);
  mkdirSync(pod, { recursive: true, mode: 0o750 });
  if (state === "embryo") return uuid;
  const app = nameOf(image);
  const exec = (image.manifest["app"] as { exec?: string[] } | undefined)?.exec ?? ["/bin/sh"];
  put(pod, "pod-created", "", 0o640);
  put(pod, "stage1/manifest", JSON.stringify(stage1.manifest), 0o640);
  put(pod, "stage1TreeStoreID", stage1.tree, 0o640);
  put(pod, `appsinfo/${app}/manifest`, JSON.stringify(image.manifest), 0o640);
  if (overlay) {
    put(pod, "overlay-prepared", "", 0o640);
    put(pod, `appsinfo/${app}/treeStoreID`, image.tree, 0o640);
  }
  mkdirSync(join(pod, "stage1/rootfs"), { recursive: true, mode: 0o755 });
  if (state !== "prepare") put(pod, "pod", JSON.stringify(podManifest(app, image, exec)), 0o640);
  if (["run", "exited-garbage", "garbage"].includes(state)) runOnce(dir, pod, app, options);
  for (const [path, text] of Object.entries(options.files ?? {})) put(pod, path, text, 0o644);
  return uuid;
}

/** What a start, the apps and the reaper left. */
function runOnce(dir: string, pod: string, app: string, options: Rkt1PodOptions): void {
  const { image, stage1, overlay = true } = options;
  const s1 = join(pod, "stage1/rootfs");
  const appRoot = join(s1, "opt/stage2", app, "rootfs");
  const trees = join(dir, "cas/tree");
  if (overlay) mountOverlay(join(trees, stage1.tree, "rootfs"), join(pod, "overlay", stage1.tree), "", s1);
  else runProgram(["cp", "--archive", `${trees}/${stage1.tree}/rootfs/.`, s1]);
  mkdirSync(appRoot, { recursive: true });
  if (overlay) mountOverlay(join(trees, image.tree, "rootfs"), join(pod, "overlay", image.tree), app, appRoot);
  else runProgram(["cp", "--archive", `${trees}/${image.tree}/rootfs/.`, appRoot]);
  put(s1, `opt/stage2/${app}/manifest`, JSON.stringify(image.manifest), 0o644);
  put(s1, `rkt/env/${app}`, "AC_APP_NAME=x\n", 0o644);
  put(s1, `rkt/status/${app}-created`, "", 0o644);
  put(s1, `rkt/status/${app}-started`, "", 0o644);
  if (options.status !== undefined) put(s1, `rkt/status/${app}`, String(options.status), 0o644);
  symlinkSync("ready", join(s1, "rkt/supervisor-status"));
  for (const place of [s1, pod]) symlinkSync("coreos", join(place, "flavor"));
  put(s1, "systemd-version", "v233", 0o644);
  if (options.changes !== undefined) runProgram(["chroot", appRoot, "/bin/sh", "-euc", options.changes]);
  put(pod, "ppid", "999999\n", 0o644);
  put(pod, "runtime-config", JSON.stringify({ Hostname: "", Debug: false, Mutable: false, NetList: "default" }), 0o644);
  mkdirSync(join(pod, "sharedVolumes"), { mode: 0o755 });
  if (!overlay || options.mounted === true) return;
  runProgram(["umount", appRoot]);
  runProgram(["umount", s1]);
}

/** As rkt 1.x mounted: stage1 uses the bare directories, apps add their name. */
function mountOverlay(lower: string, overlay: string, app: string, target: string): void {
  const [upper, work] = [join(overlay, "upper", app), join(overlay, "work", app)];
  for (const path of [upper, work]) mkdirSync(path, { recursive: true, mode: 0o755 });
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  runProgram(["mount", "-t", "overlay", "overlay", "-o", options, target], {
    env: { LIBMOUNT_FORCE_MOUNT2: "always" },
  });
}

function podManifest(app: string, image: Rkt1Image, exec: readonly string[]): object {
  return {
    acVersion: "0.8.11",
    acKind: "PodManifest",
    apps: [
      {
        name: app,
        image: { name: image.manifest.name, id: image.id, labels: image.manifest["labels"] },
        app: { exec, user: "0", group: "0" },
      },
    ],
    volumes: null,
    isolators: null,
    annotations: null,
    ports: [],
  };
}

/** The app's name. */
export function nameOf(image: Rkt1Image): string {
  return image.manifest.name.slice(image.manifest.name.lastIndexOf("/") + 1);
}

/** The supervisor of a running pod: holds the lock of its directory. Comes back when it has it. */
export async function supervise(podDir: string): Promise<ChildProcess> {
  const child = spawn("flock", ["--exclusive", "--no-fork", podDir, "sh", "-c", "echo locked; exec sleep 1000"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  killAtEnd(child);
  await new Promise((locked) => child.stdout?.once("data", locked));
  writeFileSync(join(podDir, "ppid"), `${child.pid}\n`);
  return child;
}

/** A stage1 as rkt 1.30's were, except that its programs are shell scripts: they note in `log` how they were called. Interface version 6. */
export function buildRkt1Stage1(aci: string, log: string, gc = "exit 0"): void {
  const note = (name: string) => `#!/bin/sh\necho "${name} $* in $(basename "$PWD")" >> ${log}\n`;
  const annotation = (name: string, value: string) => ({ name: `coreos.com/rkt/stage1/${name}`, value });
  buildAci(
    aci,
    {
      name: "coreos.com/rkt/stage1-coreos",
      labels: [
        { name: "version", value: "1.30.0" },
        { name: "os", value: "linux" },
        { name: "arch", value: process.arch === "arm64" ? "aarch64" : "amd64" },
      ],
      app: null,
      annotations: [
        annotation("run", "/bin/init"),
        annotation("enter", "/bin/enter"),
        annotation("gc", "/bin/gc"),
        annotation("stop", "/bin/stop"),
        annotation("interface-version", "6"),
      ],
    },
    {
      "bin/gc": `${note("gc")}test -e stage1/rootfs/usr/lib/rkt/plugins/net/ptp && echo plugins >> ${log}\n${gc}\n`,
      "bin/stop": `${note("stop")}kill "$(cat ppid)"\n`,
      "bin/enter": note("enter"),
      "bin/init": note("run"),
      "usr/lib/rkt/plugins/net/ptp": "#!/bin/sh\n",
    },
    { busybox: false },
  );
}

function put(root: string, path: string, content: string | Uint8Array, mode: number, group?: number): string {
  const file = join(root, path);
  if (mkdirSync(dirname(file), { recursive: true }) !== undefined && path.startsWith("cas/")) {
    for (const part of [dirname(file), dirname(dirname(file))]) chmodSync(part, 0o2770);
  }
  writeFileSync(file, content);
  chmodSync(file, mode);
  if (group !== undefined) chownSync(file, 0, group);
  return file;
}

function sha512(data: string | Uint8Array): string {
  return createHash("sha512").update(data).digest("hex");
}
