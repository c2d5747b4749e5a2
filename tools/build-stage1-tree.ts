/** Chooses, from unpacked Debian packages, the programs of the nspawn image and every library that they need. Merged /usr: /bin, /lib and friends are links. */

import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { put, putText, type Tree } from "./build-stage1-aci.ts";
import { DEBIAN_ARCH, type PackageList, type UnpackedPackages } from "./build-stage1-debian.ts";
import { elfNeeds } from "./build-stage1-elf.ts";

const MULTIARCH = DEBIAN_ARCH === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";

/** What the images' own code must know about the machine: where the loader and the libraries are (stage1/nspawn/supervisor.ts reads the same paths). */
const LIBRARY_DIRS = [`usr/lib/${MULTIARCH}`, `usr/lib/${MULTIARCH}/systemd`];

/** What a shell script in the pod may call; each is a link to the one static busybox. */
const APPLETS = ["sh", "cat", "chmod", "kill", "ln", "mount", "rm", "sleep"];

/** systemd, with the libraries that it needs. */
export function putSystemd(tree: Tree, list: PackageList, packages: UnpackedPackages): void {
  for (const program of list.programs) putProgram(tree, packages.root, program);
}

/** What the pod's own scripts need, whoever's systemd runs them. */
export function putShell(tree: Tree, packages: UnpackedPackages): void {
  for (const link of ["bin", "sbin", "lib"]) put(tree, link, { kind: "link", target: `usr/${link}` });
  put(tree, "lib64", { kind: "link", target: "usr/lib64" });
  putFile(tree, packages.root, "usr/bin/busybox", "usr/bin/busybox");
  for (const applet of APPLETS) put(tree, `usr/bin/${applet}`, { kind: "link", target: "busybox" });
  const versions = packages.versions.filter((line) => !line.startsWith("linux-image-"));
  putText(tree, "usr/share/rkt/packages", `${versions.join("\n")}\n`);
}

function putProgram(tree: Tree, root: string, path: string): void {
  const needs = putFile(tree, root, path, path);
  if (needs.interpreter !== undefined) putLoader(tree, root, needs.interpreter);
  for (const library of needs.needed) putLibrary(tree, root, library, needs.runPath);
}

function putLibrary(tree: Tree, root: string, name: string, runPath: string[]): void {
  const dirs = [...runPath.map((dir) => dir.replace(/^\//, "")), ...LIBRARY_DIRS];
  if (dirs.some((dir) => tree.has(`${dir}/${name}`))) return;
  const dir = dirs.find((candidate) => locate(root, `${candidate}/${name}`) !== undefined);
  if (dir === undefined) throw new Error(`no package of tools/build-stage1-packages.json has library ${name}`);
  const needs = putFile(tree, root, `${dir}/${name}`, `${dir}/${name}`);
  for (const other of needs.needed) putLibrary(tree, root, other, needs.runPath);
}

/** The loader under the name that programs have, and at a path that does not depend on the machine, for starting systemd-nspawn outside. */
function putLoader(tree: Tree, root: string, interpreter: string): void {
  const path = `usr${interpreter}`;
  if (tree.has(path)) return;
  putFile(tree, root, `usr/lib/${MULTIARCH}/${basename(interpreter)}`, path);
  put(tree, `usr/lib/${MULTIARCH}/${basename(interpreter)}`, {
    kind: "link",
    target: `../../${path.replace(/^usr\//, "")}`,
  });
  put(tree, "usr/lib/rkt/loader", { kind: "link", target: `../../${path.replace(/^usr\//, "")}` });
  for (const [index, dir] of LIBRARY_DIRS.entries())
    put(tree, `usr/lib/rkt/libraries/${index}`, { kind: "link", target: `../../../${dir.replace(/^usr\//, "")}` });
}

function putFile(
  tree: Tree,
  root: string,
  from: string,
  to: string,
): { needed: string[]; runPath: string[]; interpreter: string | undefined } {
  const file = locate(root, from);
  if (file === undefined) throw new Error(`no package of tools/build-stage1-packages.json has ${from}`);
  const content = readFileSync(file);
  put(tree, to, { kind: "file", mode: (statSync(file).mode & 0o111) === 0 ? 0o644 : 0o755, content });
  return elfNeeds(content) ?? { needed: [], runPath: [], interpreter: undefined };
}

/** Packages of Debian 12 install part of their files without the leading usr/. */
function locate(root: string, path: string): string | undefined {
  for (const candidate of [path, path.replace(/^usr\//, "")]) {
    const file = join(root, candidate);
    if (existsSync(file)) return realpathSync(file);
  }
  return undefined;
}
