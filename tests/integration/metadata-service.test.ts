/**
 * The metadata service, asked by apps in pods: everything that the App Container specification's executor validator checks, on networks that lead to the host; and what becomes
 * of registrations when the service is killed. On a host of the test's own. Needs root, iptables, containernetworking-plugins, busybox.
 */

import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { enterPrivateHost } from "../harness/private-host.ts";
import { type RunningRkt, type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { runProgram } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

const SOCKET = "/run/rkt/metadata-svc.sock";
let rkt: TestRkt;
let service: RunningRkt | undefined;

beforeAll(() => {
  enterPrivateHost();
  rkt = testRkt();
  const script = readFileSync("tests/harness/ace-validator.sh", "utf8");
  for (const stage of ["main", "sidekick"]) {
    const handler = (name: string, mode: string) => ({ name, exec: ["/bin/ace-validator", mode] });
    const app = {
      ...{ exec: ["/bin/ace-validator", stage], user: "0", group: "0", workingDirectory: "/opt/acvalidator" },
      environment: [{ name: "IN_ACE_VALIDATOR", value: "correct" }],
      mountPoints: [{ name: "database", path: "/db" }],
      eventHandlers: stage === "main" ? [handler("pre-start", "prestart"), handler("post-stop", "poststop")] : [],
      isolators: [{ name: "resource/memory", value: { limit: "1G" } }],
    };
    const annotations = [{ name: "lorem", value: "ipsum dolor" }];
    const files = { "bin/ace-validator": script, "opt/acvalidator/keep": "" };
    buildAci(join(rkt.dir, `${stage}.aci`), { name: `coreos.com/ace-validator-${stage}`, app, annotations }, files);
    rkt.ok(["--insecure-options=image", "fetch", join(rkt.dir, `${stage}.aci`)]);
  }
});
afterEach(() => {
  for (const uuid of rkt.pods()) rkt.run(["stop", "--force", uuid]);
  rkt.run(["gc", "--grace-period=0s"]);
});
afterAll(async () => {
  service?.kill("SIGTERM");
  await service?.ended;
  rkt[Symbol.dispose]();
});

async function startService(): Promise<void> {
  service = rkt.start(["metadata-service"]);
  await until("the service", () => service?.stderr().includes("metadata service running") === true);
}

async function endService(signal: NodeJS.Signals): Promise<void> {
  service?.kill(signal);
  await service?.ended;
}

const IMAGES = ["coreos.com/ace-validator-main", "---", "coreos.com/ace-validator-sidekick"];
const POD = ["--insecure-options=image", "run", "--mds-register", "--annotation=example.com/colour=green"];

/** A pod that waits: asks for its metadata when the test lets it. */
async function waitingPod(net: string): Promise<{ uuid: string; url: string }> {
  const file = join(rkt.dir, "uuid");
  const script = 'echo "url $AC_METADATA_URL"; sleep 1000';
  const words = ["coreos.com/ace-validator-main", "--exec=/bin/sh", "--working-dir=/", "--", "-c", script];
  const pod = rkt.start([...POD, `--net=${net}`, `--uuid-file-save=${file}`, ...words]);
  await until("the app", () => /url http/.test(pod.stdout()));
  return { uuid: readFileSync(file, "utf8").trim(), url: /url (\S+)/.exec(pod.stdout())?.[1] ?? "" };
}

/** By a program: the runtime's own client has threads of before the change of network. */
function curl(url: string, ...words: string[]): { status: number; body: string } {
  const said = runProgram(["curl", "--silent", "--path-as-is", "--write-out", "\\n%{http_code}", ...words, url]);
  const end = said.lastIndexOf("\n");
  return { status: Number(said.slice(end + 1)), body: said.slice(0, end) };
}

/** Status and body of a request to the registration socket. */
function register(method: string, path: string, body = ""): Promise<{ status: number; body: string }> {
  return new Promise((done, failed) => {
    const sent = request({ socketPath: SOCKET, method, path, headers: { "Content-Length": body.length } }, (answer) => {
      let text = "";
      answer.on("data", (chunk) => {
        text += chunk;
      });
      answer.on("end", () => done({ status: answer.statusCode ?? 0, body: text }));
    });
    sent.on("error", failed);
    sent.end(body);
  });
}

test("without a service, --mds-register is refused, in rkt's words, and leaves nothing", () => {
  const result = rkt.run([...POD, "--net=host", ...IMAGES]);
  expect(result.status).toBe(254);
  expect(result.stderr).toContain("could not reach the metadata service.");
  expect(rkt.pods()).toEqual([]);
  const none = rkt.run([...POD, "--net=none", ...IMAGES]);
  expect(none.stderr).toContain("--mds-register flag does not work with --net=none.");
});

describe("with a service", () => {
  beforeAll(startService);
  afterAll(() => endService("SIGTERM"));

  test("its registration socket is root's alone, and so is what it keeps", () => {
    expect(statSync(SOCKET).mode & 0o777).toBe(0o660);
    expect(statSync("/run/rkt/metadata").mode & 0o777).toBe(0o700);
    expect(statSync("/run/rkt/metadata/hmac-key").mode & 0o777).toBe(0o600);
  });

  test.each(["default", "default-restricted", "host"])("the validator's checks hold on network %s", async (net) => {
    const database = join(rkt.dir, `db-${net}`);
    mkdirSync(database, { mode: 0o777 });
    const volume = `--volume=database,kind=host,source=${database}`;
    const pod = rkt.start([...POD, `--net=${net}`, volume, ...IMAGES]);
    const { status, stdout, stderr } = await pod.ended;
    expect({
      status,
      said: stdout.match(/\w+ (OK|FAIL)/g)?.toSorted(),
      wrong: (stdout + stderr).match(/==>.*/g),
    }).toEqual({
      status: 0,
      said: ["main OK", "poststop OK", "prestart OK", "sidekick OK"],
      wrong: null,
    });
    expect(existsSync(join(database, "poststop"))).toBe(true);
  });

  test("a fly pod asks at the host's loopback", async () => {
    const script = "wget -q -O - $AC_METADATA_URL/acMetadata/v1/apps/$AC_APP_NAME/image/id";
    const fly = "--stage1-name=coreos.com/rkt/stage1-fly";
    const main = ["coreos.com/ace-validator-main", "--exec=/bin/sh", "--working-dir=/", "--", "-c", script];
    const database = ["--volume=database,kind=empty"];
    const pod = rkt.start([...POD, fly, ...database, ...main]);
    expect((await pod.ended).stdout).toMatch(/^sha512-[0-9a-f]{64}$/);
  });

  test("a service that is killed is followed by another that knows the pods, and verifies what the first one signed", async () => {
    const { uuid, url } = await waitingPod("host");
    const ask = (path: string, ...words: string[]) => curl(`${url}/acMetadata/v1/${path}`, ...words);
    const signature = ask("pod/hmac/sign", "--data-urlencode", "content=x").body;
    await endService("SIGKILL");
    await startService();
    expect(ask("pod/uuid").body).toBe(uuid);
    expect(ask("apps/ace-validator-main/annotations/lorem").body).toBe("ipsum dolor");
    const form = [`uuid=${uuid}`, "content=x", `signature=${signature}`].flatMap((field) => [
      "--data-urlencode",
      field,
    ]);
    expect(ask("pod/hmac/verify", ...form).status).toBe(200);
    expect(readdirSync("/run/rkt/metadata").filter((name) => name.endsWith(".json"))).toEqual([`${uuid}.json`]);
  });

  test("gc takes the registration back, also when the service was not there to be told", async () => {
    const { uuid, url } = await waitingPod("host");
    const status = () => curl(`${url}/acMetadata/v1/pod/uuid`).status;
    expect(status()).toBe(200);
    rkt.ok(["stop", "--force", uuid]);
    rkt.ok(["gc", "--grace-period=0s"]);
    expect(status()).toBe(401);
    const other = await waitingPod("host");
    rkt.ok(["stop", "--force", other.uuid]);
    await endService("SIGKILL");
    rkt.ok(["gc", "--grace-period=0s"]);
    await startService();
    expect(curl(`${other.url}/acMetadata/v1/pod/uuid`).status).toBe(401);
  });

  test("requests that are none: 400, 404, 405", async () => {
    const uuid = "22222222-2222-4222-8222-222222222222";
    const manifest = JSON.stringify({ acVersion: "0.8.11", acKind: "PodManifest", apps: [] });
    expect((await register("PUT", "/pods/none?token=t", manifest)).status).toBe(400);
    expect((await register("PUT", `/pods/${uuid}`, manifest)).status).toBe(400);
    expect((await register("PUT", `/pods/${uuid}?token=a/b`, manifest)).status).toBe(400);
    expect((await register("PUT", `/pods/${uuid}?token=t`, "{")).status).toBe(400);
    expect((await register("PUT", `/pods/${uuid}/app`, "{}")).status).toBe(404);
    expect((await register("DELETE", `/pods/${uuid}`)).status).toBe(404);
    expect((await register("GET", `/pods/${uuid}`)).status).toBe(405);
    expect((await register("PUT", `/pods/${uuid}?token=${"t".repeat(32)}`, manifest)).status).toBe(200);
    expect((await register("PUT", `/pods/${uuid}?token=${"u".repeat(32)}`, manifest)).status).toBe(400);
    const url = `http://127.0.0.1:18112/${"t".repeat(32)}/acMetadata/v1`;
    expect(curl(`${url}/pod/uuid`, "--request", "DELETE").status).toBe(405);
    expect(curl(`${url}/nothing`).status).toBe(404);
    expect(curl(`${url}/../../etc/passwd`).status).toBe(404);
    expect((await register("DELETE", `/pods/${uuid}`)).status).toBe(200);
  });

  test("a second one does not take its place", () => {
    const second = rkt.run(["metadata-service"]);
    expect(second.status).toBe(254);
    expect(second.stderr).toContain(`Cannot listen on "${SOCKET}"`);
    expect(existsSync(SOCKET)).toBe(true);
  });
});

test("it ends in order, and takes its socket along", async () => {
  await startService();
  await endService("SIGTERM");
  const result = await service?.ended;
  expect(result?.status).toBe(0);
  expect(result?.stderr).toContain("metadata service exiting...");
  expect(existsSync(SOCKET)).toBe(false);
});
