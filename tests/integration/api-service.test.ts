/** The gRPC service, asked by a client made from the message definitions alone. Needs root. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { newUuid } from "../../src/core/uuid.ts";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { launchRkt } from "../harness/launch.ts";
import { type RunningRkt, type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

// biome-ignore lint/suspicious/noExplicitAny: a client that is made at run time has no types.
type Answer = any;
type Client = grpc.Client &
  Record<string, (request: object, done: (error: grpc.ServiceError | null, answer: Answer) => void) => Answer>;

const { v1alpha } = grpc.loadPackageDefinition(
  loadSync(resolve("src/services/v1alpha.proto"), { keepCase: true, longs: Number, enums: String, defaults: true }),
) as unknown as { v1alpha: { PublicAPI: new (address: string, credentials: grpc.ChannelCredentials) => Client } };

let rkt: TestRkt;
let image: string;
let service: RunningRkt;
let client: Client;
let uuid: string;

const connect = (address: string) => new v1alpha.PublicAPI(address, grpc.credentials.createInsecure());
const ask = (method: string, request: object = {}, who = client) =>
  new Promise<Answer>((done, fail) => {
    who[method]?.(request, (error, answer) => (error === null ? done(answer) : fail(error)));
  });

/** The status of a call that fails. */
const refusal = (method: string, request: object) =>
  ask(method, request).then(
    () => grpc.status.OK,
    (error: grpc.ServiceError) => error.code,
  );

beforeAll(async () => {
  rkt = testRkt();
  image = fetchedAci(rkt);
  uuid = rkt.ok(["prepare", image, "--name=app", "--exec=/bin/true"]).trim();
  const socket = join(rkt.dir, "api.sock");
  service = rkt.start(["api-service", `--listen=unix:${socket}`]);
  await until("the service", () => service.stderr().includes("API service running"));
  client = connect(`unix:${socket}`);
});
afterAll(() => {
  client.close();
  rkt[Symbol.dispose]();
});

describe("the API", () => {
  test("tells about rkt", async () => {
    const { info } = await ask("GetInfo");
    expect(info).toMatchObject({
      appc_version: "0.8.11",
      api_version: "1.0.0-alpha",
      global_flags: { dir: rkt.dataDir },
    });
    expect(info.rkt_version).toBe(/^rkt Version: (.*)$/m.exec(rkt.ok(["version"]))?.[1]);
  });

  test("lists pods and looks into one", async () => {
    const [pod] = (await ask("ListPods")).pods;
    expect(pod).toMatchObject({
      id: uuid,
      pid: -1,
      state: "POD_STATE_PREPARED",
      apps: [{ name: "app", image: { id: image } }],
    });
    expect(pod.manifest.length).toBe(0);
    const inspected = (await ask("InspectPod", { id: uuid })).pod;
    expect(JSON.parse(inspected.manifest.toString()).apps[0].name).toBe("app");
    expect(inspected.created_at).toBeGreaterThan(1e18);
    expect(inspected.apps[0].image.name).toBe("example.com/busybox");
    expect(await refusal("InspectPod", { id: newUuid() })).toBe(grpc.status.NOT_FOUND);
  });

  test("filters pods: all fields of a filter, any filter", async () => {
    const count = async (...filters: object[]) => (await ask("ListPods", { filters })).pods.length;
    expect(await count({ ids: [uuid, "x"] })).toBe(1);
    expect(await count({ ids: ["x"] })).toBe(0);
    expect(await count({ states: ["POD_STATE_PREPARED"], app_names: ["app"], image_ids: [image] })).toBe(1);
    expect(await count({ states: ["POD_STATE_RUNNING"] })).toBe(0);
    expect(await count({ states: ["POD_STATE_RUNNING"] }, { app_names: ["app"] })).toBe(1);
    expect(await count({ annotations: [{ Key: "coreos.com/rkt/stage1/mutable", value: "false" }] })).toBe(1);
    expect(await count({ network_names: ["default"] })).toBe(0);
  });

  test("lists images and looks into one", async () => {
    const find = async (filter: object) =>
      (await ask("ListImages", { filters: [filter] })).images.map((one: Answer) => one.id);
    for (const filter of [
      { ids: [image] },
      { prefixes: ["example.com/"] },
      { base_names: ["busybox"] },
      { keywords: ["busy"] },
    ])
      expect(await find(filter)).toEqual([image]);
    expect(await find({ full_names: ["example.com/busybox:1.0.0"], labels: [{ Key: "os", value: "linux" }] })).toEqual([
      image,
    ]);
    expect(await find({ base_names: ["busy"] })).toEqual([]);
    expect(await find({ keywords: ["busy"], imported_before: 1 })).toEqual([]);
    const inspected = (await ask("InspectImage", { id: image })).image;
    expect(inspected).toMatchObject({
      name: "example.com/busybox",
      version: "1.0.0",
      base_format: { type: "IMAGE_TYPE_APPC" },
    });
    expect(JSON.parse(inspected.manifest.toString()).acKind).toBe("ImageManifest");
    expect(await refusal("InspectImage", { id: "sha512-0" })).toBe(grpc.status.NOT_FOUND);
  });

  test("streams events, those of before and those to come", async () => {
    const events: Answer[] = [];
    const call = client["ListenEvents"]?.({ filter: { since_time: 1 } }, () => undefined);
    call.on("data", ({ events: more }: Answer) => events.push(...more));
    call.on("error", () => undefined);
    await until("the past", () => events.some(({ type }) => type === "EVENT_TYPE_IMAGE_IMPORTED"));
    const run = rkt.run([
      "--insecure-options=image",
      "run",
      "--net=none",
      image,
      "--name=eventful",
      "--exec=/bin/sh",
      "--",
      "-c",
      "sleep 2; exit 3",
    ]);
    expect(run.status).toBe(3);
    const types = () => events.filter(({ from, id }) => from === "eventful" || id !== uuid).map(({ type }) => type);
    await until("the end of the pod", () => types().includes("EVENT_TYPE_POD_EXITED"));
    for (const type of ["POD_PREPARED", "POD_STARTED", "APP_STARTED", "APP_EXITED"])
      expect(types()).toContain(`EVENT_TYPE_${type}`);
    const exited = events.find(({ type }) => type === "EVENT_TYPE_APP_EXITED");
    expect(exited).toMatchObject({ from: "eventful", data: [{ Key: "exit_code", value: "3" }] });
    rkt.ok(["gc", "--grace-period=0s"]);
    await until("its removal", () => types().includes("EVENT_TYPE_POD_GARBAGE_COLLECTED"));
    call.cancel();
  });

  test("streams the lines of a pod's log", async () => {
    const uuidFile = join(rkt.dir, "logged");
    const journal = ["--annotation=coreos.com/rkt/stage1/journal=true", `--uuid-file-save=${uuidFile}`];
    const words = [image, "--name=talker", "--exec=/bin/sh", "--", "-c", "echo first line; echo second line"];
    rkt.ok(["--insecure-options=image", "run", "--net=none", ...journal, ...words]);
    const logs = (request: object) =>
      new Promise<string[]>((done, fail) => {
        const lines: string[] = [];
        const call = client["GetLogs"]?.(request, () => undefined);
        call.on("data", (answer: Answer) => lines.push(...answer.lines));
        call.on("error", fail);
        call.on("end", () => done(lines));
      });
    const pod = readFileSync(uuidFile, "utf8").trim();
    expect(await logs({ pod_id: pod })).toEqual([
      expect.stringContaining("first line"),
      expect.stringContaining("second line"),
    ]);
    expect(await logs({ pod_id: pod.slice(0, 8), app_name: "talker", lines: 1 })).toEqual([
      expect.stringContaining("second line"),
    ]);
    const refused = (request: object) => logs(request).catch(({ code }) => code);
    expect(await refused({ pod_id: newUuid() })).toBe(grpc.status.NOT_FOUND);
    expect(await refused({ pod_id: uuid })).toBe(grpc.status.FAILED_PRECONDITION);
    rkt.ok(["rm", pod]);
  });

  test("lists a thousand pods, and stays small", async () => {
    const prepared = join(rkt.dataDir, "pods/prepared");
    const copies = Array.from({ length: 1000 }, () => newUuid());
    for (const copy of copies) cpSync(join(prepared, uuid), join(prepared, copy), { recursive: true });
    const times: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const start = performance.now();
      expect((await ask("ListPods")).pods.length).toBe(1001);
      times.push(performance.now() - start);
    }
    console.log(`1001 pods listed in ${times.map((time) => time.toFixed(0)).join(", ")} ms`);
    spawnSync("rm", ["-rf", "--one-file-system", ...copies.map((copy) => join(prepared, copy))]);
    const calls = Number(process.env["RKT_TEST_CALLS"] ?? 500);
    for (let round = 0; round < calls; round += 50)
      await Promise.all(Array.from({ length: 50 }, () => ask("ListPods")));
    const resident = () =>
      Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${service.pid}/status`, "utf8"))?.[1]);
    const busy = resident();
    // It tidies up two seconds after a call.
    await until("the service to be small again", () => resident() < 96 * 1024);
    console.log(
      `${Math.round(busy / 1024)} MB after ${calls} calls, ${Math.round(resident() / 1024)} MB seconds later`,
    );
  });

  test("serves sockets that it was started with, and ends with 0", async () => {
    const port = 15_442;
    const started = launchRkt(rkt, ["api-service"], { sockets: [`127.0.0.1:${port}`] });
    await until("the service", () => started.stderr().includes("API service running"));
    expect(started.stderr()).toContain("Listening on 1 systemd-provided socket(s)");
    const other = connect(`127.0.0.1:${port}`);
    expect((await ask("GetInfo", {}, other)).info.api_version).toBe("1.0.0-alpha");
    other.close();
    started.kill("SIGTERM");
    expect((await started.ended).status).toBe(0);
    const both = launchRkt(rkt, ["api-service", "--listen=localhost:1"], { sockets: [`127.0.0.1:${port + 1}`] });
    expect((await both.ended).stderr).toContain("started under systemd.socket(5), but --listen passed! Quitting.");
    service.kill("SIGTERM");
    expect((await service.ended).status).toBe(0);
    expect(existsSync(join(rkt.dir, "api.sock"))).toBe(false);
  });
});

test("events on the command line", () => {
  const text = rkt.ok(["events", "--since=1h", `--until=@${Math.floor(Date.now() / 1000)}`]);
  expect(text).toMatch(new RegExp(`^\\S+Z image-imported ${image} example.com/busybox$`, "m"));
  expect(text).toMatch(new RegExp(`^\\S+Z pod-prepared ${uuid}$`, "m"));
  const [first = ""] = rkt.ok(["events", "--since=1h", "--until=@1", "--format=json"]).split("\n");
  expect(first).toBe("");
  const json = rkt
    .ok(["events", "--since=@1", `--until=@${Math.floor(Date.now() / 1000)}`, "--format=json"])
    .trim()
    .split("\n");
  expect(json.map((line) => JSON.parse(line).type)).toContain("pod-prepared");
});
