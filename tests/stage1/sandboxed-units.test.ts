/** The services that are shipped do their work in their sandboxes (tests/integration/shipped-units.test.ts rates these), on a host whose systemd is process 1. Needs root. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { type BootedDebian, bootDebian } from "../harness/booted-debian.ts";
import { buildAci } from "../harness/images.ts";
import { until } from "../harness/rkt.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

// biome-ignore lint/suspicious/noExplicitAny: a client that is made at run time has no types.
type Answer = any;
type Client = grpc.Client &
  Record<string, (request: object, done?: (error: grpc.ServiceError | null, answer: Answer) => void) => Answer>;

let files: TemporaryDirectory;
let machine: BootedDebian;
let image: string;
const pods: Record<string, string> = {};
const run = (...words: string[]) => ["rkt", "--insecure-options=image", "run", ...words];

beforeAll(async () => {
  files = temporaryDirectory("sandboxed");
  buildAci(join(files.path, "app.aci"));
  machine = await bootDebian({ binds: { "/opt/files": files.path, "/opt/dist": resolve("dist") } });
  mkdirSync(machine.path("/etc/systemd/system"), { recursive: true });
  for (const unit of readdirSync("dist/init/systemd"))
    writeFileSync(
      machine.path(`/etc/systemd/system/${unit}`),
      readFileSync(join("dist/init/systemd", unit), "utf8").replaceAll("@PREFIX@", "/usr/local"),
    );
  // A second socket, which the test reaches through the machine's files.
  mkdirSync(machine.path("/etc/systemd/system/rkt-api-tcp.socket.d"));
  writeFileSync(
    machine.path("/etc/systemd/system/rkt-api-tcp.socket.d/test.conf"),
    "[Socket]\nListenStream=/run/api-for-test.sock\n",
  );
  machine.enter(["systemctl", "daemon-reload"]);
  const tables = ["sysusers.d", "tmpfiles.d"].map((table) => `/opt/dist/${table}/rkt.conf`);
  machine.enter(["sh", "/opt/dist/setup-data-dir.sh", ...tables]);
  image = machine.ok(["rkt", "--insecure-options=image", "fetch", "--full", "/opt/files/app.aci"]).trim();
  for (const [name, flags] of Object.entries({ plain: [], mapped: ["--private-users"] })) {
    machine.ok(run("--net=default", ...flags, `--uuid-file-save=/run/${name}`, image, "--exec=/bin/echo", "--", name));
    pods[name] = readFileSync(machine.path(`/run/${name}`), "utf8").trim();
  }
});
afterAll(() => {
  machine?.[Symbol.dispose]();
  files[Symbol.dispose]();
});

const property = (unit: string, name: string) =>
  machine.enter(["systemctl", "show", "--value", `--property=${name}`, unit]).trim();

test("the API service, by systemd's sockets and without a network: pods, images, and the logs of pods with and without users of their own", async () => {
  machine.enter(["systemctl", "start", "rkt-api-tcp.socket"]);
  const { v1alpha } = grpc.loadPackageDefinition(
    loadSync(resolve("src/services/v1alpha.proto"), { keepCase: true, longs: Number, enums: String, defaults: true }),
  ) as unknown as { v1alpha: { PublicAPI: new (address: string, credentials: grpc.ChannelCredentials) => Client } };
  const address = `unix:${machine.path("/run/api-for-test.sock")}`;
  const client = new v1alpha.PublicAPI(address, grpc.credentials.createInsecure());
  const ask = (method: string, request: object) =>
    new Promise<Answer>((done, fail) => {
      client[method]?.(request, (error, answer) => (error === null ? done(answer) : fail(error)));
    });
  const logs = (pod: string) =>
    new Promise<string[]>((done, fail) => {
      const lines: string[] = [];
      const call = client["GetLogs"]?.({ pod_id: pod });
      call.on("data", (answer: Answer) => lines.push(...answer.lines));
      call.on("error", fail);
      call.on("end", () => done(lines));
    });
  const listed = (await ask("ListPods", { detail: true })).pods;
  expect(listed.map(({ id }: Answer) => id).sort()).toEqual(Object.values(pods).sort());
  expect(listed.map(({ state }: Answer) => state)).toEqual(["POD_STATE_EXITED", "POD_STATE_EXITED"]);
  expect((await ask("InspectImage", { id: image })).image.manifest.length).toBeGreaterThan(100);
  for (const [name, pod] of Object.entries(pods)) expect(await logs(pod)).toEqual([expect.stringContaining(name)]);
  client.close();
  machine.enter(["systemctl", "stop", "rkt-api-tcp.socket", "rkt-api.service"]);
  expect(property("rkt-api.service", "Result")).toBe("success");
});

test("the metadata service answers on the pod's network, and knows its pods after a restart", () => {
  machine.enter(["systemctl", "start", "rkt-metadata.socket"]);
  const ask = "wget -q -O - $AC_METADATA_URL/acMetadata/v1/pod/uuid";
  const words = ["--mds-register", "--uuid-file-save=/run/asking", image, "--exec=/bin/sh", "--", "-c", ask];
  for (let round = 0; round < 2; round += 1) {
    expect(machine.ok(run(...words))).toContain(readFileSync(machine.path("/run/asking"), "utf8").trim());
    machine.enter(["systemctl", "restart", "rkt-metadata.service"]);
    expect(property("rkt-metadata.service", "ActiveState")).toBe("active");
  }
});

test("gc unmounts, deletes and gives networks back: of pods that ended and of one whose supervisor was killed", async () => {
  machine.enter(["systemd-run", "--unit=lost", ...run("--net=default", image, "--exec=/bin/sleep", "--", "600")]);
  const mounts = () => machine.enter(["findmnt", "-rn", "-o", "TARGET"]).match(/\/var\/lib\/rkt\/pods\/.*/g) ?? [];
  const links = () => machine.enter(["ip", "-brief", "link"]).match(/^veth/gm) ?? [];
  await until("the pod", () => machine.enter(["rkt", "list", "--no-legend"]).includes("running"));
  machine.enter(["sh", "-c", `kill -KILL ${property("lost", "MainPID")}`]);
  await until("its end", () => property("lost", "ActiveState") === "failed");
  expect(mounts()).not.toEqual([]);
  mkdirSync(machine.path("/etc/default"), { recursive: true });
  writeFileSync(machine.path("/etc/default/rkt"), "GRACE_PERIOD=0s\n");
  // The first marks pods that ended, the second removes them.
  for (let round = 0; round < 2; round += 1) machine.enter(["systemctl", "start", "rkt-gc.service"]);
  expect(machine.enter(["rkt", "list", "--no-legend"])).toBe("");
  expect([mounts(), links(), readdirSync(machine.path("/run/netns"))]).toEqual([[], [], []]);
  expect(readdirSync(machine.path("/run/rkt/metadata"))).toEqual(["hmac-key"]);
});
