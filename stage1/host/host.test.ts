import { describe, expect, test } from "bun:test";
import { checkVersion } from "./host-systemd.ts";
import { dlopenNotes, listed } from "./libraries.ts";

describe("the host's systemd", () => {
  test("is refused when it cannot run a pod", () => {
    expect(() => checkVersion("/usr/bin/systemd-nspawn", 250, false)).toThrow("rkt needs systemd-nspawn >= 251.");
    expect(() => checkVersion("/usr/bin/systemd-nspawn", 257, true)).toThrow(
      "does not support this host's cgroup v1 controllers",
    );
    for (const [version, v1] of [
      [251, true],
      [255, true],
      [257, false],
    ] as const)
      expect(() => checkVersion("/usr/bin/systemd-nspawn", version, v1)).not.toThrow();
  });

  test("its libraries are those that the loader lists", () => {
    const text =
      "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f12)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f13)\n\tlibno.so => not found\n";
    expect(listed(text)).toEqual(["/lib/x86_64-linux-gnu/libc.so.6"]);
  });

  test("and those that its notes name", () => {
    const note = (priority: string, soname: string) =>
      Buffer.from(`FDO\0[{"feature":"x","description":"d","priority":"${priority}","soname":["${soname}"]}]\0`);
    expect(dlopenNotes(Buffer.concat([note("required", "libmount.so.1"), note("suggested", "libbpf.so.1")]))).toEqual([
      ["libmount.so.1"],
      [],
    ]);
  });
});
