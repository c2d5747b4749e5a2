/** The `image` commands on a store of two images. Needs root, busybox-static, tar. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeTree } from "../harness/describe-tree.ts";
import { buildAci, buildBusyboxOci } from "../harness/images.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";
import { umociUnpack } from "../harness/umoci.ts";

setDefaultTimeout(300_000);

let dir: TemporaryDirectory;
let aci = "";
let aciId = "";
let layout = "";
let manifestDigest = "";

beforeAll(() => {
  dir = temporaryDirectory("image");
  aci = join(dir.path, "app.aci");
  aciId = `sha512-${buildAci(aci, { name: "example.com/app" }, { "etc/motd": "aci" }).slice(0, 64)}`;
  layout = join(dir.path, "layout");
  manifestDigest = buildBusyboxOci(layout, {
    tag: "v1",
    cmd: ["/bin/true"],
    layers: [{ "etc/motd": "oci" }],
  }).manifestDigest;
});

afterAll(() => dir?.[Symbol.dispose]());

/** An rkt with both images; the id of the second. */
function stocked(): TestRkt & { oci: string } {
  const rkt = testRkt();
  rkt.ok(["--insecure-options=image", "fetch", aci]);
  const oci = rkt.ok(["--insecure-options=image", "fetch", "--full", `oci:${layout}:v1`]).trim();
  return { ...rkt, oci };
}

describe("image list", () => {
  test("an empty store", () => {
    using rkt = testRkt();
    expect(rkt.ok(["image", "list"])).toBe("ID\tNAME\tSIZE\tIMPORT TIME\tLAST USED\n");
    expect(rkt.ok(["image", "list", "--no-legend"])).toBe("");
    expect(rkt.ok(["image", "list", "--format=json"])).toBe("null\n");
  });

  test("short, full, and as JSON", () => {
    using rkt = stocked();
    const [, first = "", second = ""] = rkt.ok(["image", "list"]).split("\n");
    expect(first).toMatch(
      /^sha512-[0-9a-f]{12}\t+example\.com\/app:1\.0\.0\t+[0-9.]+MiB\t+(now|\d+ seconds? ago)\t+(now|\d+ seconds? ago)$/,
    );
    expect(second).toStartWith(rkt.oci.slice(0, 19));
    const [row = ""] = rkt.ok(["image", "list", "--full", "--no-legend"]).split("\n");
    const time = "\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d(\\.\\d+)? [+-]\\d{4} \\S+";
    expect(row).toMatch(new RegExp(`^${aciId}\t+example\\.com/app:1\\.0\\.0\t+\\d+\t+${time}\t+${time}$`));
    const text = rkt.ok(["image", "list", "--format=json-pretty"]);
    expect(text).toContain(`\t\t"id": "${aciId}",\n\t\t"name": "example.com/app:1.0.0",\n\t\t"import_time": `);
    const [entry] = JSON.parse(text);
    expect(Object.keys(entry)).toEqual(["id", "name", "import_time", "last_used_time", "size", "digest", "signer"]);
    expect(Math.abs(entry.import_time / 1e6 - Date.now())).toBeLessThan(60_000);
  });

  test("fields, order and sorting", () => {
    using rkt = stocked();
    const ids = (...flags: string[]) =>
      rkt
        .ok(["image", "list", "--full", "--no-legend", "--fields=id", ...flags])
        .trim()
        .split("\n");
    expect(rkt.ok(["image", "list", "--fields=name,id"])).toStartWith("NAME\t");
    expect(ids()).toEqual([aciId, rkt.oci]);
    expect(ids("--order=desc")).toEqual([rkt.oci, aciId]);
    expect(ids("--sort=name,importtime")).toEqual(ids("--sort=name"));
    expect(ids("--sort=size").toSorted()).toEqual([aciId, rkt.oci].toSorted());
    for (const [flag, words] of [
      ["--fields=id,other", 'unknown option "other"'],
      ["--fields=id,id", 'duplicated option "id"'],
      ["--sort=id", 'unknown option "id"'],
      ["--order=up", "wrong sort order"],
      ["--format=xml", "Invalid format option: xml"],
    ] as const) {
      const { status, stderr } = rkt.run(["image", "list", flag]);
      expect(stderr).toContain(words);
      expect(status).toBe(254);
    }
  });
});

describe("image cat-manifest", () => {
  test("an ACI's own, and an OCI image's conversion", () => {
    using rkt = stocked();
    const text = rkt.ok(["image", "cat-manifest", "example.com/app"]);
    expect(text).toStartWith('{\n\t"acKind": "ImageManifest",\n');
    expect(JSON.parse(text).name).toBe("example.com/app");
    const line = rkt.ok(["image", "cat-manifest", "--pretty-print=false", aciId.slice(0, 20)]);
    expect(JSON.parse(line)).toEqual(JSON.parse(text));
    expect(line.trimEnd()).not.toContain("\n");
    const converted = JSON.parse(rkt.ok(["image", "cat-manifest", manifestDigest]));
    expect(converted.app.exec).toEqual(["/bin/true"]);
    expect(converted.annotations).toContainEqual({ name: "appc.io/docker/manifesthash", value: manifestDigest });
    expect(JSON.parse(rkt.ok(["image", "cat-manifest", "--raw", rkt.oci])).schemaVersion).toBe(2);
  });

  test("what is not there", () => {
    using rkt = stocked();
    const words = (image: string) => rkt.run(["image", "cat-manifest", image]).stderr;
    expect(words("sha512-00")).toBe("cat-manifest: cannot resolve image ID: no image IDs found\n");
    expect(words("sha512-")).toContain("image ID too short");
    expect(words("example.com/none")).toContain('cannot find aci satisfying name: "example.com/none"');
    expect(words("example.com/app:9")).toContain("labels: [version=9]");
  });
});

describe("image rm", () => {
  test("removes by id and name, each image once", () => {
    using rkt = stocked();
    const { status, stdout, stderr } = rkt.run(["image", "rm", aciId, "example.com/app", rkt.oci.slice(0, 30)]);
    expect(stdout).toBe(
      `successfully removed aci for image: "${aciId}"\nsuccessfully removed aci for image: "${rkt.oci}"\n`,
    );
    expect(stderr).toBe("rm: 2 image(s) successfully removed\n");
    expect(status).toBe(0);
    expect(runProgram(["find", join(rkt.dataDir, "cas/blob"), "-type", "f"])).toBe("");
  });

  test("an unknown image is told, and no failure; no image at all is one", () => {
    using rkt = stocked();
    const { status, stdout, stderr } = rkt.run(["image", "rm", "sha512-00", "example.com/app"]);
    expect(stderr).toContain("no image IDs found");
    expect(stdout).toContain(`"${aciId}"`);
    expect(status).toBe(0);
    expect(rkt.run(["image", "rm"])).toMatchObject({ status: 254, stderr: "rm: must provide at least one image ID\n" });
  });
});

describe("image gc", () => {
  const record = (rkt: TestRkt, id: string) => join(rkt.dataDir, "cas/images", `${id}.json`);
  const age = (path: string, hours: number) => utimesSync(path, new Date(), new Date(Date.now() - hours * 3600_000));

  test("removes what was not used for the grace period, with its unpacked layers", () => {
    using rkt = stocked();
    age(record(rkt, aciId), 25);
    age(record(rkt, rkt.oci), 23);
    const layers = join(rkt.dataDir, "cas/layer");
    expect(existsSync(join(layers, aciId))).toBe(true);
    const { status, stdout, stderr } = rkt.run(["image", "gc"]);
    expect(stdout).toBe(`successfully removed aci for image: "${aciId}"\n`);
    expect(stderr).toMatch(
      /gc: removed treestore "deps-sha512-[0-9a-f]{64}"\ngc: 1 image\(s\) successfully removed\n$/,
    );
    expect(status).toBe(0);
    expect(existsSync(join(layers, aciId))).toBe(false);
    expect(rkt.ok(["image", "list", "--full", "--no-legend", "--fields=id"])).toBe(`${rkt.oci}\n`);
    rkt.ok(["image", "gc", "--grace-period=0s"]);
    expect(runProgram(["find", layers, "-mindepth", "1"])).toBe("");
  });

  test("keeps the image of a prepared pod, and removes what killed processes left", () => {
    using rkt = stocked();
    rkt.ok(["--insecure-options=image", "prepare", "--quiet", rkt.oci]);
    const leftover = join(rkt.dataDir, "cas/blob/sha256/00", `sha256-${"0".repeat(64)}`);
    mkdirSync(join(leftover, ".."), { recursive: true });
    writeFileSync(leftover, "");
    age(leftover, 2);
    for (const id of [aciId, rkt.oci]) age(record(rkt, id), 48);
    rkt.ok(["image", "gc"]);
    expect(existsSync(leftover)).toBe(false);
    expect(existsSync(record(rkt, rkt.oci))).toBe(true);
    expect(existsSync(record(rkt, aciId))).toBe(false);
  });
});

describe("image export, extract, render, verify", () => {
  test("an ACI comes out as the bytes that its id is the digest of", () => {
    using rkt = stocked();
    const out = join(rkt.dir, "out.aci");
    rkt.ok(["image", "export", "example.com/app", out]);
    expect(`sha512-${runProgram(["sha512sum", out]).slice(0, 64)}`).toBe(aciId);
    expect(rkt.run(["image", "export", aciId, out]).stderr).toBe("export: output ACI file exists (try --overwrite)\n");
    rkt.ok(["image", "export", "--overwrite", aciId, out]);
  });

  test("an OCI image becomes an ACI that can be fetched again", () => {
    using rkt = stocked();
    const out = join(rkt.dir, "out.aci");
    rkt.ok(["image", "export", rkt.oci, out]);
    expect(runProgram(["tar", "-xOf", out, "rootfs/etc/motd"])).toBe("oci");
    const id = rkt.ok(["--insecure-options=image", "fetch", "--full", out]).trim();
    const manifest = (image: string) => JSON.parse(rkt.ok(["image", "cat-manifest", image]));
    expect(manifest(id)).toEqual(manifest(rkt.oci));
    expect(runProgram(["ls", join(rkt.dataDir, "tmp")])).toBe("");
  });

  test("the same image gives the same bytes, in each format", () => {
    using rkt = stocked();
    const export_ = (format: string, image: string) => {
      const out = join(rkt.dir, "out");
      rkt.ok(["image", "export", `--format=${format}`, "--overwrite", image, out]);
      return runProgram(["sha256sum", out]);
    };
    for (const format of ["aci", "oci-archive", "docker-archive"]) {
      for (const image of [aciId, rkt.oci]) expect(export_(format, image)).toBe(export_(format, image));
    }
    expect(runProgram(["ls", join(rkt.dataDir, "tmp")])).toBe("");
    expect(rkt.run(["image", "export", "--format=zip", aciId, join(rkt.dir, "x")]).stderr).toContain(
      "expected one of aci, oci-archive, docker-archive",
    );
  });

  test("an OCI image keeps its digest as an oci-archive, which skopeo and rkt read", () => {
    using rkt = stocked();
    const out = join(rkt.dir, "out.tar");
    rkt.ok(["image", "export", "--format=oci-archive", manifestDigest, out]);
    expect(JSON.parse(runProgram(["skopeo", "inspect", `oci-archive:${out}:v1`])).Digest).toBe(manifestDigest);
    rkt.ok(["image", "rm", rkt.oci]);
    expect(rkt.ok(["--insecure-options=image", "fetch", "--full", `oci-archive:${out}`]).trim()).toBe(rkt.oci);
  });

  test.each(["oci-archive", "docker-archive"])(
    "what umoci unpacks from a %s is what rkt renders, of both kinds of image",
    (format) => {
      using rkt = stocked();
      const everything = { times: true, owners: true, xattrs: true };
      for (const [name, image] of [
        ["oci", rkt.oci],
        ["aci", aciId],
      ] as const) {
        const [archive, copied, unpacked, read] = ["tar", "copied", "layout", "bundle"].map((part) =>
          join(rkt.dir, `${name}.${part}`),
        ) as [string, string, string, string];
        rkt.ok(["image", "export", `--format=${format}`, image, archive]);
        rkt.ok(["image", "render", "--rootfs-only", image, copied]);
        runProgram(["skopeo", "--insecure-policy", "copy", "--quiet", `${format}:${archive}`, `oci:${unpacked}:t`]);
        const tree = describeTree(umociUnpack(unpacked, "t", read), everything);
        expect(Object.fromEntries(tree)).toEqual(Object.fromEntries(describeTree(copied, everything)));
        const config = JSON.parse(runProgram(["skopeo", "inspect", "--config", `${format}:${archive}`]));
        expect(config.config.Entrypoint ?? config.config.Cmd).toEqual(name === "oci" ? ["/bin/true"] : ["/bin/sh"]);
        expect(config).toMatchObject({ os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch });
      }
    },
  );

  test.each(["extract", "render"])("%s writes plain files", (command) => {
    using rkt = stocked();
    const out = join(rkt.dir, "out");
    rkt.ok(["image", command, rkt.oci, out]);
    expect(readFileSync(join(out, "rootfs/etc/motd"), "utf8")).toBe("oci");
    expect(JSON.parse(readFileSync(join(out, "manifest"), "utf8")).acKind).toBe("ImageManifest");
    expect(lstatSync(join(out, "rootfs/bin/sh")).isSymbolicLink()).toBe(true);
    expect(rkt.run(["image", command, rkt.oci, out]).stderr).toContain("output directory exists (try --overwrite)");
    rkt.ok(["image", command, "--overwrite", "--rootfs-only", aciId, out]);
    expect(readFileSync(join(out, "etc/motd"), "utf8")).toBe("aci");
    expect(existsSync(join(out, "manifest"))).toBe(false);
    expect(rkt.run(["image", command, "--overwrite", aciId, "/"]).stderr).toContain("Refusing");
  });

  test("verify finds a changed blob", () => {
    using rkt = stocked();
    expect(rkt.ok(["image", "verify", "example.com/app", rkt.oci])).toBe(
      `successfully verified checksum for image: "example.com/app" ("${aciId}")\nsuccessfully verified checksum for image: "${rkt.oci}" ("${rkt.oci}")\n`,
    );
    const all = rkt.ok(["image", "verify", "--all"]);
    const stored = rkt.ok(["image", "list", "--full", "--no-legend", "--fields=id"]).trim().split("\n");
    for (const id of stored) expect(all).toContain(`for image: "${id.trim()}"`);
    expect(stored.length).toBeGreaterThan(1);
    expect(rkt.run(["image", "verify", "--all", aciId]).stderr).toContain("give images, --all or --running");
    const [blob = ""] = runProgram(["find", join(rkt.dataDir, "cas/blob/sha512"), "-type", "f"]).split("\n");
    const bytes = readFileSync(blob);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    writeFileSync(blob, bytes);
    const { status, stderr } = rkt.run(["image", "verify", aciId]);
    expect(stderr).toContain(`verification failed for image "${aciId}": Cannot use blob sha512:`);
    expect(status).toBe(254);
    const rest = rkt.run(["image", "verify", "--all"]);
    expect(rest).toMatchObject({ status: 254, stderr: expect.stringContaining(aciId) });
    expect(rest.stdout).toContain(rkt.oci);
  });

  test("verify finds changed unpacked files and unpacks them again, unless a pod stands on them", () => {
    using rkt = stocked();
    const changes: [string, (root: string) => void][] = [
      ["content", (root) => writeFileSync(join(root, "etc/motd"), "ACI")],
      ["mode", (root) => runProgram(["chmod", "u+s", join(root, "bin/busybox")])],
      ["owner", (root) => runProgram(["chown", "-h", "7", join(root, "bin/sh")])],
      ["attribute", (root) => runProgram(["setfattr", "-n", "user.x", "-v", "y", join(root, "etc")])],
      ["time", (root) => runProgram(["touch", join(root, "etc/passwd")])],
      ["removal", (root) => runProgram(["rm", join(root, "bin/ls")])],
      ["addition", (root) => writeFileSync(join(root, "tmp/new"), "")],
      ["link", (root) => runProgram(["ln", "-sfn", "sh", join(root, "bin/cat")])],
    ];
    const root = join(rkt.dataDir, "cas/layer", aciId, "rootfs");
    for (const [what, change] of changes) {
      rkt.ok(["image", "render", "--overwrite", aciId, join(rkt.dir, "out")]);
      expect({ what, ...rkt.run(["image", "verify", aciId]) }).toMatchObject({ what, status: 0 });
      change(root);
      const { status, stdout, stderr } = rkt.run(["image", "verify", aciId]);
      expect({ what, stderr }).toEqual({
        what,
        stderr: expect.stringMatching(
          /^verify: tree cache verification failed for image sha512-.*; {2}rebuilding\.\.\.$/m,
        ),
      });
      expect(stdout).toContain("successfully verified");
      expect(status).toBe(0);
    }
    expect(readFileSync(join(root, "etc/motd"), "utf8")).toBe("aci");
    rkt.ok(["--insecure-options=image", "prepare", "--quiet", aciId]);
    writeFileSync(join(root, "etc/motd"), "ACI");
    const { status, stderr } = rkt.run(["image", "verify", aciId]);
    expect(stderr).toContain("pods stand on this tree");
    expect(status).toBe(254);
    expect(readFileSync(join(root, "etc/motd"), "utf8")).toBe("ACI");
  });

  test("verify says what it did not check", () => {
    using rkt = testRkt();
    rkt.ok(["--insecure-options=image", "fetch", aci]);
    const before = rkt.run(["image", "verify", aciId]);
    expect(before.stderr).toContain(`image "${aciId}" was accepted without a signature; none was checked`);
    rkt.ok(["image", "rm", aciId]);
    expect(rkt.run(["image", "verify", aciId])).toMatchObject({ status: 254, stdout: "" });
  });

  test("digest and signer columns; digests name images everywhere", () => {
    using rkt = stocked();
    const rows = rkt.ok(["image", "list", "--full", "--no-legend", "--fields=id,digest,signer"]).trim().split("\n");
    expect(rows[1]?.split(/\t+/)).toEqual([rkt.oci, manifestDigest, "unsigned"]);
    expect(rows[0]?.split(/\t+/)[1]).toMatch(/^sha512:[0-9a-f]{128}$/);
    const [entry] = JSON.parse(rkt.ok(["image", "list", "--format=json", "--order=desc"]));
    expect(entry).toMatchObject({ digest: manifestDigest, signer: "unsigned" });
    for (const name of [manifestDigest, manifestDigest.slice(0, 20)]) {
      rkt.ok(["image", "cat-manifest", name]);
      rkt.ok(["image", "verify", name]);
      rkt.ok(["image", "export", "--overwrite", name, join(rkt.dir, "out.aci")]);
      rkt.ok(["image", "render", "--overwrite", name, join(rkt.dir, "out")]);
      rkt.ok(["image", "extract", "--overwrite", name, join(rkt.dir, "out")]);
      rkt.ok(["--insecure-options=image", "prepare", "--quiet", name, "--exec=/bin/true"]);
    }
    expect(rkt.ok(["image", "rm", manifestDigest])).toContain(rkt.oci);
  });
});
