/**
 * The kernel of the kvm image, from Debian's package: uncompressed, as QEMU starts it without firmware decompressing it first (x86/boot.rst; PVH), and an initramfs of our own
 * (initramfs-buffer-format.rst): the guest program and the drivers that it loads, and nothing else.
 */

import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { put, putText, type Tree } from "./build-stage1-aci.ts";
import type { UnpackedPackages } from "./build-stage1-debian.ts";

/** Drivers by the list in which init.c looks for them; what they depend on comes before them. */
const DRIVERS = {
  mmio: ["virtio_mmio", "virtio_console", "virtiofs"],
  pci: ["virtio_pci", "virtio_console", "virtiofs"],
  net: ["virtio_net"],
  tun: ["tun"],
};

export function putKernel(tree: Tree, packages: UnpackedPackages, guest: Uint8Array): void {
  const [version] = readdirSync(join(packages.root, "lib/modules"));
  if (version === undefined) throw new Error("the kernel's package has no modules");
  const kernel = uncompressedKernel(readFileSync(join(packages.root, `boot/vmlinuz-${version}`)));
  const modules = join(packages.root, "lib/modules", version, "kernel");
  put(tree, "usr/lib/rkt/kernel/vmlinux", { kind: "file", mode: 0o644, content: kernel });
  put(tree, "usr/lib/rkt/kernel/initrd", { kind: "file", mode: 0o644, content: initramfs(modules, guest) });
  putText(tree, "usr/lib/rkt/kernel/release", `${version}\n`);
}

/** The ELF file in a bzImage (boot.rst: setup_sects, payload_offset, payload_length). Debian's is LZ4; another format is an error of the build. */
export function uncompressedKernel(image: Buffer): Buffer {
  const setupSectors = image[0x1f1] ?? 0;
  const start = (setupSectors + 1) * 512 + image.readUInt32LE(0x248);
  // The kernel's own length follows the payload's last block (4 bytes, part of the length).
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c) - 4);
  const size = image.readUInt32LE(start + payload.length);
  if (payload.readUInt32LE(0) !== 0x184c2102) throw new Error("the kernel is not compressed with LZ4 any more");
  const kernel = legacyLz4(payload, size);
  if (kernel.toString("latin1", 0, 4) !== "\x7fELF") throw new Error("the kernel's package has no ELF kernel in it");
  return kernel;
}

/** The legacy LZ4 frame (lz4_Frame_format.md, "Legacy frame"): a magic number, then blocks, each after its length. */
export function legacyLz4(frame: Buffer, size: number): Buffer {
  const out = Buffer.alloc(size);
  let to = 0;
  for (let from = 4; from + 4 <= frame.length; ) {
    const length = frame.readUInt32LE(from);
    to = lz4Block(frame.subarray(from + 4, from + 4 + length), out, to);
    from += 4 + length;
  }
  if (to !== size) throw new Error(`the kernel is ${to} bytes, expected ${size}`);
  return out;
}

/** lz4_Block_format.md; gives the position after what it wrote. */
function lz4Block(block: Buffer, out: Buffer, start: number): number {
  let from = 0;
  let to = start;
  const more = (first: number) => {
    let length = first;
    if (first !== 15) return length;
    for (let byte = 255; byte === 255; length += byte) byte = block[from++] ?? 0;
    return length;
  };
  while (from < block.length) {
    const token = block[from++] ?? 0;
    const literals = more(token >> 4);
    block.copy(out, to, from, from + literals);
    from += literals;
    to += literals;
    if (from >= block.length) break;
    const offset = block.readUInt16LE(from);
    from += 2;
    const length = more(token & 15) + 4;
    // Byte by byte where it overlaps: the copy is then part of its own source.
    if (offset >= length) out.copyWithin(to, to - offset, to - offset + length);
    else for (let index = 0; index < length; index += 1) out[to + index] = out[to + index - offset] ?? 0;
    to += length;
  }
  return to;
}

function initramfs(modules: string, guest: Uint8Array): Buffer {
  const paths = new Map(
    readdirSync(modules, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ko"))
      .map((path) => [basename(path, ".ko").replaceAll("-", "_"), join(modules, path)]),
  );
  const file = (name: string) => {
    const path = paths.get(name);
    if (path === undefined) throw new Error(`the kernel's package has no driver ${name}`);
    return withoutSignature(readFileSync(path));
  };
  const lists = Object.entries(DRIVERS).map(([list, names]) => [list, withDependencies(names, file)] as const);
  const all = new Set(lists.flatMap(([, names]) => names));
  return archive([
    ...["dev", "pod", "modules"].map((name): Entry => ({ name, mode: 0o40755, content: Buffer.alloc(0) })),
    { name: "init", mode: 0o100755, content: Buffer.from(guest) },
    ...lists.map(([list, names]) => ({
      name: `modules/${list}`,
      mode: 0o100644,
      content: Buffer.from(`${names.join("\n")}\n`),
    })),
    ...[...all].map((name) => ({ name: `modules/${name}.ko`, mode: 0o100644, content: file(name) })),
  ]);
}

/**
 * A driver without the signature at its end (module-signing.rst), which the kernel of a guest would check at each load, for tens of milliseconds under emulation: nobody but our own program loads drivers there, and the image's
 * digest covers them.
 */
export function withoutSignature(driver: Buffer): Buffer {
  const mark = "~Module signature appended~\n";
  const end = driver.length - mark.length;
  if (end < 12 || driver.toString("latin1", end) !== mark) return driver;
  // struct module_signature: 12 bytes, of which the last 4 are the signature's length.
  return driver.subarray(0, end - 12 - driver.readUInt32BE(end - 4));
}

/** Each after all that it needs ("depends=" of its .modinfo section). */
function withDependencies(names: readonly string[], file: (name: string) => Buffer): string[] {
  const ordered: string[] = [];
  const visit = (name: string) => {
    if (ordered.includes(name)) return;
    const depends = /\0depends=([^\0]*)\0/.exec(file(name).toString("latin1"))?.[1] ?? "";
    for (const other of depends.split(",")) if (other !== "") visit(other.replaceAll("-", "_"));
    ordered.push(name);
  };
  for (const name of names) visit(name);
  return ordered;
}

export interface Entry {
  readonly name: string;
  readonly mode: number;
  readonly content: Buffer;
}

/** cpio(5), "New ASCII Format". */
export function archive(entries: readonly Entry[]): Buffer {
  const parts = [...entries, { name: "TRAILER!!!", mode: 0, content: Buffer.alloc(0) }].flatMap(
    ({ name, mode, content }, index) => {
      const fields = [index + 1, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0];
      const head = Buffer.from(
        `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${name}\0`,
        "latin1",
      );
      return [padded(head), padded(content)];
    },
  );
  return Buffer.concat(parts);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
