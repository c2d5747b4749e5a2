/**
 * Where images come from and who may have them: credentials, mirrors, authorities and proxies, through the built program, against Debian's docker-registry and a
 * token server. Needs root, docker-registry, skopeo, openssl, busybox-static.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, chownSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findAccount } from "../../src/host/accounts.ts";
import { connectProxy } from "../harness/connect-proxy.ts";
import { buildAci, buildBusyboxOci } from "../harness/images.ts";
import { rawServer } from "../harness/raw-server.ts";
import { freePort, makeCertificate, startRegistry, type TestRegistry } from "../harness/registry.ts";
import { type Result, RKT, type TestRkt, testRkt } from "../harness/rkt.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";
import { startTokenServer } from "../harness/token-server.ts";

setDefaultTimeout(300_000);

const PASSWORD = "pässw0rd-Geheimnis";
const account = { user: "u", password: PASSWORD };
let dir: TemporaryDirectory;
let layout = "";
let certificate = "";
/** Over TLS, with one account. */
let registry: TestRegistry;

beforeAll(async () => {
  dir = temporaryDirectory("registries");
  chmodSync(dir.path, 0o755);
  layout = join(dir.path, "layout");
  buildBusyboxOci(layout, { tag: "v1", layers: [{ "etc/motd": "hello" }] });
  certificate = makeCertificate(dir.path, ",DNS:registry.test");
  registry = await startRegistry({ tls: certificate, account });
  registry.push(layout, "v1", "app:v1");
  registry.push(layout, "v1", "team/app:v1");
});
afterAll(() => {
  registry?.stop();
  dir?.[Symbol.dispose]();
});

/** A file of the local configuration; auth.d is closed to others, as installed. */
function configure(rkt: TestRkt, directory: "auth.d" | "registries.d", name: string, content: object): void {
  mkdirSync(join(rkt.configDir, directory), { recursive: true, mode: directory === "auth.d" ? 0o750 : 0o755 });
  writeFileSync(join(rkt.configDir, directory, `${name}.json`), JSON.stringify({ rktVersion: "v1", ...content }));
}

const dockerAuth = (rkt: TestRkt, user: string, password: string, ...registries: string[]) =>
  configure(rkt, "auth.d", `docker-${user}`, { rktKind: "dockerAuth", registries, credentials: { user, password } });
const registries = (rkt: TestRkt, ...rules: object[]) =>
  configure(rkt, "registries.d", "test", { rktKind: "registries", registries: rules });
const trustCa = (rkt: TestRkt) =>
  configure(rkt, "registries.d", "ca", { rktKind: "registries", caFiles: [certificate] });

/** A home directory whose .docker/config.json says this. */
function home(name: string, config: object, owner = 0): string {
  const path = join(dir.path, name);
  mkdirSync(join(path, ".docker"), { recursive: true });
  const file = join(path, ".docker/config.json");
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  for (const each of [path, join(path, ".docker"), file]) chownSync(each, owner, owner);
  return join(path, ".docker");
}

const basic = (user: string, password: string) => Buffer.from(`${user}:${password}`).toString("base64");
/** Started, not run: the test's own servers must be able to answer. */
const fetchImage = (rkt: TestRkt, name: string, env: Record<string, string> = {}): Promise<Result> =>
  rkt.start(["--debug", "--insecure-options=image", "fetch", `docker://${name}`], { env }).ended;

function expectNoSecret({ stdout, stderr }: Result, ...secrets: string[]): void {
  for (const secret of [...secrets, ...secrets.map((one) => Buffer.from(one).toString("base64").slice(0, 12))])
    expect(stdout + stderr).not.toContain(secret);
}

describe("credentials", () => {
  test("auth.d: the longest path of a repository's name decides", async () => {
    using rkt = testRkt();
    trustCa(rkt);
    dockerAuth(rkt, "u", PASSWORD, `${registry.host}/team`);
    dockerAuth(rkt, "somebody", "else", registry.host);
    const team = await fetchImage(rkt, `${registry.host}/team/app:v1`);
    expect(team.stderr).not.toContain("warning: the credentials");
    expect(team.status).toBe(0);
    const other = await fetchImage(rkt, `${registry.host}/app:v1`);
    expect(other.status).toBe(254);
    expect(other.stderr).toContain(`"${registry.host}" refused the credentials`);
    expectNoSecret(team, PASSWORD, "else");
    expectNoSecret(other, PASSWORD, "else-");
  });

  test("without any: the error says where they would come from", async () => {
    using rkt = testRkt();
    trustCa(rkt);
    const { status, stderr } = await fetchImage(rkt, `${registry.host}/app:v1`, { DOCKER_CONFIG: "/nonexistent" });
    expect(status).toBe(254);
    expect(stderr).toContain("hint: credentials for a registry stand in /etc/rkt/auth.d");
  });

  test("docker login's file, and containers-auth.json(5)", async () => {
    using rkt = testRkt();
    trustCa(rkt);
    const config = { auths: { [`https://${registry.host}/v2/`]: { auth: basic("u", PASSWORD) } } };
    const DOCKER_CONFIG = home("docker", config);
    expect((await fetchImage(rkt, `${registry.host}/app:v1`, { DOCKER_CONFIG })).status).toBe(0);
    const REGISTRY_AUTH_FILE = join(dir.path, "auth.json");
    writeFileSync(
      REGISTRY_AUTH_FILE,
      JSON.stringify({ auths: { [`${registry.host}/team`]: { auth: basic("u", PASSWORD) } } }),
    );
    const open = await fetchImage(rkt, `${registry.host}/team/app:v1`, { REGISTRY_AUTH_FILE, DOCKER_CONFIG });
    expect(open.status).toBe(0);
    expect(open.stderr).toContain(`the credentials in "${REGISTRY_AUTH_FILE}" can be read by every user: chmod 0600`);
    expectNoSecret(open, PASSWORD);
    // A named file is the only one.
    expect((await fetchImage(rkt, `${registry.host}/app:v1`, { REGISTRY_AUTH_FILE, DOCKER_CONFIG })).status).toBe(254);
    const XDG_RUNTIME_DIR = join(dir.path, "run");
    mkdirSync(join(XDG_RUNTIME_DIR, "containers"), { recursive: true });
    writeFileSync(join(XDG_RUNTIME_DIR, "containers/auth.json"), readFileSync(join(DOCKER_CONFIG, "config.json")), {
      mode: 0o600,
    });
    expect((await fetchImage(rkt, `${registry.host}/app:v1`, { XDG_RUNTIME_DIR })).status).toBe(0);
  });

  test("root does not use a file that somebody else can write, nor repeats what a broken one says", async () => {
    using rkt = testRkt();
    trustCa(rkt);
    const config = { auths: { [registry.host]: { auth: basic("u", PASSWORD) } } };
    const foreign = await fetchImage(rkt, `${registry.host}/app:v1`, { DOCKER_CONFIG: home("foreign", config, 12345) });
    expect(foreign.status).toBe(254);
    expect(foreign.stderr).toContain("expected a file that only user 0 can write");
    const DOCKER_CONFIG = home("broken", {});
    writeFileSync(join(DOCKER_CONFIG, "config.json"), `{"auths": ${PASSWORD}`);
    const broken = await fetchImage(rkt, `${registry.host}/app:v1`, { DOCKER_CONFIG });
    expect(broken.stderr).toContain("expected a JSON object");
    expectNoSecret(broken, PASSWORD);
  });

  test("under sudo a helper runs as the person who called it, from their PATH, and gives one credential", async () => {
    using rkt = testRkt();
    trustCa(rkt);
    const person = findAccount("nobody") ?? { uid: 65534, gid: 65534 };
    const bin = join(dir.path, "bin");
    const [log, rights, variables] = ["log", "rights", "variables"].map((name) => join(dir.path, `helper.${name}`));
    mkdirSync(bin);
    for (const file of [log, rights, variables]) {
      writeFileSync(file ?? "", "");
      chmodSync(file ?? "", 0o666);
    }
    const body = [
      `echo "$(id -u) $(cat)" >> ${log}`,
      `grep -E "^(CapEff|NoNewPrivs)" /proc/self/status > ${rights}`,
      `env > ${variables}`,
      `echo '{"ServerURL":"x","Username":"u","Secret":"${PASSWORD}"}'`,
    ];
    writeHelper(bin, "test", body.join("\n"));
    const DOCKER_CONFIG = home("sudo", { credHelpers: { [registry.host]: "test" } }, person.uid);
    const env = { DOCKER_CONFIG, PATH: `${bin}:${process.env.PATH}` };
    const sudo = {
      ...env,
      ROOTS_SECRET: "1",
      SUDO_UID: String(person.uid),
      SUDO_GID: String(person.gid),
      SUDO_USER: "nobody",
    };
    const result = await fetchImage(rkt, `${registry.host}/app:v1`, sudo);
    expect(result.stderr).toContain("using the credentials for");
    expect(result.status).toBe(0);
    expect(readFileSync(log ?? "", "utf8")).toBe(`${person.uid} ${registry.host}\n`);
    expect(readFileSync(rights ?? "", "utf8")).toMatch(/^CapEff:\t0+\nNoNewPrivs:\t1\n$/);
    expect(readFileSync(variables ?? "", "utf8")).not.toContain("ROOTS_SECRET");
    expect(readFileSync(variables ?? "", "utf8")).toContain("USER=nobody");
    expectNoSecret(result, PASSWORD);
    // Root itself takes helpers from the system's directories only, whatever its PATH says.
    chownSync(join(DOCKER_CONFIG, "config.json"), 0, 0);
    using other = testRkt();
    trustCa(other);
    const asRoot = await fetchImage(other, `${registry.host}/app:v1`, env);
    expect(asRoot.status).toBe(254);
    expect(asRoot.stderr).toContain('from "docker-credential-test": there is no such program in "/usr/local/sbin:');
    expect(readFileSync(log ?? "", "utf8")).toBe(`${person.uid} ${registry.host}\n`);
  });

  test("a helper that has nothing, fails, or talks nonsense", async () => {
    using rkt = testRkt();
    trustCa(rkt);
    const person = findAccount("nobody") ?? { uid: 65534, gid: 65534 };
    const bin = join(dir.path, "helpers");
    mkdirSync(bin);
    writeHelper(bin, "nothing", "echo credentials not found in native keychain; exit 1");
    writeHelper(bin, "fails", `echo "${PASSWORD}"; echo "${PASSWORD}" >&2; exit 3`);
    writeHelper(bin, "nonsense", `echo '{"Secret": "${PASSWORD}"'`);
    const run = async (helper: string, auths: object = {}) => {
      const DOCKER_CONFIG = home(`h-${helper.replace(/\W/g, "")}`, { credsStore: helper, auths }, person.uid);
      const env = { DOCKER_CONFIG, PATH: `${bin}:${process.env.PATH}`, SUDO_UID: String(person.uid) };
      const result = await fetchImage(rkt, `${registry.host}/app:v1`, env);
      expectNoSecret(result, PASSWORD);
      return result;
    };
    expect((await run("fails")).stderr).toContain('from "docker-credential-fails": it ended with status 3');
    expect((await run("nonsense")).stderr).toContain("its answer is not of the agreed form");
    expect((await run("../evil")).stderr).not.toContain("docker-credential");
    const nothing = await run("nothing", { [registry.host]: { auth: basic("u", PASSWORD) } });
    expect(nothing.stderr).not.toContain("warning: Cannot get credentials");
    expect(nothing.status).toBe(0);
  });

  test("tokens: with a password, with an identity token, and for no more than reading one repository", async () => {
    using tokens = startTokenServer(certificate, [`basic u:${PASSWORD}`, "refresh identity-T0ken"]);
    using secured = await startRegistry({ tls: certificate, token: tokens });
    await pushWithToken(`${secured.host}/team/app:v1`);
    tokens.requests.length = 0;
    using rkt = testRkt();
    trustCa(rkt);
    dockerAuth(rkt, "u", PASSWORD, secured.host);
    expect((await fetchImage(rkt, `${secured.host}/team/app:v1`)).status).toBe(0);
    expect(tokens.requests).toEqual([
      { method: "GET", scopes: ["repository:team/app:pull"], who: `basic u:${PASSWORD}` },
    ]);
    tokens.requests.length = 0;
    using other = testRkt();
    trustCa(other);
    const DOCKER_CONFIG = home("identity", { auths: { [secured.host]: { identitytoken: "identity-T0ken" } } });
    const result = await fetchImage(other, `${secured.host}/team/app:v1`, { DOCKER_CONFIG });
    expect(result.status).toBe(0);
    expect(tokens.requests).toEqual([
      { method: "POST", scopes: ["repository:team/app:pull"], who: "refresh identity-T0ken" },
    ]);
    expectNoSecret(result, "identity-T0ken");
    const wrong = home("identity-wrong", { auths: { [secured.host]: { identitytoken: "wr0ng-T0ken" } } });
    const refused = await fetchImage(other, `${secured.host}/team/app:v1`, { DOCKER_CONFIG: wrong });
    expect(refused.status).toBe(254);
    expect(refused.stderr).toContain("refused the credentials");
    expectNoSecret(refused, "wr0ng-T0ken");
  });

  test("a file in auth.d that everybody reads is named, one that everybody writes is refused", async () => {
    using rkt = testRkt();
    trustCa(rkt);
    dockerAuth(rkt, "u", PASSWORD, registry.host);
    const file = join(rkt.configDir, "auth.d/docker-u.json");
    chmodSync(join(rkt.configDir, "auth.d"), 0o755);
    chmodSync(file, 0o644);
    const readable = await fetchImage(rkt, `${registry.host}/app:v1`);
    expect(readable.status).toBe(0);
    expect(readable.stderr).toContain(`warning: the credentials in "${file}" can be read by every user`);
    chmodSync(file, 0o666);
    const writable = await fetchImage(rkt, `${registry.host}/app:v1`);
    expect(writable.status).toBe(254);
    expect(writable.stderr).toContain(`"${file}" can be written by every user`);
  });
});

/** In a process that does not stop this one: the token server lives here. */
async function pushWithToken(target: string): Promise<void> {
  const creds = `--dest-creds=u:${PASSWORD}`;
  const command = ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", creds];
  const child = Bun.spawn([...command, `oci:${layout}:v1`, `docker://${target}`], {
    stdout: "ignore",
    stderr: "inherit",
  });
  expect(await child.exited).toBe(0);
}

function writeHelper(bin: string, name: string, body: string): void {
  writeFileSync(join(bin, `docker-credential-${name}`), `#!/bin/sh\n[ "$1" = get ] || exit 9\n${body}\n`, {
    mode: 0o755,
  });
}

describe("registries.d", () => {
  test("a mirror is asked first, a dead one is passed over, and the image keeps its name", async () => {
    using mirror = await startRegistry();
    mirror.push(layout, "v1", "hub/library/busybox:v1");
    using rkt = testRkt();
    const dead = `127.0.0.1:${await freePort()}`;
    registries(rkt, {
      prefix: "docker.io",
      mirrors: [
        { location: dead, insecure: true },
        { location: `${mirror.host}/hub`, insecure: true },
      ],
    });
    const { status, stderr } = await fetchImage(rkt, "busybox:v1");
    expect(stderr).toContain(`image: mirror ${dead} failed, asking the next server: Cannot reach`);
    expect(status).toBe(0);
    expect(rkt.ok(["image", "list", "--fields=name", "--no-legend"]).trim()).toBe(
      "registry-1.docker.io/library/busybox:v1",
    );
  });

  test("what no mirror has comes from the registry itself", async () => {
    using mirror = await startRegistry();
    using rkt = testRkt();
    registries(rkt, {
      prefix: registry.host,
      caFile: certificate,
      mirrors: [{ location: mirror.host, insecure: true }],
    });
    dockerAuth(rkt, "u", PASSWORD, registry.host);
    const { status, stderr } = await fetchImage(rkt, `${registry.host}/app:v1`);
    expect(stderr).toContain(`mirror ${mirror.host} failed`);
    expect(stderr).toContain("has no such image");
    expect(status).toBe(0);
  });

  test("plain http needs the word of the operator, for that host", async () => {
    using plain = await startRegistry();
    plain.push(layout, "v1", "app:v1");
    using rkt = testRkt();
    expect((await fetchImage(rkt, `${plain.host}/app:v1`)).status).toBe(254);
    registries(rkt, { prefix: plain.host, insecure: true });
    expect((await fetchImage(rkt, `${plain.host}/app:v1`)).status).toBe(0);
  });

  test("blocked, before a byte is sent", async () => {
    using server = await rawServer(() => ({ status: 500 }));
    using rkt = testRkt();
    registries(rkt, { prefix: server.host, insecure: true, blocked: true });
    const { status, stderr } = await fetchImage(rkt, `${server.host}/app:v1`);
    expect(status).toBe(254);
    expect(stderr).toContain(`Cannot use "${server.host}/app": "${server.host}" is blocked`);
    expect(server.requests).toEqual([]);
  });

  test("an authority: unknown, by caFile, SSL_CERT_FILE, SSL_CERT_DIR; a named file must be there", async () => {
    using rkt = testRkt();
    dockerAuth(rkt, "u", PASSWORD, registry.host);
    const name = `${registry.host}/app:v1`;
    expect((await fetchImage(rkt, name)).stderr).toContain("its certificate is not trusted");
    expect((await fetchImage(rkt, name, { SSL_CERT_FILE: certificate })).status).toBe(0);
    const authorities = join(dir.path, "authorities");
    mkdirSync(authorities, { recursive: true });
    writeFileSync(join(authorities, "a.pem"), readFileSync(certificate));
    expect((await fetchImage(rkt, name, { SSL_CERT_DIR: `/nonexistent:${authorities}` })).status).toBe(0);
    expect((await fetchImage(rkt, name, { SSL_CERT_FILE: "/nonexistent" })).stderr).toContain(
      'Cannot read "/nonexistent", named by SSL_CERT_FILE',
    );
    registries(rkt, { prefix: registry.host, caFile: join(dir.path, "key.pem") });
    const key = await fetchImage(rkt, name);
    expect(key.stderr).toContain("it holds no certificate, expected PEM");
    registries(rkt, { prefix: registry.host, caFile: certificate });
    expect((await fetchImage(rkt, name)).status).toBe(0);
  });

  test("a client certificate opens a registry that wants one", async () => {
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      tls: {
        cert: readFileSync(certificate, "utf8"),
        key: readFileSync(join(dir.path, "key.pem"), "utf8"),
        ca: readFileSync(certificate, "utf8"),
        requestCert: true,
        rejectUnauthorized: true,
      },
      fetch: () => new Response("no", { status: 404 }),
    });
    using rkt = testRkt();
    const host = `127.0.0.1:${server.port}`;
    try {
      registries(rkt, { prefix: host, caFile: certificate });
      expect((await fetchImage(rkt, `${host}/app`)).stderr).not.toContain("has no such image");
      const [clientCertificate, clientKey] = [certificate, join(dir.path, "key.pem")];
      registries(rkt, { prefix: host, caFile: certificate, clientCertificate, clientKey });
      expect((await fetchImage(rkt, `${host}/app`)).stderr).toContain("has no such image");
    } finally {
      await server.stop(true);
    }
  });

  test("a limit is shown with the time to wait, and not run into again", async () => {
    using server = await rawServer(() => ({
      status: 429,
      headers: { "Retry-After": "3600", "RateLimit-Limit": "100;w=21600" },
    }));
    using rkt = testRkt();
    registries(rkt, { prefix: server.host, insecure: true });
    const { status, stderr } = await fetchImage(rkt, `${server.host}/app:v1`);
    expect(status).toBe(254);
    expect(stderr).toContain("status 429 (too many requests, 100 requests in 6 h are allowed, it asks to wait 60 min)");
    expect(server.requests.filter(({ path }) => path.includes("manifests")).length).toBe(1);
  });
});

describe("proxies", () => {
  test("a registry behind CONNECT, its password for the proxy unseen; NO_PROXY goes past it", async () => {
    using proxy = await connectProxy((target) =>
      target === `registry.test:${registry.port}` ? registry.port : undefined,
    );
    using rkt = testRkt();
    const name = `registry.test:${registry.port}`;
    trustCa(rkt);
    dockerAuth(rkt, "u", PASSWORD, name);
    const HTTPS_PROXY = `http://someone:pr0xy-Secret@${proxy.host}`;
    const result = await fetchImage(rkt, `${name}/app:v1`, { HTTPS_PROXY });
    expect(result.stderr).not.toContain("Cannot");
    expect(result.status).toBe(0);
    expect(proxy.connections.length).toBeGreaterThan(0);
    expect(new Set(proxy.connections)).toEqual(new Set([name]));
    expect(new Set(proxy.authorizations)).toEqual(new Set([`Basic ${basic("someone", "pr0xy-Secret")}`]));
    expectNoSecret(result, PASSWORD, "pr0xy-Secret");
    const count = proxy.connections.length;
    for (const NO_PROXY of ["registry.test", ".test", name, "*"])
      expect((await fetchImage(rkt, `${name}/team/app:v1`, { https_proxy: HTTPS_PROXY, NO_PROXY })).status).toBe(254);
    expect(proxy.connections.length).toBe(count);
    expect(
      (await fetchImage(rkt, `${name}/team/app:v1`, { https_proxy: HTTPS_PROXY, no_proxy: "10.0.0.0/8" })).status,
    ).toBe(0);
    expect(proxy.connections.length).toBeGreaterThan(count);
  });

  test("a proxy that refuses or is not there is named without its password", async () => {
    using proxy = await connectProxy(() => undefined);
    using rkt = testRkt();
    for (const host of [proxy.host, `127.0.0.1:${await freePort()}`]) {
      const result = await fetchImage(rkt, "registry.test/app:v1", {
        HTTPS_PROXY: `http://someone:pr0xy-Secret@${host}`,
      });
      expect(result.status).toBe(254);
      expectNoSecret(result, "pr0xy-Secret");
    }
  });
});

describe("App Container images", () => {
  test("basic, oauth and aws reach exactly their host, over TLS, and no redirect carries them on", async () => {
    const aci = join(dir.path, "site.aci");
    buildAci(aci, { name: "example.com/app" });
    const tls = { cert: readFileSync(certificate, "utf8"), key: readFileSync(join(dir.path, "key.pem"), "utf8") };
    const seen: { host: string; path: string; authorization: string | null }[] = [];
    const serve = (answer: (path: string) => Response) =>
      Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        tls,
        fetch(request) {
          const { host, pathname } = new URL(request.url);
          seen.push({ host, path: pathname, authorization: request.headers.get("authorization") });
          return answer(pathname);
        },
      });
    const storage = serve(() => new Response(readFileSync(aci)));
    const site = serve((path) =>
      path.startsWith("/moved")
        ? Response.redirect(`https://127.0.0.1:${storage.port}/stored.aci`, 302)
        : path === "/here.aci"
          ? Response.redirect(`https://127.0.0.1:${site.port}/there.aci`, 302)
          : new Response(readFileSync(aci)),
    );
    const host = `127.0.0.1:${site.port}`;
    const auth = (rkt: TestRkt, type: string, credentials: object) => {
      trustCa(rkt);
      configure(rkt, "auth.d", "site", { rktKind: "auth", domains: [host], type, credentials });
    };
    const run = async (rkt: TestRkt, path: string) => {
      const result = await rkt.start(["--debug", "--insecure-options=image", "fetch", `https://${host}${path}`]).ended;
      expect(result.stderr).not.toContain("Cannot");
      expectNoSecret(result, PASSWORD);
      return seen.splice(0);
    };
    try {
      using rkt = testRkt();
      auth(rkt, "basic", { user: "u", password: PASSWORD });
      expect(await run(rkt, "/a.aci")).toEqual([
        { host, path: "/a.aci", authorization: `Basic ${basic("u", PASSWORD)}` },
      ]);
      expect(await run(rkt, "/moved.aci")).toEqual([
        { host, path: "/moved.aci", authorization: `Basic ${basic("u", PASSWORD)}` },
        { host: `127.0.0.1:${storage.port}`, path: "/stored.aci", authorization: null },
      ]);
      using token = testRkt();
      auth(token, "oauth", { token: PASSWORD.replace("ä", "a") });
      expect((await run(token, "/b.aci"))[0]?.authorization).toBe(`Bearer ${PASSWORD.replace("ä", "a")}`);
      using aws = testRkt();
      auth(aws, "aws", { accessKeyID: "AKID", secretAccessKey: PASSWORD, awsRegion: "eu-west-1" });
      const signature =
        /^AWS4-HMAC-SHA256 Credential=AKID\/\d{8}\/eu-west-1\/s3\/aws4_request, SignedHeaders=\S+, Signature=[0-9a-f]{64}$/;
      expect((await run(aws, "/c.aci"))[0]?.authorization).toMatch(signature);
      // A redirect within the host is another path, so another signature; another host gets none.
      const [first, second] = await run(aws, "/here.aci");
      expect([first?.path, second?.path]).toEqual(["/here.aci", "/there.aci"]);
      expect(second?.authorization).toMatch(signature);
      expect(second?.authorization).not.toBe(first?.authorization ?? null);
      expect((await run(aws, "/moved-aws.aci")).map(({ authorization }) => authorization !== null)).toEqual([
        true,
        false,
      ]);
    } finally {
      await Promise.all([site.stop(true), storage.stop(true)]);
    }
  });
});

test("rkt config shows every kind, and secrets only when asked", async () => {
  using rkt = testRkt();
  dockerAuth(rkt, "u", PASSWORD, "quay.io");
  configure(rkt, "auth.d", "t", {
    rktKind: "auth",
    domains: ["d"],
    type: "oauth",
    credentials: { token: `t${PASSWORD}` },
  });
  configure(rkt, "auth.d", "a", {
    ...{ rktKind: "auth", domains: ["s3"], type: "aws" },
    credentials: { accessKeyID: "k", secretAccessKey: `k${PASSWORD}` },
  });
  registries(rkt, { prefix: "quay.io", caFile: "/ca.pem", mirrors: [{ location: "m/x", insecure: true }] });
  const masked = rkt.ok(["config"]);
  expect(masked).not.toContain(PASSWORD);
  expect(masked.split("REDACTED").length).toBe(4);
  expect(JSON.parse(masked).stage0).toContainEqual({
    rktVersion: "v1",
    rktKind: "registries",
    registries: [
      {
        prefix: "quay.io",
        blocked: false,
        caFile: "/ca.pem",
        mirrors: [{ location: "m/x", pull: "all", insecure: true }],
      },
    ],
  });
  expect(rkt.ok(["config", "--show-secrets"]).split(PASSWORD).length).toBe(4);
});

test("who may not read auth.d goes without, and is told", () => {
  using rkt = testRkt();
  dockerAuth(rkt, "u", PASSWORD, "quay.io");
  chmodSync(rkt.dir, 0o755);
  chmodSync(join(rkt.configDir, "auth.d"), 0o700);
  const copy = join(dir.path, "rkt");
  copyFileSync(RKT, copy);
  const config = ["config", `--local-config=${rkt.configDir}`, "--system-config=/nonexistent", `--dir=${rkt.dataDir}`];
  const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, ...config];
  const { exitCode, stdout, stderr } = Bun.spawnSync(asNobody, { env: { PATH: process.env.PATH ?? "" }, cwd: "/" });
  expect(stderr.toString()).toContain(`passed over "${join(rkt.configDir, "auth.d")}": permission denied`);
  expect(exitCode).toBe(0);
  expect(stdout.toString()).not.toContain("quay.io");
});

test("no process of a fetch has a secret among its words or its environment", async () => {
  const found: string[] = [];
  const secret = "s3cret-in-processes";
  const needles = [secret, basic("u", secret).slice(0, 16)];
  let looked = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert: readFileSync(certificate, "utf8"), key: readFileSync(join(dir.path, "key.pem"), "utf8") },
    fetch(request) {
      if (request.headers.get("authorization") === null)
        return new Response("", { status: 401, headers: { "WWW-Authenticate": 'Basic realm="x"' } });
      for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
        for (const file of ["cmdline", "environ"]) {
          const text = readable(`/proc/${pid}/${file}`);
          looked += text === "" ? 0 : 1;
          if (needles.some((needle) => text.includes(needle))) found.push(`${pid} ${file}`);
        }
      }
      return new Response("", { status: 404 });
    },
  });
  const rkt = testRkt();
  try {
    trustCa(rkt);
    dockerAuth(rkt, "u", secret, `127.0.0.1:${server.port}`);
    const running = rkt.start([
      "--debug",
      "--insecure-options=image",
      "fetch",
      `docker://127.0.0.1:${server.port}/app`,
    ]);
    const result = await running.ended;
    expect(result.stderr).toContain("has no such image");
    expect(looked).toBeGreaterThan(4);
    expect(found).toEqual([]);
    expectNoSecret(result, secret);
  } finally {
    await server.stop(true);
    rkt[Symbol.dispose]();
  }
});

function readable(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}
