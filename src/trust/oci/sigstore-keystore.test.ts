import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { RktEvent } from "../../core/events.ts";
import { linux } from "../../host/mod.ts";
import { allKeystoreFiles, keystoreFiles, removeKeystoreFile } from "../keystore-files.ts";
import { parsePrefix, prefixesOf, repositoryNames } from "../prefix.ts";
import { hostTrustedRoot, readSigners, type SigstoreTrust, signerFile, storeSigner } from "./sigstore-keystore.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "rkt-signers-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const dirs = () => ({ systemConfigDir: join(root, "lib"), localConfigDir: join(root, "etc") });
const der = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ type: "spki", format: "der" });
const KEY: SigstoreTrust = { kind: "key", der, fingerprint: new Bun.CryptoHasher("sha256").update(der).digest("hex") };
const IDENTITY: SigstoreTrust = {
  kind: "identity",
  issuer: "https://issuer.example",
  identity: undefined,
  identityRegexp: ".*@example\\.com",
  trustedRoot: '{"tlogs":[]}',
};
const store = (prefix: string, signer: SigstoreTrust) => storeSigner(linux, dirs().localConfigDir, prefix, signer);
const found = (name: string, events: RktEvent[] = []) =>
  readSigners(keystoreFiles([name], dirs(), "sigstore-"), (event) => void events.push(event));

describe("signers", () => {
  test("come back as they were stored, for their prefix", () => {
    const path = store("reg.example:5000/team", KEY);
    expect(path).toBe(join(root, "etc/trustedkeys/sigstore-prefix.d/reg.example:5000/team", signerFile(KEY)));
    expect(statSync(path).mode & 0o777).toBe(0o644);
    expect(readFileSync(path, "utf8")).toStartWith("-----BEGIN PUBLIC KEY-----\n");
    store("", IDENTITY);
    expect(found("reg.example:5000/team/app").map(({ path: _, ...signer }) => signer)).toEqual([
      { prefix: "", ...IDENTITY },
      { prefix: "reg.example:5000/team", ...KEY },
    ]);
    expect(found("reg.example/team/app")).toHaveLength(1);
  });

  test("an identity with several roots, each on a line", () => {
    const several: SigstoreTrust = { ...IDENTITY, trustedRoot: '{"tlogs":[]}\n{"ctlogs":[]}' };
    const file = store("", { ...several, trustedRoot: `${several.trustedRoot}\n\n` });
    expect(JSON.parse(readFileSync(file, "utf8")).trustedRoot).toEqual([{ tlogs: [] }, { ctlogs: [] }]);
    expect(found("reg.example/app").map(({ path: _, ...signer }) => signer)).toEqual([{ prefix: "", ...several }]);
  });

  test("the host's trusted root, which an empty file takes away", () => {
    const put = (place: string, content: string) => {
      mkdirSync(join(root, place, "trustedkeys"), { recursive: true });
      writeFileSync(join(root, place, "trustedkeys/trusted_root.json"), content);
    };
    expect(hostTrustedRoot(dirs())).toBeUndefined();
    put("lib", '{"tlogs":[]}');
    expect(hostTrustedRoot(dirs())).toBe('{"tlogs":[]}');
    put("etc", "\n");
    expect(hostTrustedRoot(dirs())).toBeUndefined();
    put("etc", "x".repeat(1024 * 1024 + 1));
    expect(() => hostTrustedRoot(dirs())).toThrow("larger than");
    rmSync(join(root, "etc/trustedkeys/trusted_root.json"));
    mkdirSync(join(root, "etc/trustedkeys/trusted_root.json"));
    expect(() => hostTrustedRoot(dirs())).toThrow("Cannot read the trusted root");
  });

  test("a file that is not what its name says does not count", () => {
    const events: RktEvent[] = [];
    const path = store("", IDENTITY);
    renameSync(path, path.replace(/identity-./, "identity-x"));
    const put = (name: string, content: string) => writeFileSync(join(dirname(path), name), content);
    put(signerFile(KEY).replace(/sha256-./, "sha256-x"), readFileSync(store("other", KEY), "utf8"));
    put("README", "hello");
    put("list.json", "[]");
    put(`identity-${"0".repeat(64)}.json`, '{"issuer": "https://i", "identity": "a", "identityRegexp": "b"}');
    put("deep.json", "[".repeat(50_000));
    expect(found("reg.example/app", events)).toEqual([]);
    expect(events.filter(({ kind }) => kind === "warning")).toHaveLength(6);
  });

  test("trust is taken back where it was given, and masked where the system gave it", () => {
    const path = store("reg.example", KEY);
    const where = { tree: "sigstore-", prefix: "reg.example", name: signerFile(KEY) } as const;
    mkdirSync(join(root, "lib"));
    renameSync(join(root, "etc/trustedkeys"), join(root, "lib/trustedkeys"));
    expect(removeKeystoreFile(linux, dirs(), where)).toEqual([path]);
    expect(statSync(path).size).toBe(0);
    expect(allKeystoreFiles(dirs(), "sigstore-")).toEqual([]);
    expect(removeKeystoreFile(linux, dirs(), where)).toEqual([]);
    rmSync(join(root, "lib"), { recursive: true });
    store("reg.example", KEY);
    expect(allKeystoreFiles(dirs(), "sigstore-")).toHaveLength(1);
    expect(removeKeystoreFile(linux, dirs(), where)).toEqual([path]);
    expect(removeKeystoreFile(linux, dirs(), where)).toEqual([]);
  });
});

describe("prefixes", () => {
  test("names of images, with a port behind the host", () => {
    expect(prefixesOf("reg.example:5000/a/b")).toEqual([
      "reg.example:5000",
      "reg.example:5000/a",
      "reg.example:5000/a/b",
    ]);
    for (const text of [
      "",
      "..",
      "a/../b",
      "a/b:5000",
      "a:x/b",
      "a:5000000/b",
      "/a",
      "a/",
      "A/b",
      "a\0b",
      "a:5000/../x",
    ]) {
      expect(() => parsePrefix(text)).toThrow();
    }
  });

  test("an image of Docker Hub has two names, one of a layout none", () => {
    const source = (registry: string | undefined) => ({ registry, repository: "library/busybox", reference: "" });
    expect(repositoryNames(source("registry-1.docker.io"))).toEqual([
      "registry-1.docker.io/library/busybox",
      "docker.io/library/busybox",
    ]);
    expect(repositoryNames(source("Reg.Example:5000"))).toEqual(["reg.example:5000/library/busybox"]);
    expect(repositoryNames(source(undefined))).toEqual([]);
    expect(repositoryNames(undefined)).toEqual([]);
  });
});
