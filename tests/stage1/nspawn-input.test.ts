/** `rkt run --interactive` where rkt's input is no terminal. Needs root. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { RKT, type TestRkt, testRkt } from "../harness/rkt.ts";

describe("interactive input in an nspawn pod", () => {
  let rkt: TestRkt;
  let image: string;
  const command = (script: string) => [
    ...["--insecure-options=image", "run", "--net=none", "--interactive", image, "--exec=/bin/sh", "--", "-c", script],
  ];

  beforeAll(() => {
    rkt = testRkt();
    image = fetchedAci(rkt, {}, { "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n" });
  });
  afterAll(() => rkt[Symbol.dispose]());

  test("all of a pipe arrives, and its end", () => {
    const result = rkt.run(command("read first; echo first=$first; cat; echo end; exit 4"), { input: "one\ntwo\n" });
    expect(result.stdout.replaceAll("\r", "")).toBe("first=one\ntwo\nend\n");
    expect(result.status).toBe(4);
  });

  test("a pod that ends while its input is still open leaves nothing that reads it", () => {
    const flags = `--dir=${rkt.dataDir} --local-config=${rkt.configDir}`;
    // What the app has not read is still in the pipe for the next reader, at the latest a moment after rkt has ended.
    const script = `{ echo one; sleep 3; echo two; } | { ${RKT} ${flags} "$@" > "$OUT"; sleep 1; cat; }`;
    const out = join(rkt.dir, "out");
    const result = spawnSync("sh", ["-c", script, "sh", ...command("read x; echo got $x")], {
      encoding: "utf8",
      env: { PATH: process.env.PATH ?? "", OUT: out },
    });
    expect(spawnSync("cat", [out], { encoding: "utf8" }).stdout).toContain("got one");
    expect(result.stdout).toBe("two\n");
  });

  test("at a terminal Ctrl-] three times ends the pod, with status 1", async () => {
    const line = [RKT, `--dir=${rkt.dataDir}`, `--local-config=${rkt.configDir}`, ...command("echo up; sleep 60")]
      .map((word) => `'${word}'`)
      .join(" ");
    const child = spawn("script", ["-qec", line, "/dev/null"], { stdio: ["pipe", "pipe", "ignore"] });
    child.stdout.on("data", (bytes) => {
      if (String(bytes).includes("up")) child.stdin.write("\x1d\x1d\x1d");
    });
    const status = await new Promise((done) => child.once("exit", done));
    expect(status).toBe(1);
    expect(rkt.ok(["list", "--no-legend"])).not.toContain("running");
  });

  test("a terminal is the app's own, with its size", () => {
    const line = [RKT, `--dir=${rkt.dataDir}`, `--local-config=${rkt.configDir}`, ...command("stty size; exit 6")]
      .map((word) => `'${word}'`)
      .join(" ");
    const result = spawnSync("script", ["-qec", `stty rows 33 cols 99; ${line}`, "/dev/null"], {
      encoding: "utf8",
      stdio: ["pipe", "pipe", "pipe"],
    });
    expect(result.stdout).toContain("33 99");
    expect(result.status).toBe(6);
  });
});
