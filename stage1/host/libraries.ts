/** The shared libraries that a program of the host needs, as the host's own loader finds them. */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { RktError } from "../../src/core/errors.ts";
import { output } from "./program-output.ts";

const LOADERS = process.arch === "arm64" ? ["/lib/ld-linux-aarch64.so.1"] : ["/lib64/ld-linux-x86-64.so.2"];

/** Absolute paths, the loader's own included. `--list` (ld.so(8)) runs nothing of the program. */
export function neededLibraries(program: string): string[] {
  const loader = LOADERS.find((path) => existsSync(path));
  if (loader === undefined) throw new RktError("HOST_PROGRAM", "Cannot find the host's program loader (ld.so(8))");
  return [loader, ...listed(output([loader, "--list", program]))];
}

/** Pure: the paths of lines like `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f…)`. */
export function listed(text: string): string[] {
  return [...text.matchAll(/^\s*\S+ => (\/\S+) \(0x[0-9a-f]+\)$/gm)].flatMap(([, path]) => path ?? []);
}

/**
 * Libraries that systemd opens while it runs, since 256, and says so in notes of its own libraries (the "ELF dlopen metadata" specification, section
 * .note.dlopen: a JSON array). What is merely "suggested" is left out.
 */
export function openedLibraries(libraries: readonly string[]): string[] {
  const directories = [...new Set(libraries.map((path) => dirname(path)))];
  return libraries
    .filter((path) => path.includes("/libsystemd-"))
    .flatMap((path) => dlopenNotes(readFileSync(path)))
    .flatMap((names) => directories.flatMap((directory) => names.map((name) => join(directory, name))))
    .filter((path) => existsSync(path))
    .flatMap((path) => [path, ...neededLibraries(path)]);
}

/** Pure: the file names in a library's notes. */
export function dlopenNotes(library: Buffer): string[][] {
  const text = library.toString("latin1");
  return [...text.matchAll(/\[\{"feature":[^\0]*?\}\]/g)].map(([json]) => {
    const notes: unknown = JSON.parse(json);
    return Array.isArray(notes) ? notes.flatMap(sonames) : [];
  });
}

function sonames(note: unknown): string[] {
  if (typeof note !== "object" || note === null || !("soname" in note) || !Array.isArray(note.soname)) return [];
  if ("priority" in note && note.priority === "suggested") return [];
  return note.soname.filter((name: unknown): name is string => typeof name === "string" && /^[\w.+-]+$/.test(name));
}
