/** EVE's eveadm, line by line: options after the words, a stage1 by its path. Needs root. */

import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { asCalled, caller, running, savedUuid, started, UUID } from "../harness/clients.ts";
import { buildAci } from "../harness/images.ts";
import { RKT, type TestRkt, testRkt } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

const eve = caller("eve");
const STAGE1 = join(dirname(RKT), "stage1-nspawn.aci");
let rkt: TestRkt;
let D = "";
let id = "";
let uuid = "";
let server: ReturnType<typeof Bun.serve>;

beforeAll(() => {
  rkt = testRkt();
  D = `--dir=${rkt.dataDir}`;
  const aci = join(rkt.dir, "app.aci");
  buildAci(aci, { name: "example.com/edge" });
  server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(readFileSync(aci)) });
});
afterAll(() => {
  rkt?.[Symbol.dispose]();
  void server?.stop(true);
});

eve.covers(["rkt fetch --dir=D --insecure-options=O URL"], "an image is fetched, and its hash is the output", () => {
  return asynchronous(["fetch", D, "--insecure-options=image,http", `http://127.0.0.1:${server.port}/edge.aci`]).then(
    (fetched) => {
      expect([fetched.status, fetched.stdout]).toEqual([0, expect.stringMatching(/^sha512-[0-9a-f]{32}\n$/)]);
      id = fetched.stdout.trim();
    },
  );
});

const asynchronous = (words: string[]) => started([RKT, ...words]).ended;

eve.covers(
  ["rkt image list --dir=D --no-legend --fields=F", "rkt image cat-manifest ID"],
  "images are listed by the fields that are asked for",
  () => {
    expect(asCalled(["image", "list", D, "--no-legend", "--fields=id,name"]).stdout).toMatch(
      /^sha512-[0-9a-f]{12}\s+example\.com\/edge:1\.0\.0\n$/,
    );
    expect(asCalled(["image", "list", D, "--no-legend", "--fields=name"]).stdout.trim()).toBe("example.com/edge:1.0.0");
    const manifest = asCalled([D, "image", "cat-manifest", id]);
    expect(JSON.parse(manifest.stdout)).toMatchObject({ acKind: "ImageManifest", name: "example.com/edge" });
  },
);

eve.covers(
  [
    "rkt --dir=D --insecure-options=O prepare SHA --stage1-path=S --name=N --no-overlay --quiet",
    "rkt list --dir=D --no-legend --fields=F",
  ],
  "a pod is prepared under a name, and listed",
  () => {
    const words = [
      D,
      "--insecure-options=image",
      "prepare",
      id,
      `--stage1-path=${STAGE1}`,
      "--name=edge-app",
      "--no-overlay",
      "--quiet",
    ];
    const prepared = asCalled(words);
    expect([prepared.status, prepared.stdout, prepared.stderr]).toEqual([0, expect.stringMatching(UUID), ""]);
    const listed = asCalled(["list", D, "--no-legend"]);
    expect(listed.stdout).toMatch(/^[0-9a-f]{8}\s+edge-app\s+example\.com\/edge:1\.0\.0\s+prepared\s/);
  },
);

eve.covers(
  ["rkt run SHA --dir=D --stage1-path=S --uuid-file-save=F --set-env=K=V", "rkt stop U --force=true"],
  "a pod runs until it is stopped",
  async () => {
    const file = join(rkt.dir, "uuid");
    const words = [
      "run",
      id,
      D,
      `--stage1-path=${STAGE1}`,
      `--uuid-file-save=${file}`,
      "--set-env=EDGE=yes",
      "--net=none",
    ];
    const pod = started([RKT, ...words, "--insecure-options=image", "--exec=/bin/sleep", "--", "1000"], {
      STAGE1_XL_OPTS: "ignored",
    });
    uuid = await savedUuid(file);
    expect(await running(rkt, uuid)).toMatchObject({ name: uuid, state: "running", app_names: ["edge"] });
    expect(asCalled([D, "enter", uuid, "/bin/sh", "-c", "echo $EDGE"]).stdout).toBe("yes\n");
    expect(asCalled([D, "stop", uuid, "--force=true"])).toEqual({ status: 0, stdout: `"${uuid}"\n`, stderr: "" });
    await pod.ended;
    expect(asCalled(["list", D, "--no-legend", "--full"]).stdout).toMatch(new RegExp(`^${uuid}\\s.*\\sexited\\s`, "m"));
  },
);

eve.covers(
  ["rkt gc --dir=D --grace-period=T", "rkt image gc --dir=D --grace-period=T", "rkt image rm ID"],
  "what ended is collected, and images go by age or by name",
  () => {
    const gc = asCalled(["gc", D, "--grace-period=0s"]);
    expect([gc.status, gc.stdout]).toEqual([0, `Garbage collecting pod "${uuid}"\n`]);
    expect(existsSync(join(rkt.dataDir, "pods/exited-garbage", uuid))).toBe(false);
    expect(asCalled(["gc", D, "--grace-period=0s", "--expire-prepared=0s"]).status).toBe(0);
    expect(asCalled(["image", "gc", D, "--grace-period=24h"]).status).toBe(0);
    expect(asCalled(["image", "list", D, "--no-legend", "--fields=name"]).stdout).toContain("example.com/edge");
    expect(asCalled([D, "image", "rm", id]).stdout).toContain("successfully removed aci for image: ");
    // An id that is no more is told, and no failure.
    expect(asCalled([D, "image", "rm", id]).status).toBe(0);
  },
);

eve.nothingLeftOut();
