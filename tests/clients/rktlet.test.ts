/** rktlet, line by line: the life of a pod with three apps is that of tests/harness/orchestrator.ts; here is what lies beside it. Needs root, docker-registry, skopeo. */

import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { caller, running, savedUuid } from "../harness/clients.ts";
import { buildBusyboxOci } from "../harness/images.ts";
import { orchestrate } from "../harness/orchestrator.ts";
import { startRegistry, type TestRegistry } from "../harness/registry.ts";
import { RKT, type TestRkt, testRkt } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

const rktlet = caller("rktlet");
const ENV = { RKT_EXPERIMENT_APP: "true", RKT_EXPERIMENT_ATTACH: "true" };
let rkt: TestRkt;
let registry: TestRegistry;
let id = "";

beforeAll(async () => {
  rkt = testRkt();
  registry = await startRegistry();
  const layout = join(rkt.dir, "layout");
  buildBusyboxOci(layout, { tag: "v1" });
  registry.push(layout, "v1", "busybox:v1");
});
afterAll(() => {
  rkt?.[Symbol.dispose]();
  registry?.stop();
});

/** stdout and stderr in one, as rktlet reads them. */
function both(...words: string[]): { status: number; text: string } {
  const command = ["sh", "-c", 'exec "$@" 2>&1', "rktlet", RKT, ...rkt.globals, ...words];
  const { exitCode, stdout } = Bun.spawnSync(command, { cwd: "/", env: { ...process.env, ...ENV }, stdin: "ignore" });
  return { status: exitCode, text: stdout.toString() };
}

rktlet.covers(
  [
    "rkt image fetch --pull-policy=update --full=true IMG",
    "rkt image list --full --format=json --sort=importtime",
    "rkt image cat-manifest ID",
  ],
  "an image is fetched, and its id is the last line; the list has it with its times",
  () => {
    const before = Date.now();
    const fetched = both(
      "image",
      "--insecure-options=image,http",
      "fetch",
      "--pull-policy=update",
      "--full=true",
      `docker://${registry.host}/busybox:v1`,
    );
    expect(fetched.status).toBe(0);
    id = fetched.text.trim().split("\n").pop() ?? "";
    expect(id).toMatch(/^sha512-[0-9a-f]{64}$/);
    const listed = both("image", "list", "--full", "--format=json", "--sort=importtime");
    expect(listed.text).toMatch(/^[^\n]+\n$/);
    const images: Record<string, unknown>[] = JSON.parse(listed.text);
    const image = images.find((each) => each["id"] === id);
    expect(image).toMatchObject({ name: `${registry.host.replace(":", "_")}/busybox:v1`, size: expect.any(Number) });
    // Nanoseconds.
    for (const time of ["import_time", "last_used_time"])
      expect(Number(image?.[time]) / 1e6).toBeGreaterThan(before - 1000);
    const manifest = JSON.parse(both("image", "cat-manifest", id).text);
    expect(manifest.annotations.map(({ name }: { name: string }) => name)).toContain("appc.io/docker/repository");
  },
);

rktlet.covers(
  [
    "rkt app --debug sandbox --uuid-file-save=F --annotation=… --hostname=H --net=NAME",
    "rkt app add UUID IMAGE …",
    "rkt app start|stop|rm UUID --app=A",
    "rkt app status UUID --app=A --format=json",
    "rkt app exec --app=A UUID CMD",
    "rkt stop --force=true|false UUID",
    "rkt rm UUID",
    "rkt status UUID --format=json --wait-ready=10s",
    "rkt list --format=json",
  ],
  "a pod with three apps lives as rktlet has it live",
  async () => {
    expect((await orchestrate(rkt, id)).findings).toEqual([]);
  },
);

rktlet.covers(
  [
    "rkt app sandbox --net=host --hosts-entry=host --dns=… --dns-search=… --dns-opt=… --insecure-options=all-run --port=…",
  ],
  "a pod on the host's network, with the host's hosts, the cluster's servers of names, and no restrictions",
  async () => {
    const file = join(rkt.dir, "host-uuid");
    const sandbox = rkt.start(
      [
        ...["app", "sandbox", `--uuid-file-save=${file}`, "--net=host", "--hosts-entry=host", "--dns=10.0.0.10"],
        ...["--dns-search=svc.cluster.local", "--dns-opt=ndots:5", "--insecure-options=all-run"],
      ],
      { env: ENV },
    );
    const uuid = await savedUuid(file);
    await running(rkt, uuid);
    const added = both("app", "add", uuid, id, "--name=0-web", "--exec=/bin/sleep", "--", "1000", "---");
    expect(added).toEqual({ status: 0, text: "" });
    expect(both("app", "start", uuid, "--app=0-web")).toEqual({ status: 0, text: "" });
    const inside = (script: string) => both("app", "exec", "--app=0-web", uuid, "/bin/sh", "-c", script).text;
    expect(inside("cat /etc/hosts")).toBe(readFileSync("/etc/hosts", "utf8"));
    expect(inside("cat /etc/resolv.conf")).toContain(
      "search svc.cluster.local\nnameserver 10.0.0.10\noptions ndots:5\n",
    );
    const net = Bun.spawnSync(["readlink", "/proc/self/ns/net"]).stdout.toString();
    expect(inside("readlink /proc/self/ns/net")).toBe(net);
    expect(inside("grep Seccomp: /proc/self/status")).not.toBe("");
    expect(both("app", "stop", uuid, "--app=none").text).toContain("none");
    expect(both("stop", "--force=true", uuid).status).toBe(0);
    await sandbox.ended;
    expect(both("rm", uuid).status).toBe(0);
  },
);

rktlet.covers(
  [
    "rkt app sandbox --net=host --hosts-entry=host --dns=… --dns-search=… --dns-opt=… --insecure-options=all-run --port=…",
  ],
  "a port of the host's leads to an app that is added later",
  async () => {
    const file = join(rkt.dir, "port-uuid");
    const words = ["app", "sandbox", `--uuid-file-save=${file}`, "--net=default", "--port=http:tcp:80:127.0.0.1:18499"];
    const sandbox = rkt.start(words, { env: ENV });
    const uuid = await savedUuid(file);
    expect((await running(rkt, uuid)).networks).toHaveLength(1);
    const serve = "echo served > /index.html; exec httpd -f -p 80 -h /";
    both("app", "add", uuid, id, "--name=0-web", "--exec=/bin/sh", "--", "-c", serve, "---");
    both("app", "start", uuid, "--app=0-web");
    let page = "";
    for (let tries = 0; page === "" && tries < 100; tries += 1) {
      page = Bun.spawnSync(["curl", "-s", "http://127.0.0.1:18499/index.html"]).stdout.toString();
      if (page === "") await Bun.sleep(100);
    }
    expect(page).toBe("served\n");
    both("stop", "--force=true", uuid);
    await sandbox.ended;
    expect(both("rm", uuid).status).toBe(0);
  },
);

rktlet.covers(["rkt image rm ID"], "the image goes", () => {
  expect(both("image", "rm", id)).toMatchObject({
    status: 0,
    text: expect.stringContaining(`successfully removed aci for image: "${id}"`),
  });
  expect(
    JSON.parse(both("image", "list", "--full", "--format=json", "--sort=importtime").text)?.map(
      (each: { id: string }) => each.id,
    ) ?? [],
  ).not.toContain(id);
});

rktlet.nothingLeftOut();
