/** Rendering archives that mean harm, and the confinement of whoever reads them. Needs root: the unpacker's jail is made of mounts and namespaces. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { type ImageId, parseImageId } from "../../src/core/digest.ts";
import { AT_FDCWD, linux, O } from "../../src/host/mod.ts";
import { removeTree } from "../../src/host/remove-tree.ts";
import { collectLayers, findRenderedTree, layerSize, overlayOptions } from "../../src/render/mod.ts";
import { descendantsOf } from "../harness/processes.ts";
import { compileDriver, imageId, type RenderStore, renderStore } from "../harness/render-store.ts";
import { gnuLong, type Member, memberBytes, tar } from "../harness/tar-builder.ts";

const root = describe.skipIf(process.getuid?.() !== 0);
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

/** Everything in the data directory that is not a blob or a lock. */
function leftovers(): string[] {
  return [store.dataDir.layers, store.dataDir.layerLinks, store.dataDir.trees].flatMap((directory) =>
    existsSync(directory) ? readdirSync(directory) : [],
  );
}

function aciManifest(fields: Record<string, unknown> = {}): Member {
  const manifest = { acKind: "ImageManifest", acVersion: "0.8.11", name: "example.com/app", ...fields };
  return { name: "manifest", data: JSON.stringify(manifest) };
}
const ACI_MANIFEST = aciManifest();

root("a hostile layer (as root)", () => {
  const cases: [string, Member[], string][] = [
    ["a name with ..", [{ name: "ok" }, { name: "a/../../evil" }], "MALICIOUS"],
    ["a link target with ..", [{ name: "x", type: "1", link: "../../../etc/passwd" }], "MALICIOUS"],
    [
      "a link through a link out",
      [
        { name: "l", type: "2", link: "/" },
        { name: "x", type: "1", link: "l/etc/hostname" },
      ],
      "INVALID_INPUT",
    ],
    ["a whiteout of ..", [{ name: "d/.wh..." }, { name: "d/" }, { name: "d/.wh..." }], "MALICIOUS"],
    ["a device that is a whiteout", [{ name: "x", type: "3" }], "INVALID_INPUT"],
    ["a header of 2 GiB", [{ name: "x", type: "x", size: 2 ** 31 }], "INVALID_INPUT"],
    ["an unknown type", [{ name: "x", type: "M" }], "INVALID_INPUT"],
    ["a root that is a link", [{ name: "./", type: "2", link: "/etc" }], "INVALID_INPUT"],
  ];
  test.each(cases)("%s is refused, and nothing is left", async (_what, members, code) => {
    const result = await store.render(store.layer(tar(...members)));
    expect(result.code).toBe(code);
    expect(leftovers()).toEqual([]);
  });

  test("symbolic links out of the root end inside it", async () => {
    const outside = `${store.root}/escaped`;
    const members: Member[] = [
      { name: "abs", type: "2", link: store.root },
      { name: "abs/escaped", data: "x" },
      { name: "rel", type: "2", link: "../".repeat(20) + store.root.slice(1) },
      { name: "rel/escaped2", data: "x" },
      { name: "/etc/absolute-name", data: "x" },
    ];
    const result = await store.render(store.layer(tar(...members)));
    const [lower = ""] = store.lowers(result);
    expect(existsSync(outside)).toBe(false);
    expect(readFileSync(join(lower, store.root, "escaped"), "utf8")).toBe("x");
    expect(existsSync(join(lower, store.root, "escaped2"))).toBe(true);
    expect(existsSync(join(lower, "etc/absolute-name"))).toBe(true);
    expect(existsSync("/etc/absolute-name")).toBe(false);
  });

  test("links of a layer below do not lead the next one out", async () => {
    const below = store.layer(
      tar({ name: "out", type: "2", link: "../../../../../../../tmp" }, { name: "l", type: "2", link: "/proc/1/root" }),
    );
    const above = store.layer(tar({ name: "out/rkt-escaped", data: "x" }, { name: "l/tmp/rkt-escaped", data: "x" }));
    const result = await store.render(below, above);
    expect(existsSync("/tmp/rkt-escaped")).toBe(false);
    expect(existsSync(join(store.lowers(result)[0] ?? "", "tmp/rkt-escaped"))).toBe(true);
  });

  test("a stored blob that was changed is a mismatch, whatever it looks like now", async () => {
    const layer = store.layer(tar({ name: "f", data: "good" }));
    const other = gzipSync(tar({ name: "f", data: "evil" }));
    for (const diffId of [layer.diffId, `sha256:${"1".repeat(64)}`]) {
      const stored = store.layer(tar({ name: "f", data: "evil" }));
      expect((await store.render({ ...stored, diffId })).code).toBe("DIGEST_MISMATCH");
      expect((await store.render({ ...layer, size: layer.size + 1 })).code).toBe("DIGEST_MISMATCH");
    }
    const path = store.dataDir.blob({ algorithm: "sha256", hex: layer.digest.slice(7) });
    for (const bytes of [
      other,
      Buffer.alloc(layer.size, 7),
      gzipSync(tar({ name: "f", data: "good" })).subarray(0, 30),
    ]) {
      writeFileSync(path, bytes);
      expect((await store.render({ ...layer, size: bytes.length })).code).toBe("DIGEST_MISMATCH");
    }
    expect(leftovers()).toEqual([]);
  });

  test("a stream that ends early is refused, whatever it is compressed with", async () => {
    const archive = Buffer.concat([memberBytes({ name: "f", data: "x".repeat(5000) })]).subarray(0, 2048);
    for (const command of [[], ["gzip"], ["zstd"], ["xz"], ["bzip2"]]) {
      const [program, ...words] = command;
      const stored = program === undefined ? archive : spawnSync(program, [...words, "-c"], { input: archive }).stdout;
      const inside = await store.render(store.layer(archive, stored));
      expect(inside).toMatchObject({ code: "INVALID_INPUT", message: expect.stringContaining("truncated") });
      if (program !== undefined) {
        expect((await store.render(store.layer(archive, stored.subarray(0, stored.length - 3)))).code).toBe(
          "INVALID_INPUT",
        );
      }
    }
    expect(leftovers()).toEqual([]);
  });

  test("a blob that is a link or a fifo is not opened", async () => {
    const layer = store.layer(tar({ name: "f" }));
    const path = store.dataDir.blob({ algorithm: "sha256", hex: layer.digest.slice(7) });
    rmSync(path);
    spawnSync("ln", ["-s", "/etc/shadow", path]);
    expect((await store.render(layer)).code).toBe("INVALID_INPUT");
    rmSync(path);
    spawnSync("mkfifo", [path]);
    expect((await store.render(layer)).code).toBe("INVALID_INPUT");
  });

  test("more than 500 layers are refused with that number", async () => {
    const layer = store.layer(tar({ name: "f" }));
    const result = await store.render(...Array.from({ length: 501 }, () => layer));
    expect(result).toMatchObject({ code: "UNSUPPORTED", message: expect.stringContaining("at most 500") });
  });

  test("paths as deep as a name allows are placed and removed again", async () => {
    const deep = "d/".repeat(1900);
    const result = await store.render(
      store.layer(tar(gnuLong("L", `${deep}f`), { name: "cut", magic: "gnu", data: "x" })),
    );
    expect(result.code).toBeUndefined();
    const needed = { treesInUse: new Set<string>(), imagesKnown: new Set<ImageId>() };
    expect(collectLayers(store.dataDir, linux, needed)).toMatchObject({ layers: 1 });
    expect(leftovers()).toEqual([]);
  });
});

root("a hostile ACI (as root)", () => {
  test("gives its manifest and its rootfs, and nothing else", async () => {
    const result = await store.renderAci(
      tar(
        ACI_MANIFEST,
        { name: "rootfs/", mode: 0o711 },
        { name: "rootfs/.wh.kept", data: "x" },
        { name: "other/file" },
      ),
    );
    expect(result.manifest).toBe(String(ACI_MANIFEST.data));
    const [lower = ""] = store.lowers(result);
    expect(readdirSync(lower)).toEqual([".wh.kept"]);
    expect(statSync(lower).mode & 0o777).toBe(0o711);
  });

  const cases: [string, Member[], string][] = [
    ["no manifest", [{ name: "rootfs/f" }], "INVALID_INPUT"],
    ["two manifests", [ACI_MANIFEST, ACI_MANIFEST], "INVALID_INPUT"],
    ["a manifest that is a link", [{ name: "manifest", type: "2", link: "/etc/shadow" }], "INVALID_INPUT"],
    ["a manifest of 5 MiB", [{ name: "manifest", data: Buffer.alloc(5 << 20, 32) }], "INVALID_INPUT"],
    ["a rootfs that is a link", [ACI_MANIFEST, { name: "rootfs", type: "2", link: "/" }], "MALICIOUS"],
    ["a hard link to the manifest", [ACI_MANIFEST, { name: "rootfs/m", type: "1", link: "manifest" }], "INVALID_INPUT"],
    ["a name with ..", [ACI_MANIFEST, { name: "rootfs/../x" }], "MALICIOUS"],
  ];
  test.each(cases)("%s: refused", async (_what, members, code) => {
    expect((await store.renderAci(tar(...members))).code).toBe(code);
    expect(leftovers()).toEqual([]);
  });

  test("shows its dependencies below it, as far as the whitelists let them through", async () => {
    const files: Member[] = [
      { name: "rootfs/d/", mode: 0o750 },
      { name: "rootfs/d/a", data: "low" },
      { name: "rootfs/d/b" },
      { name: "rootfs/c", data: "low" },
    ];
    const low = store.aci(tar(aciManifest({ name: "example.com/low" }), ...files));
    const middle = store.aci(tar(aciManifest({ name: "example.com/middle", pathWhitelist: ["/c"] }), ...files));
    const dependencies = { "example.com/low": low, "example.com/middle": middle };
    const wanted = [{ imageName: "example.com/low" }, { imageName: "example.com/middle" }];
    const top = tar(aciManifest({ dependencies: wanted, pathWhitelist: ["/d", "/d/a", "/c"] }), {
      name: "rootfs/c",
      data: "top",
    });
    const result = await store.renderAci(top, dependencies);
    const target = join(store.root, "merged");
    mkdirSync(target);
    await store.run("copy", { ...store.aci(top), format: "aci", dependencies, target });
    expect(result.layers).toHaveLength(3);
    expect(readdirSync(target, { recursive: true }).sort()).toEqual(["c", "d", "d/a"]);
    expect([readFileSync(join(target, "c"), "utf8"), readFileSync(join(target, "d/a"), "utf8")]).toEqual([
      "top",
      "low",
    ]);
    expect(statSync(join(target, "d")).mode & 0o777).toBe(0o750);
  });

  test("that is another image than its id says is a mismatch", async () => {
    const good = tar(ACI_MANIFEST, { name: "rootfs/f" });
    const evil = tar(ACI_MANIFEST, { name: "rootfs/evil" });
    const { digest, size } = store.layer(evil);
    const result = await store.run("render", {
      id: imageId(good),
      format: "aci",
      layers: [{ digest, size, diffId: null }],
    });
    expect(result.code).toBe("DIGEST_MISMATCH");
  });
});

root("the unpacker (as root)", () => {
  const big = () =>
    store.layer(
      tar(...Array.from({ length: 8 }, (_, index) => ({ name: `f${index}`, data: Buffer.alloc(20 << 20, index) }))),
    );

  test("has five capabilities, no_new_privs and no way to the host in every thread", async () => {
    const { pid, stop } = await runningWorker(big());
    try {
      const fields = readdirSync(`/proc/${pid}/task`).map((task) => statusFields(`/proc/${pid}/task/${task}/status`));
      expect(fields.length).toBeGreaterThan(1);
      const five = ((1n << 0n) | (1n << 1n) | (1n << 3n) | (1n << 4n) | (1n << 31n)).toString(16).padStart(16, "0");
      for (const status of fields) {
        expect(status).toMatchObject({
          CapInh: "0".repeat(16),
          CapAmb: "0".repeat(16),
          CapEff: five,
          CapPrm: five,
          CapBnd: five,
          NoNewPrivs: "1",
        });
        expect(status.Uid).toBe("0 0 0 0");
      }
      const namespaces = (process: string | number) =>
        ["mnt", "pid", "net", "ipc", "uts", "cgroup"].map((name) => readlinkSync(`/proc/${process}/ns/${name}`));
      expect(namespaces(pid).filter((name) => namespaces("self").includes(name))).toEqual([]);
      expect(
        readdirSync(`/proc/${pid}/root`)
          .filter((name) => !/^(bin|sbin|lib.*)$/.test(name))
          .sort(),
      ).toEqual(["blob", "lower", "proc", "rkt", "target", "usr"]);
      const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8")
        .trim()
        .split("\n")
        .map((line) => line.split(" "));
      expect(mounts.filter((mount) => !/^ro\b/.test(mount[5] ?? "")).map((mount) => mount[4])).toEqual(["/target"]);
      expect(mounts.every((mount) => mount[5]?.includes("nosuid") && mount[5].includes("nodev"))).toBe(true);
      const files = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
      const inside = /^(socket:|pipe:|anon_inode:|\/(blob|target|lower)|\/rkt$|\/proc)/;
      expect(files.filter((name) => !inside.test(name))).toEqual([]);
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8")
        .split("\0")
        .filter((line) => line !== "");
      expect(environment.map((line) => line.split("=")[0]).sort()).toEqual(["LANG", "PATH"]);
    } finally {
      await stop();
    }
  });

  test("dies with rkt; what it left is replaced by the next render", async () => {
    const layer = big();
    const { pid, child, resume } = await runningWorker(layer);
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("exit", resolve));
    resume();
    for (let wait = 0; existsSync(`/proc/${pid}`) && wait < 200; wait += 1) await Bun.sleep(10);
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    const [left = ""] = readdirSync(store.dataDir.layers);
    expect(readdirSync(join(store.dataDir.layers, left)).sort()).toEqual(["jail", "rootfs"]);
    const result = await store.render(layer);
    expect(result.code).toBeUndefined();
    expect(readdirSync(store.dataDir.layers)).toEqual([result.layers?.[0]?.layerId ?? ""]);
  });

  test("cannot be used without root", () => {
    spawnSync("chmod", ["-R", "go+rwX", store.root, dirname(driver)]);
    const layer = store.layer(tar({ name: "f" }));
    const request = JSON.stringify({ root: store.root, id: imageId("x"), format: "oci", layers: [layer] });
    const result = spawnSync(
      "setpriv",
      ["--reuid=65534", "--regid=65534", "--clear-groups", driver, "render", request],
      { encoding: "utf8" },
    );
    expect(JSON.parse(result.stdout)).toMatchObject({
      code: "PERMISSION",
      message: expect.stringContaining("permission denied"),
    });
  });

  /** A render that is stopped in the middle of unpacking. */
  async function runningWorker(layer: ReturnType<RenderStore["layer"]>) {
    const request = JSON.stringify({ root: store.root, id: imageId("x"), format: "oci", layers: [layer] });
    const child = spawn(driver, ["render", request], { stdio: "ignore" });
    const pid = await confinedDescendant(child);
    process.kill(pid, "SIGSTOP");
    const resume = () => {
      try {
        process.kill(pid, "SIGCONT");
      } catch {
        // It died, as it should.
      }
    };
    const stop = async () => {
      resume();
      await new Promise((resolve) => child.once("exit", resolve));
    };
    return { pid, child, resume, stop };
  }

  async function confinedDescendant(child: ChildProcess): Promise<number> {
    for (let wait = 0; wait < 500; wait += 1) {
      for (const pid of descendantsOf(child.pid ?? 0)) {
        const words = safeRead(`/proc/${pid}/cmdline`).split("\0");
        // The second stage has opened the blob: it is at work.
        if (words.includes("confined") && words[0] === "/rkt" && openFiles(pid).includes("/blob")) return pid;
      }
      await Bun.sleep(2);
    }
    throw new Error("no worker was seen");
  }

  function openFiles(pid: number): string[] {
    try {
      return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      return [];
    }
  }

  function safeRead(path: string): string {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return "";
    }
  }

  function statusFields(path: string): Record<string, string> {
    return Object.fromEntries(
      readFileSync(path, "utf8")
        .split("\n")
        .map((line) => line.split(":\t"))
        .map(([name, value]) => [name ?? "", (value ?? "").replaceAll("\t", " ")]),
    );
  }
});

root("rendered layers (as root)", () => {
  test("ten renders at once share the work", async () => {
    const layers = [
      store.layer(tar({ name: "a", data: "x" })),
      store.layer(tar({ name: "b" })),
      store.layer(tar({ name: "c" })),
    ];
    const results = await Promise.all(Array.from({ length: 10 }, () => store.render(...layers)));
    expect(new Set(results.map((result) => result.treeId)).size).toBe(1);
    const rendered = results.flatMap((result) => result.stderr.split("\n").filter((line) => line.includes('"layer ')));
    expect(rendered).toHaveLength(3);
  });

  test("are found again, shared, and collected when nothing needs them", async () => {
    const [base, one, two] = [
      store.layer(tar({ name: "base", data: "12345" })),
      store.layer(tar({ name: "one" })),
      store.layer(tar({ name: "two" })),
    ];
    const first = await store.render(base, one);
    const second = await store.render(base, two);
    expect(readdirSync(store.dataDir.layers)).toHaveLength(3);
    const id = (...layers: unknown[]) => parseImageId(imageId(JSON.stringify(layers)));
    expect(findRenderedTree(store.dataDir, id(base, one))).toMatchObject({
      treeId: first.treeId ?? "",
      manifest: "{}",
    });
    expect(findRenderedTree(store.dataDir, id("never"))).toBeUndefined();
    expect(layerSize(store.dataDir, first.layers?.[1]?.layerId ?? "")).toBe(5);

    mkdirSync(join(store.dataDir.layers, "no-layer"));
    const inUse = new Set([second.treeId ?? ""]);
    expect(
      collectLayers(store.dataDir, linux, { treesInUse: inUse, imagesKnown: new Set([id(base, one)]) }),
    ).toMatchObject({ layers: 0, trees: 0 });
    expect(readdirSync(store.dataDir.layers)).toHaveLength(3);
    expect(collectLayers(store.dataDir, linux, { treesInUse: inUse, imagesKnown: new Set() })).toMatchObject({
      layers: 1,
      trees: 1,
    });
    expect(findRenderedTree(store.dataDir, id(base, one))).toBeUndefined();
    const unknown = { treesInUse: new Set([`deps-sha512-${"0".repeat(64)}`]), imagesKnown: new Set<ImageId>() };
    expect(collectLayers(store.dataDir, linux, unknown)).toMatchObject({
      layers: 0,
      unknownTrees: [...unknown.treesInUse],
    });
    expect(collectLayers(store.dataDir, linux, { treesInUse: new Set(), imagesKnown: new Set() })).toMatchObject({
      layers: 2,
      bytes: 5,
    });
    expect(leftovers()).toEqual([]);
  });

  test("fit into one page of mount options, a hundred of them", async () => {
    const layers = Array.from({ length: 100 }, (_, layerId) => ({
      layerId: `sha256-${layerId}`,
      link: "x".repeat(26),
    }));
    const { cwd, lowerdir } = overlayOptions(store.dataDir, { layers });
    expect(cwd).toBe(store.dataDir.cas);
    expect(lowerdir.length).toBeLessThan(3000);
  });

  test("a directory that others can write is not taken for the store", async () => {
    mkdirSync(store.dataDir.layers, { recursive: true });
    spawnSync("chmod", ["0777", store.dataDir.layers]);
    expect((await store.render(store.layer(tar({ name: "f" })))).code).toBe("INVALID_INPUT");
  });
});

root("removeTree() (as root)", () => {
  test("refuses a tree with a mount in it, and removes nothing", () => {
    const [tree, mountPoint] = [join(store.root, "t"), join(store.root, "t/a/mnt")];
    mkdirSync(mountPoint, { recursive: true });
    writeFileSync(join(tree, "file"), "kept");
    const parent = linux.openat(AT_FDCWD, store.root, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
    spawnSync("mount", ["--bind", "/etc", mountPoint]);
    try {
      expect(() => removeTree(linux, parent, "t")).toThrow(mountPoint);
      expect(readFileSync(join(tree, "file"), "utf8")).toBe("kept");
      expect(existsSync("/etc/passwd")).toBe(true);
    } finally {
      spawnSync("umount", [mountPoint]);
    }
    removeTree(linux, parent, "t");
    linux.close(parent);
    expect(existsSync(tree)).toBe(false);
  });
});
