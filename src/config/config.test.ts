import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { RktError } from "../core/errors.ts";
import { authHeaderFor, dockerCredentials, loadConfig, measurementSettings } from "./mod.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "rkt-config-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, content: object | string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), typeof content === "string" ? content : JSON.stringify(content));
}

const load = () =>
  loadConfig({
    systemConfigDir: join(root, "system"),
    localConfigDir: join(root, "local"),
    userConfigDir: join(root, "user"),
  });

/** The message without the temporary directory. */
function problem(): string {
  try {
    load();
  } catch (error) {
    if (error instanceof RktError && error.code === "INVALID_CONFIG") return error.message.replaceAll(root, "");
    throw error;
  }
  throw new Error("no problem");
}

const basic = (user: string, ...domains: string[]) => ({
  rktKind: "auth",
  rktVersion: "v1",
  domains,
  type: "basic",
  credentials: { user, password: "secret" },
});
const paths = (fields: object) => ({ rktKind: "paths", rktVersion: "v1", ...fields });
const stage1 = (fields: object) => ({ rktKind: "stage1", rktVersion: "v1", ...fields });
const docker = (user: string, ...registries: string[]) => ({
  rktKind: "dockerAuth",
  rktVersion: "v1",
  registries,
  credentials: { user, password: "secret" },
});

describe("loadConfig", () => {
  test("nothing there", () => {
    const config = load();
    expect(config.auth.size + config.dockerAuth.size).toBe(0);
    expect(config.paths).toEqual({ data: undefined, stage1Images: undefined });
    expect(config.stage1).toEqual({ name: undefined, version: undefined, location: undefined });
  });

  test("every kind", () => {
    write("local/auth.d/basic.json", basic("u", "a.example", "b.example:8443"));
    write("local/auth.d/oauth.json", {
      rktKind: "auth",
      rktVersion: "v1",
      domains: ["o.example"],
      type: "oauth",
      credentials: { token: "t" },
    });
    write("local/auth.d/aws.json", {
      rktKind: "auth",
      rktVersion: "v1",
      domains: ["s3.amazonaws.com"],
      type: "aws",
      credentials: { accessKeyID: "k", secretAccessKey: "s" },
    });
    write("local/auth.d/docker.json", docker("d", "quay.io"));
    write("local/paths.d/p.json", paths({ data: "/data", "stage1-images": "/images" }));
    write("local/stage1.d/s.json", stage1({ name: "n", version: "1", location: "https://x/y.aci" }));
    const config = load();
    expect([...config.auth]).toEqual([
      ["s3.amazonaws.com", { kind: "aws", accessKeyId: "k", secretAccessKey: "s", region: undefined }],
      ["a.example", { kind: "basic", user: "u", password: "secret" }],
      ["b.example:8443", { kind: "basic", user: "u", password: "secret" }],
      ["o.example", { kind: "oauth", token: "t" }],
    ]);
    expect([...config.dockerAuth]).toEqual([["quay.io", { user: "d", password: "secret" }]]);
    expect(config.paths).toEqual({ data: "/data", stage1Images: "/images" });
    expect(config.stage1).toEqual({ name: "n", version: "1", location: "https://x/y.aci" });
  });

  test("user over local over system: per domain, per registry, per field; name and version together", () => {
    write("system/auth.d/a.json", basic("system", "a", "b", "c"));
    write("local/auth.d/a.json", basic("local", "b", "c"));
    write("user/auth.d/a.json", basic("user", "c"));
    write("system/auth.d/d.json", docker("system", "r1", "r2"));
    write("user/auth.d/d.json", docker("user", "r2"));
    write("system/paths.d/p.json", paths({ data: "/system", "stage1-images": "/images" }));
    write("local/paths.d/p.json", paths({ data: "/local" }));
    write("system/stage1.d/s.json", stage1({ name: "n", version: "1", location: "/system.aci" }));
    write("local/stage1.d/s.json", stage1({ name: "m", version: "2" }));
    const config = load();
    const users = (map: ReadonlyMap<string, object>) =>
      [...map].map(([key, value]) => [key, "user" in value && value.user]);
    expect(users(config.auth)).toEqual([
      ["a", "system"],
      ["b", "local"],
      ["c", "user"],
    ]);
    expect(users(config.dockerAuth)).toEqual([
      ["r1", "system"],
      ["r2", "user"],
    ]);
    expect(config.paths).toEqual({ data: "/local", stage1Images: "/images" });
    expect(config.stage1).toEqual({ name: "m", version: "2", location: "/system.aci" });
  });

  test("what is not a regular file named .json does not count", () => {
    write("local/paths.d/readme.txt", "not JSON");
    write("local/paths.d/a.d/x.json", "not JSON");
    write("local/paths.d/z.json", paths({ data: "/data" }));
    write("elsewhere.json", "not JSON");
    symlinkSync(join(root, "elsewhere.json"), join(root, "local/paths.d/link.json"));
    expect(load().paths.data).toBe("/data");
  });

  test.each<[string, string, object | string, string]>([
    ["no kind", "paths.d", { rktVersion: "v1" }, 'no rktKind specified in "/local/paths.d/x.json"'],
    ["no version", "paths.d", { rktKind: "paths" }, 'no rktVersion specified in "/local/paths.d/x.json"'],
    [
      "wrong directory",
      "auth.d",
      paths({}),
      'the configuration directory "/local/auth.d" expects to have configuration files of kinds "auth", "dockerAuth", but "x.json" has kind of "paths"',
    ],
    [
      "newer version",
      "paths.d",
      { rktKind: "paths", rktVersion: "v2" },
      'no parser available for configuration of kind "paths" and version "v2"',
    ],
    ["no JSON", "paths.d", "{", 'failed to parse "/local/paths.d/x.json": expected a JSON object'],
    ["no object", "paths.d", "[]", 'failed to parse "/local/paths.d/x.json": expected a JSON object'],
    ["no domains", "auth.d", basic("u"), "domains: no domains specified"],
    ["no type", "auth.d", { ...basic("u", "d"), type: "" }, "type: no auth type specified"],
    ["unknown type", "auth.d", { ...basic("u", "d"), type: "x" }, 'type: unknown auth type: "x"'],
    ["no user", "auth.d", basic("", "d"), "credentials.user: user not specified"],
    ["no token", "auth.d", { ...basic("u", "d"), type: "oauth" }, "credentials.token: no oauth bearer token specified"],
    ["no registries", "auth.d", docker("u"), "registries: no registries specified"],
    ["no credentials", "auth.d", { ...docker("u", "r"), credentials: null }, "credentials: no credentials"],
    ["domains are no list", "auth.d", { ...basic("u"), domains: "d" }, "domains: expected a list of strings"],
    ["relative data", "paths.d", paths({ data: "data" }), "data: data directory must be an absolute path"],
    [
      "relative images",
      "paths.d",
      paths({ "stage1-images": "x" }),
      "stage1-images: stage1 images directory must be an absolute path",
    ],
    ["data is a number", "paths.d", paths({ data: 1 }), "data: expected a string"],
    [
      "no name",
      "stage1.d",
      stage1({ version: "1" }),
      "name: default stage1 image version specified, but name is missing",
    ],
    [
      "no version of a name",
      "stage1.d",
      stage1({ name: "n" }),
      "version: default stage1 image name specified, but version is missing",
    ],
    [
      "relative location",
      "stage1.d",
      stage1({ location: "x/y.aci" }),
      "location: default stage1 image location is either a relative path or a URL without scheme",
    ],
    [
      "scheme",
      "stage1.d",
      stage1({ location: "ftp://x/y" }),
      'location: default stage1 image location URL has invalid scheme "ftp", allowed schemes are "docker", "file", "http", "https"',
    ],
  ])("%s", (_, directory, content, expected) => {
    write(`local/${directory}/x.json`, content);
    const message = problem();
    expect(message).toStartWith("cannot get configuration: ");
    expect(message).toEndWith(expected);
  });

  test("twice in one directory", () => {
    write("local/auth.d/a.json", basic("u", "d"));
    write("local/auth.d/b.json", basic("u", "d"));
    expect(problem()).toBe(
      'cannot get configuration: failed to parse "/local/auth.d/b.json": domains: auth for domain "d" is already specified',
    );
  });

  test("all problems of all files at once, and no secret among them", () => {
    write("system/paths.d/a.json", paths({ data: "x", "stage1-images": "y" }));
    write("local/auth.d/a.json", { ...basic("u"), credentials: { password: "secret" } });
    write("local/auth.d/b.json", '{"credentials": {"password": secret}');
    write("local/stage1.d", "a file");
    const lines = problem().split("\n\t");
    expect(lines[0]).toBe("cannot get configuration: 6 problems");
    expect(lines.slice(1)).toEqual([
      'failed to parse "/system/paths.d/a.json": data: data directory must be an absolute path',
      'failed to parse "/system/paths.d/a.json": stage1-images: stage1 images directory must be an absolute path',
      'failed to parse "/local/auth.d/a.json": domains: no domains specified',
      'failed to parse "/local/auth.d/a.json": credentials.user: user not specified',
      'failed to parse "/local/auth.d/b.json": expected a JSON object',
      'expected "/local/stage1.d" to be a directory',
    ]);
    expect(problem()).not.toContain("secret");
  });
});

describe("credentials", () => {
  test("of exactly this host, over TLS only", () => {
    write("local/auth.d/a.json", basic("u", "a.example", "b.example:8443"));
    const config = load();
    const header = { Authorization: `Basic ${btoa("u:secret")}` };
    expect(authHeaderFor(config, "https://a.example/x.aci")).toEqual(header);
    expect(authHeaderFor(config, "https://a.example:443/x.aci")).toEqual(header);
    expect(authHeaderFor(config, "https://b.example:8443/x.aci")).toEqual(header);
    for (const url of [
      "http://a.example/x.aci",
      "https://a.example:8443/x.aci",
      "https://x.a.example/x.aci",
      "https://a.example.evil/x.aci",
      "https://a.example@evil/x.aci",
      "https://b.example/x.aci",
    ])
      expect(authHeaderFor(config, url)).toEqual({});
  });

  test("of a registry; Docker Hub goes by several names", () => {
    write("local/auth.d/a.json", docker("q", "quay.io"));
    write("local/auth.d/b.json", docker("h", "index.docker.io"));
    const config = load();
    expect(dockerCredentials(config, "quay.io")?.user).toBe("q");
    expect(dockerCredentials(config, "registry-1.docker.io")?.user).toBe("h");
    expect(dockerCredentials(config, "docker.io")?.user).toBe("h");
    expect(dockerCredentials(config, "quay.io:443")).toBeUndefined();
  });
});

describe("measurement", () => {
  const measurement = (fields: object) => ({ rktKind: "measurement", rktVersion: "v1", ...fields });

  test("is off until somebody says otherwise; a later directory overrides field by field", () => {
    expect(measurementSettings(load())).toEqual({
      ...{ policy: "off", pcr: 15, tcti: "device:/dev/tpmrm0", timeout: 30, rkt1Events: false },
    });
    write("system/measurement.d/a.json", measurement({ policy: "best-effort", pcr: 12, "rkt1-events": true }));
    write("local/measurement.d/a.json", measurement({ policy: "required", tcti: "swtpm:host=127.0.0.1,port=2321" }));
    expect(measurementSettings(load())).toEqual({
      ...{ policy: "required", pcr: 12, tcti: "swtpm:host=127.0.0.1,port=2321", timeout: 30, rkt1Events: true },
    });
  });

  test("says all that is wrong, and takes no way to run a command or to load a library", () => {
    const wrong = { policy: "on", pcr: 16, timeout: 0, "rkt1-events": "yes" };
    write("local/measurement.d/a.json", measurement(wrong));
    for (const [index, tcti] of ["cmd:/tmp/x", "/tmp/libx.so", "device:", "libtss2-tcti-cmd.so.0:sh"].entries())
      write(`local/measurement.d/b${index}.json`, measurement({ tcti }));
    const text = problem();
    expect(text).toStartWith("cannot get configuration: 8 problems");
    expect(text).toContain('tcti: unknown way to a TPM "cmd:/tmp/x"');
  });

  test("is the host's, not a user's", () => {
    write("user/measurement.d/a.json", measurement({ policy: "off" }));
    expect(problem()).toContain("the measurement of pods is configured for the host, not for a user");
  });

  test("is said once in a directory", () => {
    write("local/measurement.d/a.json", measurement({ policy: "off" }));
    write("local/measurement.d/b.json", measurement({ policy: "required" }));
    expect(problem()).toContain("policy: this setting of the measurement of pods is already specified");
  });
});
