/** The unpacker beside others that are known to be right: GNU tar for archives, the kernel's overlayfs for layers. Needs root (owners, nodes, mounts). */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { linux } from "../../src/host/mod.ts";
import { describeTree } from "../harness/describe-tree.ts";
import { layerDifference } from "../harness/layer-differential.ts";
import { compileDriver, imageId, type RenderStore, renderStore } from "../harness/render-store.ts";

const root = describe.skipIf(process.getuid?.() !== 0);
let base = "";
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "rkt-differential-"));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

function shell(script: string): string {
  const result = spawnSync("/bin/bash", ["-euc", script], { cwd: base, encoding: "utf8" });
  if (result.status !== 0) throw new Error(`${script}: ${result.stderr}`);
  return result.stdout;
}

root("beside GNU tar (as root)", () => {
  let driver = "";
  let store: RenderStore;
  beforeAll(() => {
    driver = compileDriver();
  });
  afterAll(() => {
    // Never compiled: dirname("") would be the directory that this runs in.
    if (driver !== "") rmSync(dirname(driver), { recursive: true });
  });
  beforeEach(() => {
    store = renderStore(driver);
  });
  afterEach(() => store.remove());

  /** A tree with everything that an archive can say. */
  function makeTree(): void {
    shell(`mkdir -p tree/d/sub tree/empty tree/sticky; cd tree
      printf hello > plain; printf '' > nothing; head -c 3000000 /dev/urandom > large
      printf x > $'non-utf8-\\xff\\xfe'; ln -s $'\\xff target' $'link-\\xfe'
      long=$(printf 'n%.0s' {1..200}); mkdir -p "$long/$long"; printf deep > "$long/$long/$long"; ln -s "$long/$long/$long" longlink
      ln plain hard1; ln plain d/hard2; ln -s ../plain d/soft; ln -s /nowhere dangling; ln longlink hard-to-soft
      truncate -s 40M sparse; for at in 0 5000000 20000000 39999000; do printf data | dd of=sparse bs=1 seek=$at conv=notrunc status=none; done
      truncate -s 3M all-hole; truncate -s 64M many; for i in {0..99}; do printf $i | dd of=many bs=1 seek=$((i*600000)) conv=notrunc status=none; done
      printf suid > suid; chown 12:34 suid; chmod 6755 suid; chmod 1777 sticky; printf p > private; chmod 0 private
      mkfifo pipe; mknod null c 1 3; mknod disk b 7 200; ln null null2; chown -h 7:8 d/soft
      touch -h -d '2001-02-03 04:05:06.123456789' plain d/soft pipe; touch -d '1960-01-01 00:00:00.5' large; touch -d '2100-01-01' d`);
    linux.lsetxattr(join(base, "tree/plain"), "user.binary", Buffer.from([0, 10, 61, 255]));
    linux.lsetxattr(join(base, "tree/d"), "user.text", Buffer.from("on a directory"));
    const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");
    linux.lsetxattr(join(base, "tree/suid"), "security.capability", capability);
  }

  const formats: [string, string][] = [
    ["pax, sparse 1.0", "--format=posix --xattrs --xattrs-include=* --sparse --sparse-version=1.0"],
    ["pax, sparse 0.1", "--format=posix --xattrs --xattrs-include=* --sparse --sparse-version=0.1"],
    ["pax, sparse 0.0", "--format=posix --xattrs --xattrs-include=* --sparse --sparse-version=0.0"],
    ["pax", "--format=posix --xattrs --xattrs-include=*"],
    ["GNU, old sparse", "--format=gnu --sparse"],
    ["old GNU", "--format=oldgnu"],
    ["ustar", "--format=ustar --exclude=*nnnn* --exclude=longlink --exclude=hard-to-soft --exclude=large --exclude=d"],
    [
      "v7",
      "--format=v7 --exclude=*nnnn* --exclude=longlink --exclude=hard-to-soft --exclude=large --exclude=d --exclude=pipe --exclude=null* --exclude=disk",
    ],
  ];
  test.each(formats)("%s", async (_name, options) => {
    makeTree();
    shell(`tar ${options.replaceAll("*", "\\*")} -C tree -cf archive.tar . 2>&1`);
    shell(
      "mkdir gnu ours; tar --xattrs --xattrs-include=\\* --numeric-owner --same-owner -C gnu -xpf archive.tar 2>&1",
    );
    const archive = readFileSync(join(base, "archive.tar"));
    const layer = store.layer(archive);
    const result = await store.run("copy", {
      id: imageId(archive),
      format: "oci",
      layers: [layer],
      target: join(base, "ours"),
    });
    const [lower = ""] = store.lowers(result);
    const everything = { times: true, owners: true, xattrs: true };
    const expected = Object.fromEntries(describeTree(join(base, "gnu"), everything));
    expect(Object.fromEntries(describeTree(lower, everything))).toEqual(expected);
    // The copy for --no-overlay is the same once more.
    expect(Object.fromEntries(describeTree(join(base, "ours"), everything))).toEqual(expected);
    if (!options.includes("v7")) expect(expected.disk).toContain("device");
    const blocks = (directory: string, file: string) => Number(shell(`stat -c %b ${directory}/${file}`));
    if (options.includes("--sparse")) {
      for (const directory of [lower, join(base, "ours")]) expect(blocks(directory, "sparse")).toBeLessThan(200);
    }
  });
});

root("beside overlayfs (as root)", () => {
  test("the mounted layers show what the plain model says", async () => {
    for (let seed = 1000; seed < 1150; seed += 1) expect(await layerDifference(seed)).toBeUndefined();
  }, 300_000);
});
