/**
 * Who may do what: members of group rkt fetch, list, export and remove images; rkt-admin writes trust; neither runs pods or touches what root believes. With users and groups of
 * its own: each command sees its own /etc/passwd and /etc/group. Needs root.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci, buildBusyboxOci, makeSigner, type Signer, signAci } from "../harness/images.ts";
import { type Result, RKT } from "../harness/rkt.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(120_000);

interface User {
  readonly uid: number;
  readonly groups: readonly number[];
}

const RKT_GROUP = 61001;
const ADMIN_GROUP = 61002;
const ROOT: User = { uid: 0, groups: [0] };
const MEMBER: User = { uid: 61010, groups: [61010, RKT_GROUP] };
const OTHER_MEMBER: User = { uid: 61011, groups: [61011, RKT_GROUP] };
const ADMIN: User = { uid: 61012, groups: [61012, ADMIN_GROUP] };
const STRANGER: User = { uid: 61013, groups: [61013] };

let dir: TemporaryDirectory;
let signer: Signer;
let dataDir = "";
let configDir = "";
let layout = "";
let aci = "";
let signed = "";

beforeAll(() => {
  dir = temporaryDirectory("privileges");
  chmodSync(dir.path, 0o755);
  signer = makeSigner();
  [dataDir, configDir, layout, aci, signed] = ["data", "etc-rkt", "layout", "app.aci", "signed.aci"].map((name) =>
    join(dir.path, name),
  ) as [string, string, string, string, string];
  const users = [MEMBER, OTHER_MEMBER, ADMIN, STRANGER].map(
    ({ uid }) => `u${uid}:x:${uid}:${uid}::/nonexistent:/bin/false`,
  );
  const workers = ["rkt-fetch:x:61020:61001::/:/bin/false", "rkt-verify:x:61021:61021::/:/bin/false"];
  writeFileSync(join(dir.path, "passwd"), ["root:x:0:0:root:/root:/bin/sh", ...users, ...workers, ""].join("\n"));
  const groups = [
    `rkt:x:${RKT_GROUP}:`,
    `rkt-admin:x:${ADMIN_GROUP}:`,
    ...[MEMBER, OTHER_MEMBER, ADMIN, STRANGER].map(({ uid }) => `u${uid}:x:${uid}:`),
  ];
  writeFileSync(join(dir.path, "group"), ["root:x:0:", ...groups, ""].join("\n"));
  mkdirSync(configDir);
  // As the installation makes it (dist/init/tmpfiles.d).
  chownSync(configDir, 0, ADMIN_GROUP);
  chmodSync(configDir, 0o2775);
  buildBusyboxOci(layout, {});
  buildAci(aci, { name: "example.com/app" });
  buildAci(signed, { name: "example.com/signed" });
  signAci(signer, signed);
  writeFileSync(join(dir.path, "key.asc"), signer.publicKey);
  for (const path of [aci, signed, `${signed}.asc`, join(dir.path, "key.asc")]) chmodSync(path, 0o644);
  // The first command of root makes the data directory.
  ok(ROOT, "image", "rm", ok(ROOT, INSECURE, "fetch", "--full", aci));
  mkdirSync(join(dir.path, "out"));
  chmodSync(join(dir.path, "out"), 0o1777);
});
afterAll(() => {
  signer?.[Symbol.dispose]();
  dir?.[Symbol.dispose]();
});

/** Runs a program as `user`, where /etc knows the users of this test and no others. */
function as(user: User, ...command: string[]): Result {
  const script = 'mount --bind "$1" /etc/passwd; mount --bind "$2" /etc/group; shift 2; exec "$@"';
  const identity = [`--reuid=${user.uid}`, `--regid=${user.groups[0]}`, `--groups=${user.groups.join()}`];
  const { status, stdout, stderr } = spawnSync(
    "unshare",
    [
      ...["--mount", "--propagation=private", "sh", "-euc", script, "sh"],
      ...[join(dir.path, "passwd"), join(dir.path, "group")],
      ...(user.uid === 0 ? [] : ["setpriv", ...identity, "--inh-caps=-all"]),
      ...command,
    ],
    { encoding: "utf8", cwd: dir.path, timeout: 110_000 },
  );
  return { status: status ?? -1, stdout, stderr };
}

function rkt(user: User, ...args: string[]): Result {
  return as(user, RKT, `--dir=${dataDir}`, `--local-config=${configDir}`, "--system-config=/nonexistent", ...args);
}

function ok(user: User, ...args: string[]): string {
  const { status, stdout, stderr } = rkt(user, ...args);
  if (status !== 0) throw new Error(`rkt ${args.join(" ")}: ${status}\n${stderr}`);
  return stdout.trim();
}

const INSECURE = "--insecure-options=image";

test("members of group rkt fetch, list, show, verify, export and remove images, their own and others'", () => {
  const oci = ok(MEMBER, INSECURE, "fetch", "--full", `oci:${layout}:latest`);
  const app = ok(MEMBER, INSECURE, "fetch", "--full", aci);
  for (const user of [MEMBER, OTHER_MEMBER, ROOT]) {
    const list = ok(user, "image", "list", "--full", "--no-legend", "--fields=id");
    expect(list).toContain(oci);
    expect(list).toContain(app);
    expect(JSON.parse(ok(user, "image", "cat-manifest", app)).name).toBe("example.com/app");
    expect(ok(user, "image", "verify", app)).toContain("successfully verified");
    for (const format of ["oci-archive", "docker-archive"])
      ok(user, "image", "export", `--format=${format}`, oci, join(dir.path, "out", `${user.uid}.${format}`));
    ok(user, "image", "export", app, join(dir.path, "out", `${user.uid}.aci`));
  }
  // Fetched by one, removed by another; fetched by root, removed by a member.
  ok(OTHER_MEMBER, "image", "rm", app);
  const again = ok(ROOT, INSECURE, "fetch", "--full", aci);
  ok(MEMBER, "image", "rm", again);
  ok(MEMBER, "image", "rm", oci);
  expect(ok(ROOT, "image", "list", "--no-legend")).toBe("");
  expect(ok(ROOT, "fsck")).not.toContain("damage: layer");
  expect(rkt(ROOT, "fsck").status).toBe(0);
});

test("neither runs pods, collects garbage, or touches what root believes", () => {
  const app = ok(ROOT, INSECURE, "fetch", "--full", aci);
  for (const user of [MEMBER, ADMIN]) {
    for (const args of [
      ["run", app],
      ["prepare", app],
      ["gc"],
      ["image", "gc"],
      ["image", "render", app, join(dir.path, "out/tree")],
      ["fsck", "--repair"],
    ]) {
      const { status, stderr } = rkt(user, INSECURE, ...args);
      expect({ user: user.uid, args, status }).toEqual({ user: user.uid, args, status: 254 });
      expect(stderr).toMatch(/unprivileged user|permission denied|no image IDs found|needs root/i);
    }
    for (const [program, ...words] of [
      ["ls", join(dataDir, "cas/layer")],
      ["ls", join(dataDir, "cas/verified")],
      ["cat", join(dataDir, "cas/verified", `${app}.json`)],
      ["mv", join(dataDir, "cas/verified"), join(dataDir, "cas/images/verified")],
      ["mkdir", join(dataDir, "cas/new")],
      ["mkdir", join(dataDir, "pods/run/x")],
      ["rm", join(dataDir, "format")],
    ] as [string, ...string[]][]) {
      expect({ user: user.uid, program, words, ...as(user, program, ...words) }).toMatchObject({
        status: expect.any(Number),
        stderr: expect.stringMatching(/Permission denied|Operation not permitted/),
      });
    }
  }
  expect(existsSync(join(dataDir, "cas/verified", `${app}.json`))).toBe(true);
  ok(ROOT, "image", "rm", app);
});

test("rkt-admin writes trust and no images; members and strangers write no trust", () => {
  const key = join(dir.path, "key.asc");
  const trust = ["trust", "--prefix=example.com/signed", "--skip-fingerprint-review", key];
  for (const user of [MEMBER, STRANGER]) expect(rkt(user, ...trust).status).toBe(254);
  expect(rkt(STRANGER, "fetch", signed).status).toBe(254);
  ok(ADMIN, ...trust);
  expect(
    statSync(join(configDir, "trustedkeys/prefix.d/example.com/signed", signer.fingerprint.toLowerCase())).uid,
  ).toBe(ADMIN.uid);
  expect(rkt(ADMIN, INSECURE, "fetch", aci).status).toBe(254);
  const id = ok(MEMBER, "fetch", "--full", signed);
  // What a member has seen verified is verified again: root has a record only afterwards.
  expect(existsSync(join(dataDir, "cas/verified", `${id}.json`))).toBe(false);
  ok(ROOT, "prepare", "--quiet", id);
  expect(existsSync(join(dataDir, "cas/verified", `${id}.json`))).toBe(true);
});

test("strangers see no image, and get a hint", () => {
  ok(ROOT, INSECURE, "fetch", aci);
  const { status, stderr } = rkt(STRANGER, INSECURE, "fetch", aci);
  expect(status).toBe(254);
  expect(stderr).toMatch(/group rkt|root/);
  expect(rkt(STRANGER, "image", "list", "--no-legend").stdout.trim()).toBe("");
});

test("an image that a member accepted unsigned is refused to root, and so is a name that it claims", () => {
  const id = ok(MEMBER, INSECURE, "fetch", "--full", aci);
  ok(MEMBER, "image", "rm", id);
  ok(MEMBER, INSECURE, "fetch", "--full", aci);
  runProgram(["rm", "-f", join(dataDir, "cas/verified", `${id}.json`)]);
  const { status, stderr } = rkt(ROOT, "prepare", "--quiet", id);
  expect(status).toBe(254);
  expect(stderr).toMatch(/signature/);
  expect(rkt(ROOT, "prepare", "--quiet", "--pull-policy=never", "example.com/app").status).toBe(254);
  ok(ROOT, INSECURE, "prepare", "--quiet", id);
});
