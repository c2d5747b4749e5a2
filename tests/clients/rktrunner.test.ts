/** rktrunner, which lets users of a cluster run images: interactive, on a terminal, as the user and with the user's home. Needs root, script (util-linux). */

import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { caller, savedUuid, started } from "../harness/clients.ts";
import { buildAci } from "../harness/images.ts";
import { RKT, type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

const rktrunner = caller("rktrunner");
let rkt: TestRkt;
let home = "";
let environment = "";

beforeAll(() => {
  rkt = testRkt();
  chmodSync(rkt.dir, 0o755);
  const aci = join(rkt.dir, "app.aci");
  buildAci(aci, { name: "example.com/hpc" });
  rkt.ok(["--insecure-options=image", "fetch", aci]);
  home = join(rkt.dir, "home");
  mkdirSync(home);
  chownSync(home, 1234, 1234);
  environment = join(rkt.dir, "environment");
  writeFileSync(environment, "# of the job\nJOB_ID=17\n");
});
afterAll(() => rkt?.[Symbol.dispose]());

const quote = (words: readonly string[]) => words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");

const interactive = (script: string, file: string): string[] => {
  const words = [
    ...[
      RKT,
      ...rkt.globals,
      "--insecure-options=image",
      "run",
      "--interactive",
      "--net=host",
      `--uuid-file-save=${file}`,
    ],
    ...["--set-env=USER=u", "--set-env-file", environment, "--volume", "scratch,kind=empty,uid=1234,gid=1234"],
    ...["--volume", `home,kind=host,source=${home}`, "example.com/hpc", "--mount", "volume=scratch,target=/scratch"],
    ...[
      "--mount",
      "volume=home,target=/home/u",
      "--user=1234",
      "--group=1234",
      "--exec",
      "/bin/sh",
      "--",
      "-c",
      script,
    ],
  ];
  // A terminal, as a user has one.
  return ["script", "--quiet", "--return", "--log-out", "/dev/null", "--command", quote(words)];
};

rktrunner.covers(
  [
    "rkt --insecure-options=image run --interactive --net=host --set-env=… --set-env-file F --volume … IMG --mount volume=…,target=… --user=U --group=G --exec CMD -- ARGS",
  ],
  "a job runs on the user's terminal, as the user, with home and scratch space, and its status comes back",
  async () => {
    const script =
      "tty; id -u; id -g; echo $USER $JOB_ID; echo mine > /home/u/result && echo x > /scratch/x && ls -ln /scratch | tail -n 1; readlink /proc/self/ns/net; exit 6";
    const job = await started(interactive(script, join(rkt.dir, "first"))).ended;
    expect(job.status).toBe(6);
    const [terminal, ...lines] = job.stdout.replaceAll("\r", "").trim().split("\n").slice(-6);
    expect(terminal).toEndWith("/dev/console");
    expect(lines.slice(0, 3)).toEqual(["1234", "1234", "u 17"]);
    expect(lines[3]).toMatch(/ 1234 +1234 .* x$/);
    expect(lines[4]).toBe(Bun.spawnSync(["readlink", "/proc/self/ns/net"]).stdout.toString().trim());
    expect(readFileSync(join(home, "result"), "utf8")).toBe("mine\n");
  },
);

rktrunner.covers(
  ["rkt list --full --no-legend", "rkt status U", "rkt cat-manifest U", "rkt stop U"],
  "the user's pods are found by what they run, and stopped",
  async () => {
    const file = join(rkt.dir, "second");
    const job = started(interactive("echo up; sleep 1000", file));
    const uuid = await savedUuid(file);
    await until("the job", () => job.stdout().includes("up"), 120);
    const line =
      rkt
        .ok(["list", "--full", "--no-legend"])
        .split("\n")
        .find((each) => each.startsWith(uuid)) ?? "";
    expect(line).toMatch(/\shpc\s+example\.com\/hpc:1\.0\.0\s+sha512-[0-9a-f]{12}\s+running\s/);
    const status = rkt.ok(["status", uuid]);
    for (const part of ["state=running\n", "pid=", "exited=false\n"]) expect(status).toContain(part);
    const manifest = JSON.parse(rkt.ok(["cat-manifest", uuid]));
    expect(manifest.apps[0].app).toMatchObject({ user: "1234", group: "1234" });
    expect(manifest.volumes.map(({ name }: { name: string }) => name).sort()).toEqual(["home", "scratch"]);
    expect(rkt.run(["stop", uuid])).toMatchObject({ status: 0, stdout: `"${uuid}"\n` });
    await job.ended;
    await until("the end", () => rkt.ok(["status", uuid]).includes("exited=true\n"));
  },
);

rktrunner.nothingLeftOut();
