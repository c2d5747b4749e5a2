/** Every byte of the data directory has a heading: `image list --disk-usage` and `image gc --dry-run` beside du(1). Needs root. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci, buildBusyboxOci } from "../harness/images.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";
import { runProgram, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

interface Listed {
  images: { id: string; name: string; size: number; disk: number; unique: number }[];
  disk_usage: Record<"images" | "pods" | "leftovers" | "unfinished" | "structure" | "unknown" | "total", number>;
}

/** Two images that share a layer, an ACI, a prepared pod. */
function stocked(dir: string): TestRkt & { ids: string[] } {
  const rkt = testRkt();
  const layout = join(dir, "layout");
  buildBusyboxOci(layout, { tag: "one", layers: [{ "etc/motd": "one" }] });
  buildBusyboxOci(layout, { tag: "two", layers: [{ "etc/motd": "two", "opt/large": Buffer.alloc(300_000, 7) }] });
  buildAci(join(dir, "app.aci"), { name: "example.com/app" });
  const references = [`oci:${layout}:one`, `oci:${layout}:two`, join(dir, "app.aci")];
  const ids = references.map((name) => rkt.ok(["--insecure-options=image", "fetch", "--full", name]).trim());
  for (const id of ids) rkt.ok(["image", "verify", id]);
  return { ...rkt, ids };
}

const du = (rkt: TestRkt) => Number(runProgram(["du", "-x", "-s", "--block-size=1", rkt.dataDir]).split("\t")[0]);
const listed = (rkt: TestRkt): Listed => JSON.parse(rkt.ok(["image", "list", "--disk-usage", "--format=json"]));
const planned = (rkt: TestRkt, ...flags: string[]): { remove: { path: string; bytes: number }[]; bytes: number } =>
  JSON.parse(rkt.ok(["image", "gc", "--dry-run", "--format=json", ...flags]));
const sum = ({ disk_usage: { total, ...parts } }: Listed) => Object.values(parts).reduce((all, part) => all + part, 0);

test("the headings add up to what du finds, with shared layers counted once and nothing unknown", () => {
  using dir = temporaryDirectory("usage");
  using rkt = stocked(dir.path);
  rkt.ok(["--insecure-options=image", "prepare", "--quiet", rkt.ids[0] ?? ""]);
  const report = listed(rkt);
  expect(report.disk_usage.total).toBe(du(rkt));
  expect(sum(report)).toBe(report.disk_usage.total);
  expect(report.disk_usage.unknown).toBe(0);
  expect(report.disk_usage.leftovers).toBe(0);
  expect(report.disk_usage.pods).toBeGreaterThan(0);
  const byId = (id: string | undefined) => report.images.find((image) => image.id === id) ?? { disk: 0, unique: 0 };
  const [one, two, aci] = rkt.ids.map(byId);
  // The shared layer with busybox: a good part of each, and unique to none.
  expect((one?.disk ?? 0) - (one?.unique ?? 0)).toBeGreaterThan(1_000_000);
  expect((two?.unique ?? 0) - (one?.unique ?? 0)).toBeGreaterThan(290_000);
  expect(aci?.unique).toBe(aci?.disk ?? -1);
  const shared = (one?.disk ?? 0) - (one?.unique ?? 0);
  const stage1 = report.images.filter(({ id }) => !rkt.ids.includes(id)).reduce((all, { unique }) => all + unique, 0);
  const unique = (one?.unique ?? 0) + (two?.unique ?? 0) + (aci?.unique ?? 0);
  expect(report.disk_usage.images).toBe(unique + shared + stage1);
  const text = rkt.ok(["image", "list", "--disk-usage", "--full"]);
  expect(text).toMatch(/^ID\t.*\tLAST USED\t+DISK\t+UNIQUE$/m);
  expect(text).toMatch(new RegExp(`^total\t+${report.disk_usage.total}$`, "m"));
});

test("what gc --dry-run lists is what goes, byte for byte, and then is gone", () => {
  using dir = temporaryDirectory("usage");
  using rkt = stocked(dir.path);
  const [one = "", two = ""] = rkt.ids;
  // A killed fetch, a killed render, a killed export, and a file that is nobody's.
  const cas = join(rkt.dataDir, "cas");
  const orphan = join(cas, "blob/sha256/00", `sha256-${"0".repeat(64)}`);
  mkdirSync(join(orphan, ".."), { recursive: true });
  writeFileSync(orphan, Buffer.alloc(50_000, 1));
  writeFileSync(join(cas, "tmp", `sha256-${"1".repeat(64)}.part`), Buffer.alloc(70_000, 1));
  mkdirSync(join(cas, "layer", `sha256-${"2".repeat(64)}`, "rootfs/etc"), { recursive: true });
  mkdirSync(join(rkt.dataDir, "tmp/rkt-image-export-1/rootfs"), { recursive: true });
  writeFileSync(join(rkt.dataDir, "unexpected"), Buffer.alloc(5000, 1));
  const report = listed(rkt);
  expect(report.disk_usage.total).toBe(du(rkt));
  expect(sum(report)).toBe(report.disk_usage.total);
  expect(report.disk_usage.unknown).toBe(8192);
  // Young: the fetch may be continued.
  expect(report.disk_usage.unfinished).toBe(53_248 + 73_728);
  expect(planned(rkt).bytes).toBe(report.disk_usage.leftovers);

  for (const path of [orphan, join(cas, "images", `${one}.json`)]) utimesSync(path, new Date(), new Date(0));
  const before = du(rkt);
  const plan = planned(rkt);
  const paths = plan.remove.map(({ path }) => path);
  expect(paths).toContain(orphan);
  expect(paths).toContain(join(rkt.dataDir, "tmp/rkt-image-export-1"));
  expect(paths.some((path) => path.includes(`${one}.json`))).toBe(true);
  expect(paths.every((path) => existsSync(path))).toBe(true);
  expect(rkt.ok(["image", "gc", "--dry-run"])).toContain(`(${plan.bytes} bytes)`);
  expect(du(rkt)).toBe(before);

  expect(rkt.run(["image", "gc"]).status).toBe(0);
  expect(paths.filter((path) => existsSync(path))).toEqual([]);
  expect(before - du(rkt)).toBe(plan.bytes);
  expect(rkt.ok(["image", "verify", two])).toContain("successfully verified");

  // With no grace period the unfinished download goes, too.
  expect(readdirSync(join(cas, "tmp"))).not.toEqual([]);
  const all = planned(rkt, "--grace-period=0s");
  const full = du(rkt);
  rkt.ok(["image", "gc", "--grace-period=0s"]);
  expect(full - du(rkt)).toBe(all.bytes);
  expect(readdirSync(join(cas, "tmp"))).toEqual([]);
  expect(listed(rkt).disk_usage).toMatchObject({ images: 0, leftovers: 0, unfinished: 0, unknown: 8192 });
});

test("a fetch that is going on keeps its blobs, without any grace period", async () => {
  using dir = temporaryDirectory("usage");
  using rkt = stocked(dir.path);
  const orphan = join(rkt.dataDir, "cas/blob/sha256/00", `sha256-${"0".repeat(64)}`);
  mkdirSync(join(orphan, ".."), { recursive: true });
  writeFileSync(orphan, "blob");
  const holder = Bun.spawn(
    ["flock", "--shared", join(rkt.dataDir, "cas/imagelocks/fetch"), "sh", "-c", "echo held; read x"],
    {
      stdin: "pipe",
      stdout: "pipe",
    },
  );
  try {
    await holder.stdout.getReader().read();
    rkt.ok(["image", "gc", "--grace-period=0s"]);
    expect(existsSync(orphan)).toBe(true);
  } finally {
    holder.stdin.end();
    await holder.exited;
  }
  rkt.ok(["image", "gc", "--grace-period=0s"]);
  expect(existsSync(orphan)).toBe(false);
});
