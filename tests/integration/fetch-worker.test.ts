/** The fetch worker as a process of its own. Needs root (it becomes another user, and mounts a small tmpfs), busybox-static, docker-registry, skopeo. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { rktGroup, workerAccount } from "../../src/host/accounts.ts";
import { buildAci, buildBusyboxOci, makeSigner, packOciArchive, signAci } from "../harness/images.ts";
import { childrenOfThreads, isAlive } from "../harness/processes.ts";
import { rawServer } from "../harness/raw-server.ts";
import { startRegistry, type TestRegistry } from "../harness/registry.ts";
import { killAtEnd, runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

let dir: TemporaryDirectory;
let driver = "";
let layout = "";
let registry: TestRegistry;
const account = workerAccount("rkt-fetch");

beforeAll(async () => {
  dir = temporaryDirectory("worker");
  driver = join(dir.path, "driver");
  runProgram([process.execPath, "build", "--compile", "tests/harness/fetch-driver.ts", `--outfile=${driver}`], {
    cwd: process.cwd(),
  });
  layout = join(dir.path, "layout");
  buildBusyboxOci(layout, { layers: [{ big: randomBytes(3_000_000) }, { other: randomBytes(2_000_000) }] });
  registry = await startRegistry();
  registry.push(layout, "latest", "app:latest");
}, 60_000);
afterAll(() => {
  registry?.stop();
  dir?.[Symbol.dispose]();
});

interface Answer {
  readonly id?: string;
  readonly blobs?: string[];
  readonly signed?: number;
  readonly code?: string;
  readonly message?: string;
  readonly hint?: string;
}

function start(
  args: readonly string[],
  env: Record<string, string> = {},
): { child: ChildProcess; answer: Promise<Answer> } {
  const child = spawn(driver, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { PATH: process.env.PATH ?? "", ...env },
  });
  const done = killAtEnd(child);
  let out = "";
  child.stdout?.on("data", (chunk) => {
    out += String(chunk);
  });
  const { promise, resolve } = Promise.withResolvers<Answer>();
  child.on("close", () => {
    done();
    resolve(JSON.parse(out || "{}"));
  });
  return { child, answer: promise };
}

const fetchInto = (data: string, reference: string, ...more: string[]) => start([data, reference, ...more]).answer;

describe("the fetch worker", () => {
  test("writes as its own user, and leaves directories that the group shares", async () => {
    const data = join(dir.path, "as-user");
    const { blobs = [] } = await fetchInto(data, `docker://${registry.host}/app`);
    expect(blobs.length).toBe(5);
    for (const digest of blobs) {
      const hex = digest.replace("sha256:", "");
      const path = join(data, "cas/blob/sha256", hex.slice(0, 2), `sha256-${hex}`);
      const status = statSync(path);
      expect([status.uid, status.mode & 0o7777]).toEqual([account.uid, 0o660]);
      const parent = statSync(join(path, ".."));
      expect(parent.mode & 0o7777).toBe(0o2770);
      if (rktGroup() !== undefined) expect(status.gid).toBe(rktGroup() ?? -1);
    }
  });

  test("has no capability, no new privileges, no environment, and only its descriptors", async () => {
    using server = await rawServer(() => ({ status: 200, length: 1024, hold: true }));
    const { child, answer } = start([join(dir.path, "confined"), `${server.url}/a.aci`, "none"], {
      SECRET_VARIABLE: "1",
      BUN_OPTIONS: "",
    });
    while (server.requests.length === 0) await Bun.sleep(10);
    const [worker = 0] = childrenOfThreads(child.pid ?? 0);
    expect(readFileSync(`/proc/${worker}/environ`, "utf8")).not.toContain("SECRET_VARIABLE");
    for (const thread of readdirSync(`/proc/${worker}/task`)) {
      const status = readFileSync(`/proc/${worker}/task/${thread}/status`, "utf8");
      expect(status).toMatch(new RegExp(`^Uid:\t${account.uid}\t${account.uid}\t${account.uid}\t${account.uid}$`, "m"));
      expect(status).toMatch(/^CapEff:\t0+$/m);
      expect(status).toMatch(/^CapBnd:\t0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    }
    // Root's death is the worker's too.
    child.kill("SIGKILL");
    await answer;
    for (let wait = 0; isAlive(worker) && wait < 100; wait += 1) await Bun.sleep(10);
    expect(isAlive(worker)).toBe(false);
  });

  test("reads an archive in a directory that only root may enter; a layout there is refused with a way out", async () => {
    const closed = join(dir.path, "closed");
    mkdirSync(closed, { mode: 0o700 });
    const archive = join(closed, "image.tar");
    packOciArchive(layout, archive);
    chmodSync(archive, 0o600);
    const data = join(dir.path, "closed-data");
    expect((await fetchInto(data, `oci-archive:${archive}`)).blobs?.length).toBe(5);
    runProgram(["cp", "-r", layout, join(closed, "layout")]);
    chmodSync(join(closed, "layout/index.json"), 0o600);
    expect(await fetchInto(data, `oci:${closed}/layout`)).toMatchObject({
      code: "PERMISSION",
      hint: expect.stringContaining("oci-archive:"),
    });
  });

  test("signatures of a file: beside it, given, missing", async () => {
    const data = join(dir.path, "signatures");
    const aci = join(dir.path, "signed.aci");
    buildAci(aci);
    expect(await fetchInto(data, aci)).toMatchObject({ signed: 0 });
    using signer = makeSigner();
    const signature = signAci(signer, aci);
    const { size } = statSync(signature);
    expect(await fetchInto(data, aci)).toMatchObject({ signed: size });
    const elsewhere = signer.sign(aci, join(dir.path, "elsewhere.sig"), false);
    expect(await fetchInto(data, aci, elsewhere)).toMatchObject({ signed: statSync(elsewhere).size });
    expect(await fetchInto(data, aci, "/nowhere.asc")).toMatchObject({
      code: "NOT_TRUSTED",
      message: expect.stringContaining("error opening signature file"),
    });
    using server = await rawServer((request) =>
      request.path.endsWith(".asc")
        ? { status: 200, body: readFileSync(signature) }
        : { status: 200, body: readFileSync(aci) },
    );
    expect(await fetchInto(data, `${server.url}/x.aci`)).toMatchObject({ signed: size });
    expect(await fetchInto(data, aci, `${server.url}/y.asc`)).toMatchObject({ signed: size });
  });

  test("ten processes share one download and all succeed", async () => {
    const data = join(dir.path, "ten");
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => fetchInto(data, `docker://${registry.host}/app`)),
    );
    expect(new Set(answers.map((answer) => answer.id)).size).toBe(1);
    expect(answers.every((answer) => answer.blobs?.length === 5)).toBe(true);
    const left = readdirSync(join(data, "cas/tmp")).filter((name) => !name.endsWith(".json"));
    expect(left).toEqual([]);
  }, 30_000);

  test("ten processes share one ACI behind a URL", async () => {
    const data = join(dir.path, "ten-aci");
    const aci = join(dir.path, "shared.aci");
    buildAci(aci);
    let downloads = 0;
    using server = await rawServer(() => {
      downloads += 1;
      return { status: 200, body: readFileSync(aci) };
    });
    const answers = await Promise.all(Array.from({ length: 10 }, () => fetchInto(data, `${server.url}/x.aci`, "none")));
    expect(new Set(answers.map((answer) => answer.id)).size).toBe(1);
    expect(downloads).toBeLessThan(5);
  }, 30_000);

  test("kill -9 in the middle, and the next fetch goes on there", async () => {
    const data = join(dir.path, "killed");
    const aci = join(dir.path, "killed.aci");
    buildAci(aci, {}, { big: randomBytes(2_000_000) });
    const content = readFileSync(aci);
    let hold = true;
    const ranges: string[] = [];
    using server = await rawServer((request) => {
      const range = request.headers.get("range");
      if (range !== undefined) ranges.push(range);
      const from = Number(/=(\d+)/.exec(range ?? "")?.[1] ?? 0);
      const headers = { etag: '"one"' };
      if (hold) return { status: 200, headers, body: content.subarray(0, 1_000_000), length: content.length, hold };
      return {
        status: 206,
        headers: { ...headers, "content-range": `bytes ${from}-${content.length - 1}/${content.length}` },
        body: content.subarray(from),
      };
    });
    const { child, answer } = start([data, `${server.url}/x.aci`, "none"]);
    const parts = () => (existsSync(join(data, "cas/tmp")) ? readdirSync(join(data, "cas/tmp")) : []);
    const size = () => parts().reduce((sum, name) => sum + statSync(join(data, "cas/tmp", name)).size, 0);
    while (size() < 900_000) await Bun.sleep(10);
    child.kill("SIGKILL");
    await answer;
    hold = false;
    expect(await fetchInto(data, `${server.url}/x.aci`, "none")).toMatchObject({
      blobs: [expect.stringMatching(/^sha512:/)],
    });
    expect(ranges.length).toBe(1);
    expect(parts().filter((name) => name.endsWith(".part"))).toEqual([]);
  }, 30_000);

  test("a full disk is called a full disk, and nothing half done is left", async () => {
    const data = join(dir.path, "full");
    mkdirSync(data);
    runProgram(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", data]);
    try {
      const answer = await fetchInto(data, `docker://${registry.host}/app`);
      expect(answer).toMatchObject({
        code: "SYSTEM_CALL",
        message: expect.stringContaining("no space left"),
        hint: expect.stringContaining("rkt image gc"),
      });
      const left = readdirSync(join(data, "cas/tmp")).map((name) => statSync(join(data, "cas/tmp", name)).size);
      expect(left.reduce((sum, size) => sum + size, 0)).toBeLessThan(3_000_000);
    } finally {
      runProgram(["umount", data]);
    }
  });

  test("somebody who is not root fetches with the same program", async () => {
    const data = join(dir.path, "unprivileged");
    mkdirSync(data);
    chownSync(data, account.uid, account.gid);
    chmodSync(dir.path, 0o755);
    chmodSync(driver, 0o755);
    const out = runProgram([
      "setpriv",
      `--reuid=${account.uid}`,
      `--regid=${account.gid}`,
      "--clear-groups",
      driver,
      data,
      `docker://${registry.host}/app`,
    ]);
    expect(JSON.parse(out).blobs.length).toBe(5);
  });
});
