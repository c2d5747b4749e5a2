import { describe, expect, test } from "bun:test";
import { base256, END, gnuLong, memberBytes, paxHeader, tar } from "../../../tests/harness/tar-builder.ts";
import { RktError } from "../../core/errors.ts";
import { fromText, toBytes } from "./bytes.ts";
import type { TarEntry } from "./entry.ts";
import { tarReader } from "./reader.ts";

interface Read extends TarEntry {
  content: Buffer;
}

/** Reads an archive in chunks of `step` bytes; a file's content has its holes filled with dots. */
function read(archive: Buffer, step = archive.length): Read[] {
  const entries: Read[] = [];
  const reader = tarReader({
    entry: (entry) => void entries.push({ ...entry, content: Buffer.alloc(Math.min(entry.size, 1 << 20), ".") }),
    data: (bytes, offset) => void bytes.copy(entries.at(-1)?.content ?? Buffer.alloc(0), offset),
    end: () => {},
  });
  for (let start = 0; start < archive.length; start += step) reader.push(archive.subarray(start, start + step));
  reader.finish();
  return entries;
}

function failure(archive: Buffer): RktError {
  try {
    read(archive);
  } catch (error) {
    if (error instanceof RktError) return error;
    throw error;
  }
  throw new Error("the archive was accepted");
}

const latin1 = (text: string) => Buffer.from(text, "latin1");

describe("tarReader() reads", () => {
  test("every type of entry, with owner, mode and time, whatever the size of the chunks", () => {
    const archive = tar(
      { name: "dir/", mode: 0o1777, uid: 7, gid: 8, mtime: 12 },
      { name: "dir/file", mode: 0o4755, data: "x".repeat(1500) },
      { name: "empty" },
      { name: "soft", type: "2", link: "dir/file" },
      { name: "hard", type: "1", link: "dir/file", size: 77 },
      { name: "null", type: "3", major: 1, minor: 3 },
      { name: "disk", type: "4", major: 8, minor: 1 },
      { name: "pipe", type: "6" },
      { name: "old-directory/", type: "\0", magic: "v7" },
      { name: "contiguous", type: "7", data: "c" },
    );
    const expected = read(archive);
    expect(expected.map(({ name, type }) => `${type} ${name}`)).toEqual([
      "directory dir/",
      "file dir/file",
      "file empty",
      "symlink soft",
      "hardlink hard",
      "char null",
      "block disk",
      "fifo pipe",
      "directory old-directory/",
      "file contiguous",
    ]);
    expect(expected[0]).toMatchObject({ mode: 0o1777, uid: 7, gid: 8, mtime: { seconds: 12, nanoseconds: 0 } });
    expect(expected[1]?.content.toString()).toBe("x".repeat(1500));
    expect(expected[5]).toMatchObject({ major: 1, minor: 3 });
    for (const step of [1, 7, 511, 512, 513, 4096]) expect(read(archive, step)).toEqual(expected);
  });

  test("names as bytes", () => {
    const name = Buffer.from([0x61, 0xff, 0xfe, 0x62]);
    const [plain, pax] = read(tar({ name }, { name: "x", pax: { path: name, linkpath: name }, type: "2" }));
    expect(toBytes(plain?.name ?? "")).toEqual(name);
    expect(toBytes(pax?.name ?? "")).toEqual(name);
    expect(toBytes(pax?.link ?? "")).toEqual(name);
  });

  test("long names in all forms", () => {
    const long = `${"d".repeat(90)}/${"e".repeat(90)}/f`;
    const entries = read(
      tar(
        { name: "f", prefix: "a/b" },
        gnuLong("L", long),
        gnuLong("K", `${long}k`),
        { name: "cut", type: "2", link: "cut", magic: "gnu" },
        { name: "cut", pax: { path: `${long}p` } },
        { name: "gnu-has-no-prefix", magic: "gnu", prefix: "ignored" },
      ),
    );
    expect(entries.map((entry) => entry.name)).toEqual(["a/b/f", long, `${long}p`, "gnu-has-no-prefix"]);
    expect(entries[1]?.link).toBe(`${long}k`);
  });

  test("base-256 numbers, negative times too", () => {
    const patch = (header: Buffer) => {
      header.set(base256(3_000_000_000n, 8), 108);
      header.set(base256(-5n, 12), 136);
    };
    expect(read(tar({ name: "f", patch }))[0]).toMatchObject({ uid: 3_000_000_000, mtime: { seconds: -5 } });
  });

  test("pax records: nanoseconds, ids, attributes with binary values; global ones until taken back", () => {
    const value = Buffer.from([0, 1, 0x0a, 0xff]);
    const entries = read(
      tar(
        paxHeader({ uid: "5", mtime: "1.5", comment: "ignored" }, "g"),
        {
          name: "a",
          pax: [
            ["SCHILY.xattr.user.b", value],
            ["gid", "99"],
            ["mtime", "-1.25"],
          ],
        },
        { name: "b", pax: { uid: "" } },
        { name: "c" },
      ),
    );
    expect(entries[0]).toMatchObject({ uid: 5, gid: 99, mtime: { seconds: -2, nanoseconds: 750_000_000 } });
    expect(entries[0]?.xattrs).toEqual([{ name: "user.b", value }]);
    expect(entries[1]).toMatchObject({ uid: 0, xattrs: [], mtime: { seconds: 1, nanoseconds: 500_000_000 } });
    expect(entries[2]?.uid).toBe(5);
  });

  test("sparse files in all four forms", () => {
    const oldGnu = (header: Buffer) => {
      header.write("00000000002\0", 386);
      header.write("00000000003\0", 398);
      header.write("00000000012\0", 483);
    };
    const entries = read(
      tar(
        { name: "old", type: "S", magic: "gnu", data: "abc", patch: oldGnu },
        {
          name: "0.0",
          data: "abc",
          pax: [
            ["GNU.sparse.size", "10"],
            ["GNU.sparse.numblocks", "2"],
            ["GNU.sparse.offset", "0"],
            ["GNU.sparse.numbytes", "1"],
            ["GNU.sparse.offset", "8"],
            ["GNU.sparse.numbytes", "2"],
          ],
        },
        {
          name: "GNUSparseFile.0/x",
          data: "abc",
          pax: { "GNU.sparse.size": "10", "GNU.sparse.name": "0.1", "GNU.sparse.map": "1,2,5,1" },
        },
        {
          name: "GNUSparseFile.0/y",
          data: Buffer.concat([latin1("2\n1\n2\n5\n1\n".padEnd(512, "\0")), latin1("abc")]),
          pax: {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "1.0",
            "GNU.sparse.realsize": "10",
          },
        },
        { name: "after", data: "z" },
      ),
    );
    expect(entries.map(({ name, size, content }) => [name, size, content.toString()])).toEqual([
      ["old", 10, "..abc....."],
      ["0.0", 10, "a.......bc"],
      ["0.1", 10, ".ab..c...."],
      ["1.0", 10, ".ab..c...."],
      ["after", 1, "z"],
    ]);
  });

  test("up to the first zero block, and nothing behind it", () => {
    expect(read(Buffer.concat([tar({ name: "a" }), memberBytes({ name: "b" }), latin1("garbage")]))).toHaveLength(1);
    expect(read(Buffer.concat([memberBytes({ name: "a" })]))).toHaveLength(1);
    expect(read(memberBytes({ name: "a", data: "x" }).subarray(0, 513))[0]?.content.toString()).toBe("x");
    expect(read(END)).toHaveLength(0);
    expect(read(Buffer.alloc(0))).toHaveLength(0);
  });
});

describe("tarReader() refuses", () => {
  const cases: [string, Buffer, string][] = [
    ["a wrong checksum", tar({ name: "a", checksum: 1 }), "checksum is wrong"],
    ["noise", Buffer.alloc(1024, 0xa5), "a header"],
    ["a cut header", memberBytes({ name: "a" }).subarray(0, 300), "truncated"],
    ["cut data", memberBytes({ name: "a", data: "x".repeat(900) }).subarray(0, 1024), "truncated"],
    ["an extended header without an entry", Buffer.concat([paxHeader({ path: "x" }), END]), "has no entry"],
    ["an extended header at the very end", paxHeader({ path: "x" }), "truncated"],
    ["a huge extended header", tar({ name: "x", type: "x", size: 2 ** 31 }), "an extended header has 2147483648 bytes"],
    ["a huge long name", tar({ name: "x", type: "L", magic: "gnu", size: 2 ** 24 }), "an extended header has"],
    ["a name over PATH_MAX", tar({ name: "x", pax: { path: "n".repeat(4096) } }), "a name has 4096 bytes"],
    ["a name with NUL", tar({ name: "x", pax: { path: "a\0b" } }), "NUL"],
    [
      "a malformed record",
      tar({ name: "PaxHeader", type: "x", data: "99 path=x\n" }, { name: "a" }),
      "record is malformed",
    ],
    [
      "a record of no length",
      tar({ name: "PaxHeader", type: "x", data: "0 path=x\n" }, { name: "a" }),
      "record is malformed",
    ],
    ["a size that is no number", tar({ name: "a", pax: { size: "-1" } }), "is not a number"],
    ["a negative size", tar({ name: "a", patch: (h) => void h.set(base256(-1n, 12), 124) }), "size is negative"],
    ["a size beyond counting", tar({ name: "a", patch: (h) => void h.set(base256(2n ** 70n, 12), 124) }), "too large"],
    ["uid -1", tar({ name: "a", pax: { uid: "4294967295" } }), "an owner that no system has"],
    ["an unknown type", tar({ name: "a", type: "M" }), "of a type that is not known"],
    [
      "a sparse map out of order",
      tar({ name: "a", data: "ab", pax: { "GNU.sparse.size": "9", "GNU.sparse.map": "5,1,2,1" } }),
      "out of order",
    ],
    [
      "a sparse map out of bounds",
      tar({ name: "a", data: "ab", pax: { "GNU.sparse.size": "3", "GNU.sparse.map": "2,2" } }),
      "out of bounds",
    ],
    [
      "a sparse map for other data",
      tar({ name: "a", data: "ab", pax: { "GNU.sparse.size": "9", "GNU.sparse.map": "2,1" } }),
      "does not match",
    ],
    [
      "a sparse map that is endless",
      tar({
        name: "a",
        data: "9999999\n".padEnd(512, "0"),
        pax: { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1" },
      }),
      "too long",
    ],
    ["sparse version 2", tar({ name: "a", pax: { "GNU.sparse.major": "2" } }), "not known"],
  ];
  test.each(cases)("%s", (_what, archive, message) => {
    const error = failure(archive);
    expect(error.code).toBe("INVALID_INPUT");
    expect(error.message).toContain(message);
  });

  test("every cut of an archive inside an entry", () => {
    const archive = Buffer.concat([memberBytes({ name: "a", data: "x".repeat(600), pax: { mtime: "1" } })]);
    const padding = 1024 - 600;
    for (let length = 1; length < archive.length - padding; length += 1) {
      // Between two members an archive without end mark is accepted, as by GNU tar and Go.
      expect(() => read(archive.subarray(0, length))).toThrow("truncated");
    }
  });

  test("names the entry without control characters", () => {
    const error = failure(tar({ name: fromText("evil\u001b[2J"), type: "M" }));
    expect(error.message).toContain("evil\\x1b");
  });
});
