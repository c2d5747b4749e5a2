import { describe, expect, test } from "bun:test";
import { scanForManifest } from "./manifest-scan.ts";

/** One tar entry in ustar form. */
function entry(name: string, content: Uint8Array | string, type = "0"): Buffer {
  const body = Buffer.from(content);
  const header = Buffer.alloc(512);
  header.write(name.slice(0, 100), 0);
  header.write("0000644\0", 100);
  header.write(`${body.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("        ", 148);
  header.write(type, 156);
  header.write("ustar\0" + "00", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

/** The entry with its header changed, and the sum put right. */
function withHeader(whole: Buffer, change: (header: Buffer) => void): Buffer {
  const header = whole.subarray(0, 512);
  change(header);
  header.write("        ", 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return whole;
}

const END = Buffer.alloc(1024);

function found(parts: Buffer[], step = 1000): string {
  const scan = scanForManifest();
  const tar = Buffer.concat(parts);
  for (let at = 0; at < tar.length; at += step) scan.feed(tar.subarray(at, at + step));
  return scan.finish().toString();
}

describe("scanForManifest", () => {
  test.each([1, 511, 512, 513, 100_000])("finds it wherever it stands, fed %d bytes at a time", (step) => {
    const others = [entry("rootfs/", "", "5"), entry("rootfs/a", Buffer.alloc(5000, "x"))];
    expect(found([entry("manifest", "{}"), ...others, END], step)).toBe("{}");
    expect(found([...others, entry("./manifest", "{1}"), END], step)).toBe("{1}");
  });
  test("names and sizes from extended headers count", () => {
    const pax = "17 path=manifest\n";
    expect(found([entry("x", pax, "x"), entry("other", "P"), END])).toBe("P");
    expect(found([entry("././@LongLink", "manifest\0", "L"), entry("other", "L"), END])).toBe("L");
  });
  test("what a global header says holds for all entries, until it is taken back, as for the unpacker", () => {
    const globals = entry("x", "17 path=manifest\n", "g");
    expect(found([globals, entry("other", "G"), END])).toBe("G");
    const takenBack = [globals, entry("x", "8 path=\n", "g"), entry("other", "no"), entry("manifest", "M"), END];
    expect(found(takenBack)).toBe("M");
  });
  test("a number may stand behind NULs, as for the unpacker", () => {
    const manifest = entry("manifest", "{}");
    manifest[124] = 0;
    // One "0" is gone from the sum.
    const sum = Number.parseInt(manifest.toString("latin1", 148, 154), 8) - 0x30;
    manifest.write(sum.toString(8).padStart(6, "0"), 148);
    expect(found([manifest, END])).toBe("{}");
  });
  test.each([
    ["ustar without its version", "ustar\x0000"],
    ["another byte behind the magic", "ustar00\x00"],
    ["nearly GNU's", "ustar  1"],
  ])("a prefix counts as for the unpacker: %s", (_what, magic) => {
    const decoy = withHeader(entry("manifest", "decoy"), (header) => {
      header.write(magic, 257, "latin1");
      header.write("rootfs", 345);
    });
    expect(found([decoy, entry("manifest", "{}"), END])).toBe("{}");
  });
  test("star's prefix ends where its times begin, as for the unpacker", () => {
    const star = withHeader(entry("manifest", "{}"), (header) => {
      header.write("/".repeat(131), 345);
      header.write("elsewhere", 476);
      header.write("tar\0", 508);
    });
    expect(found([star, END])).toBe("{}");
  });
  test("GNU's header has times where others have a prefix", () => {
    const gnu = withHeader(entry("manifest", "{}"), (header) => {
      header.write("ustar  \0", 257, "latin1");
      header.write("14000000000", 345, "latin1");
    });
    expect(found([gnu, END])).toBe("{}");
  });
  test("a link or a directory is no manifest, nor is a file of that name elsewhere", () => {
    const decoys = [entry("manifest", "", "2"), entry("manifest", "", "5"), entry("rootfs/manifest", "no")];
    expect(() => found([...decoys, END])).toThrow('holds no file "manifest"');
  });
  test("what is no tar is refused", () => {
    expect(() => found([Buffer.alloc(2048, "garbage")])).toThrow("as a tar file");
    expect(() => found([])).toThrow('holds no file "manifest"');
  });
  test("a manifest beyond 4 MiB is refused by its header alone", () => {
    const header = entry("manifest", Buffer.alloc(5 * 1024 * 1024)).subarray(0, 512);
    expect(() => found([header])).toThrow("expected at most 4194304");
  });
});
