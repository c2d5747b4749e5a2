/** Signatures on OCI images, through the built program: a real registry, images signed by skopeo and gpg, and a Sigstore of the test's own. Needs root. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  addOciIndex,
  type BuiltOci,
  buildBusyboxOci,
  makeSigner,
  packOciArchive,
  type Signer,
} from "../harness/images.ts";
import {
  type ArtifactStore,
  attachBundle,
  digestOf,
  layoutStore,
  repository,
  tagCosign,
  tagReferrers,
} from "../harness/oci-push.ts";
import { type Certified, certifiedLayer, certify, signerExtensions } from "../harness/openssl-authority.ts";
import { withReferrers } from "../harness/referrers-registry.ts";
import { startRegistry, type TestRegistry } from "../harness/registry.ts";
import { type Result, type TestRkt, testRkt } from "../harness/rkt.ts";
import { type BundleOptions, makeSigstore, makeTimestamps, publicPem, type TestSigstore } from "../harness/sigstore.ts";
import { type Lookaside, makeLookaside, pushSigned } from "../harness/simple-signing.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(60_000);

const DEV = { identity: "dev@example.com", issuer: "https://issuer.example" };
const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const otherKey = generateKeyPairSync("ed25519").privateKey;

let dir: TemporaryDirectory;
let registry: TestRegistry;
let sigstore: TestSigstore;
let signer: Signer;
let stranger: Signer;
let keyFile = "";
let pgpFile = "";
let rootFile = "";

beforeAll(async () => {
  dir = temporaryDirectory("signatures");
  registry = await startRegistry();
  sigstore = makeSigstore();
  signer = makeSigner("Signer <signer@example.com>");
  stranger = makeSigner("Stranger <stranger@example.org>");
  const file = (name: string, content: string) => {
    writeFileSync(join(dir.path, name), content);
    return join(dir.path, name);
  };
  keyFile = file("cosign.pub", publicPem(key));
  pgpFile = file("signer.asc", signer.publicKey);
  rootFile = file("trusted_root.json", sigstore.trustedRoot);
});

afterAll(() => {
  registry?.[Symbol.dispose]();
  for (const one of [signer, stranger]) one?.[Symbol.dispose]();
  dir?.[Symbol.dispose]();
});

interface Pushed {
  /** docker://…/team/appN:1.0. */
  readonly reference: string;
  /** 127.0.0.1:PORT/team/appN. */
  readonly name: string;
  readonly layout: string;
  readonly digest: string;
  readonly size: number;
  readonly store: ArtifactStore;
}

let images = 0;

/** An image of its own, in the registry as `1.0`. */
function pushed(): Pushed {
  images += 1;
  const layout = join(dir.path, `layout-${images}`);
  const built = buildBusyboxOci(layout, { busybox: false, layers: [{ "etc/motd": `image ${images}` }] });
  const name = `${registry.host}/team/app${images}`;
  registry.push(layout, "latest", `team/app${images}:1.0`);
  const size = sizeOf(layout, built.manifestDigest);
  const store = repository(`${registry.url}/v2/team/app${images}`);
  return { reference: `docker://${name}:1.0`, name, layout, digest: built.manifestDigest, size, store };
}

function sizeOf(layout: string, digest: string): number {
  return readFileSync(join(layout, "blobs", digest.replace(":", "/"))).length;
}

function fetch(rkt: TestRkt, reference: string, ...more: string[]): Result {
  return rkt.run(["--insecure-options=http", "fetch", "--full", reference, ...more]);
}

function accepted(rkt: TestRkt, reference: string, ...more: string[]): string {
  const { status, stdout, stderr } = fetch(rkt, reference, ...more);
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringContaining("signature verified:") });
  return stdout.trim();
}

/** For tests whose own process is the server: it must not wait for rkt. */
async function fetchAside(rkt: TestRkt, reference: string): Promise<Result> {
  return rkt.start(["--insecure-options=http", "fetch", "--full", reference]).ended;
}

function refused(rkt: TestRkt, reference: string, words: string, ...more: string[]): void {
  const { status, stdout, stderr } = fetch(rkt, reference, ...more);
  expect(stderr).toContain(words);
  expect(stdout).toBe("");
  expect(status).toBe(254);
  expect(rkt.ok(["image", "list", "--no-legend"])).toBe("");
}

function trust(rkt: TestRkt, ...words: string[]): string {
  return rkt.ok(["trust", "--skip-fingerprint-review", ...words]);
}

function trustIdentity(rkt: TestRkt, prefix: string): string {
  return trust(rkt, prefix, `--identity=${DEV.identity}`, `--issuer=${DEV.issuer}`, `--trusted-root=${rootFile}`);
}

/** Root's own record of an image. */
function verdict(rkt: TestRkt, id: string): { verification: Record<string, unknown> } {
  return JSON.parse(readFileSync(join(rkt.dataDir, "cas/verified", `${id}.json`), "utf8"));
}

describe("an image that nobody signed", () => {
  test("is refused, with what was looked for and what to do", () => {
    using rkt = testRkt();
    const image = pushed();
    const short = image.digest.slice(0, 19);
    const words = `it has no signature; looked at what refers to ${short}…, the tag ${image.digest.replace(":", "-")}.sig`;
    refused(rkt, image.reference, words);
    refused(rkt, image.reference, `rkt trust --prefix=${image.name} KEY`);
    // Before its layers are fetched.
    const blobs = runProgram(["find", join(rkt.dataDir, "cas/blob"), "-type", "f"]);
    const { layers } = JSON.parse(readFileSync(join(image.layout, "blobs", image.digest.replace(":", "/")), "utf8"));
    expect(blobs).not.toContain(layers[0].digest.slice("sha256:".length));
    trust(rkt, `--prefix=${registry.host}/team`, keyFile);
    refused(rkt, image.reference, "it has no signature");
    expect(rkt.run(["--insecure-options=image,http", "fetch", image.reference]).status).toBe(0);
  });
});

describe("cosign's tag", () => {
  test("by a key, for the prefixes it is trusted for", async () => {
    using rkt = testRkt();
    const image = pushed();
    await tagCosign(image.store, image.digest, [sigstore.cosignLayer(image.digest, image.name, key)]);
    refused(rkt, image.reference, "no key or identity is trusted for it (it has 1 signature)");
    trust(rkt, `--prefix=${registry.host}/tea`, keyFile);
    refused(rkt, image.reference, "no key or identity is trusted");
    trust(rkt, `--prefix=${registry.host}/team`, keyFile);
    const id = accepted(rkt, image.reference);
    expect(verdict(rkt, id).verification).toEqual({
      kind: "sigstore-key",
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
      trustedBy: `${registry.host}/team`,
    });
    // From the store without a look at the network.
    expect(rkt.run(["fetch", "--pull-policy=never", image.reference]).status).toBe(0);
  });

  test("by an identity", async () => {
    using rkt = testRkt();
    const image = pushed();
    await tagCosign(image.store, image.digest, [sigstore.cosignLayer(image.digest, image.name, DEV)]);
    trustIdentity(rkt, `--prefix=${image.name}`);
    const id = accepted(rkt, image.reference);
    expect(verdict(rkt, id).verification).toEqual({ kind: "sigstore-identity", ...DEV, trustedBy: image.name });
  });

  test("by an identity under one of several roots, in a file of its own and in the host's", async () => {
    const several = join(dir.path, "several_roots.jsonl");
    writeFileSync(several, [makeSigstore(), sigstore].map((one) => `${one.trustedRoot}\n`).join(""));
    const image = pushed();
    const identity = [`--identity=${DEV.identity}`, `--issuer=${DEV.issuer}`];
    const sign = (by: TestSigstore) =>
      tagCosign(image.store, image.digest, [by.cosignLayer(image.digest, image.name, DEV)]);
    using own = testRkt();
    expect(trust(own, `--prefix=${image.name}`, ...identity, `--trusted-root=${several}`)).toContain("2 roots, 2 cert");
    await sign(makeSigstore());
    refused(own, image.reference, "it does not hold");
    await sign(sigstore);
    accepted(own, image.reference);
    using host = testRkt();
    mkdirSync(join(host.configDir, "trustedkeys"), { recursive: true });
    cpSync(several, join(host.configDir, "trustedkeys/trusted_root.json"));
    trust(host, `--prefix=${image.name}`, ...identity);
    accepted(host, image.reference);
  });

  test("another image, another name, another key, another tag", async () => {
    using rkt = testRkt();
    trust(rkt, `--prefix=${registry.host}/team`, keyFile);
    const image = pushed();
    const sign = (digest: string, name: string, by = key) =>
      tagCosign(image.store, image.digest, [sigstore.cosignLayer(digest, name, by, { log: false })]);
    await sign(digestOf(Buffer.from("x")), image.name);
    refused(rkt, image.reference, "it is for another image");
    await sign(image.digest, `${registry.host}/team/other`);
    refused(rkt, image.reference, `it was made for "${registry.host}/team/other", expected "${image.name}:1.0"`);
    await sign(image.digest, `${image.name}:0.9`);
    refused(rkt, image.reference, `it was made for "${image.name}:0.9"`);
    await sign(image.digest, image.name, otherKey);
    refused(rkt, image.reference, "none that the keystore accepts: it was made by none of the trusted keys");
  });

  test("a signature over the index covers what it lists", async () => {
    using rkt = testRkt();
    trust(rkt, `--prefix=${registry.host}/team`, keyFile);
    const layout = join(dir.path, "many");
    const build = (architecture: string): BuiltOci =>
      buildBusyboxOci(layout, {
        busybox: false,
        layers: [{ "etc/motd": architecture }],
        architecture,
        tag: architecture,
      });
    const index = addOciIndex(layout, "all", { "linux/amd64": build("amd64"), "linux/arm64": build("arm64") });
    registry.push(layout, "all", "team/many:1.0", { all: true });
    const store = repository(`${registry.url}/v2/team/many`);
    await tagCosign(store, index, [sigstore.cosignLayer(index, `${registry.host}/team/many`, key)]);
    const id = accepted(rkt, `docker://${registry.host}/team/many:1.0`);
    // And again from the store, where the index is kept beside the signatures.
    rmSync(join(rkt.dataDir, "cas/verified", `${id}.json`));
    expect(rkt.run(["fetch", "--pull-policy=never", id]).status).toBe(0);
  });
});

describe("bundles", () => {
  test("found by the referrers tag", async () => {
    using rkt = testRkt();
    trust(rkt, `--prefix=${registry.host}/team`, keyFile);
    const image = pushed();
    await tagReferrers(image.store, image.digest, [
      await attachBundle(image.store, image, { sbom: true }, "application/spdx+json"),
      await attachBundle(image.store, image, sigstore.bundle(image.digest, key)),
    ]);
    accepted(rkt, image.reference);
  });

  test("found by the referrers API, on any page", async () => {
    using rkt = testRkt();
    using api = withReferrers(registry);
    const image = pushed();
    const name = image.name.replace(registry.host, api.host);
    trustIdentity(rkt, `--prefix=${api.host}`);
    const noise = await attachBundle(image.store, image, { sbom: true }, "application/spdx+json");
    const good = await attachBundle(image.store, image, sigstore.bundle(image.digest, DEV));
    api.referrers.set(image.digest, [noise, noise, noise, good]);
    const { stderr, status } = await fetchAside(rkt, `docker://${name}:1.0`);
    expect(stderr).toContain("signature verified:");
    expect(status).toBe(0);
    // The tag is for registries without the API.
    expect(api.requests.filter((path) => path.endsWith(image.digest.replace(":", "-")))).toEqual([]);
  });

  test("a timestamp authority in the place of a log, as in a private Sigstore", async () => {
    using rkt = testRkt();
    const image = pushed();
    const timestamp = makeTimestamps(rkt.dir);
    const signed = sigstore.bundle(image.digest, DEV, { log: false, timestamp });
    await tagReferrers(image.store, image.digest, [await attachBundle(image.store, image, signed)]);
    const root = JSON.parse(sigstore.trustedRoot);
    const trustRoot = (content: object): void => {
      writeFileSync(join(rkt.dir, "root.json"), JSON.stringify({ ...root, ...content }));
      const words = [
        `--identity=${DEV.identity}`,
        `--issuer=${DEV.issuer}`,
        `--trusted-root=${join(rkt.dir, "root.json")}`,
      ];
      trust(rkt, `--prefix=${image.name}`, ...words);
    };
    trustRoot({ timestampAuthorities: [timestamp.authority] });
    refused(rkt, image.reference, "expected 1 tlog entries, got 0");
    trustRoot({ tlogs: [], timestampAuthorities: [makeTimestamps(rkt.dir).authority] });
    refused(rkt, image.reference, "timestamp could not be verified");
    trustRoot({ tlogs: [], timestampAuthorities: [] });
    refused(rkt, image.reference, "timestamp could not be verified");
    trustRoot({ tlogs: [], timestampAuthorities: [timestamp.authority] });
    accepted(rkt, image.reference);
  });

  test("an entry of Rekor 2, whose time a timestamp authority proves", async () => {
    using rkt = testRkt();
    const timestamp = makeTimestamps(rkt.dir);
    const rootJson = { ...JSON.parse(sigstore.trustedRoot), timestampAuthorities: [timestamp.authority] };
    writeFileSync(join(rkt.dir, "root.json"), JSON.stringify(rootJson));
    const words = [
      `--identity=${DEV.identity}`,
      `--issuer=${DEV.issuer}`,
      `--trusted-root=${join(rkt.dir, "root.json")}`,
    ];
    trust(rkt, `--prefix=${registry.host}`, ...words);
    const signedBy = async (options: BundleOptions): Promise<string> => {
      const image = pushed();
      const signed = sigstore.bundle(image.digest, DEV, { generation: 2, ...options });
      await tagReferrers(image.store, image.digest, [await attachBundle(image.store, image, signed)]);
      return image.reference;
    };
    refused(rkt, await signedBy({}), "expected 1 timestamps, got 0");
    refused(rkt, await signedBy({ timestamp, tamper: "proof" }), "it does not hold");
    refused(rkt, await signedBy({ timestamp, tamper: "checkpoint" }), "it does not hold");
    accepted(rkt, await signedBy({ timestamp }));
  });

  test("one that is wrong does not hide the tag that is right, and the other way round", async () => {
    using rkt = testRkt();
    trust(rkt, `--prefix=${registry.host}/team`, keyFile);
    const image = pushed();
    const wrong = await attachBundle(image.store, image, sigstore.bundle(image.digest, otherKey));
    await tagReferrers(image.store, image.digest, [wrong]);
    refused(rkt, image.reference, "none of the trusted keys");
    await tagCosign(image.store, image.digest, [sigstore.cosignLayer(image.digest, image.name, key)]);
    accepted(rkt, image.reference);
  });

  test("nonsense, far too large ones, and far too many are no way around and no way to stop rkt", async () => {
    using rkt = testRkt();
    trust(rkt, `--prefix=${registry.host}/team`, keyFile);
    const image = pushed();
    const bad = [
      await attachBundle(image.store, image, "nonsense"),
      await attachBundle(image.store, image, `{"x": "${"y".repeat(1_000_000)}"}`),
      await attachBundle(image.store, image, "[".repeat(100_000)),
    ];
    await tagReferrers(image.store, image.digest, bad);
    refused(rkt, image.reference, "it cannot be read");
    const layers = Array.from({ length: 100 }, () =>
      sigstore.cosignLayer(image.digest, image.name, otherKey, { log: false }),
    );
    await tagCosign(image.store, image.digest, layers);
    refused(rkt, image.reference, "none that the keystore accepts");
    await tagCosign(image.store, image.digest, [sigstore.cosignLayer(image.digest, image.name, key)]);
    accepted(rkt, image.reference);
  });
});

describe("simple signing", () => {
  function lookaside(rkt: TestRkt, readUrl?: string): Lookaside {
    return makeLookaside(join(rkt.configDir, "containers"), registry.host, readUrl);
  }

  /** The directory with the one signature that was made. */
  function signatureDir({ dir: root }: Lookaside): string {
    const [team = ""] = readdirSync(root);
    const [image = ""] = readdirSync(join(root, team));
    return join(root, team, image);
  }

  test("by a key that is trusted for the prefix, for the very tag", () => {
    using rkt = testRkt();
    const { layout, name, reference } = pushed();
    const place = lookaside(rkt);
    pushSigned(place, `oci:${layout}:latest`, `${name}:1.0`, signer);
    refused(rkt, reference, "no key or identity is trusted");
    trust(rkt, `--prefix=${registry.host}/team`, pgpFile);
    registry.push(layout, "latest", `${name.slice(registry.host.length + 1)}:2.0`);
    refused(rkt, `docker://${name}:2.0`, `it was made for "${name}:1.0", expected "${name}:2.0"`);
    const id = accepted(rkt, reference);
    expect(verdict(rkt, id).verification).toEqual({
      kind: "openpgp",
      fingerprint: signer.fingerprint.toLowerCase(),
      trustedBy: `${registry.host}/team`,
    });
    accepted(rkt, `docker://${name}@${digestIn(layout)}`);
  });

  test("from a web server; the second signature counts too", async () => {
    using rkt = testRkt();
    const { layout, name, reference } = pushed();
    const place = makeLookaside(join(rkt.dir, "writer"), registry.host);
    using server = fileServer(place.dir);
    lookaside(rkt, `${server.url}/sigs`);
    pushSigned(place, `oci:${layout}:latest`, `${name}:1.0`, stranger);
    trust(rkt, `--prefix=${registry.host}/team`, pgpFile);
    expect((await fetchAside(rkt, reference)).stderr).toContain("it was made by none of the trusted keys");
    const first = join(signatureDir(place), "signature-1");
    const made = readFileSync(first);
    pushSigned(place, `oci:${layout}:latest`, `${name}:1.0`, signer);
    renameSync(first, join(signatureDir(place), "signature-2"));
    writeFileSync(first, made);
    expect((await fetchAside(rkt, reference)).stderr).toContain("signature verified:");
  });

  test("changed, empty, detached, by SHA-1, or two messages in one", () => {
    using rkt = testRkt();
    const { layout, name, reference } = pushed();
    const place = lookaside(rkt);
    pushSigned(place, `oci:${layout}:latest`, `${name}:1.0`, signer);
    trust(rkt, `--prefix=${registry.host}/team`, pgpFile);
    const file = join(signatureDir(place), "signature-1");
    const good = readFileSync(file);
    const payload = join(rkt.dir, "payload.json");
    writeFileSync(payload, gpg(signer, ["--decrypt", file]));
    const withContent = (content: Uint8Array, words: string) => {
      writeFileSync(file, content);
      refused(rkt, reference, words);
    };
    const signed = (...options: string[]): Buffer => {
      gpg(signer, ["--yes", "--output", `${payload}.sig`, ...options, payload]);
      return readFileSync(`${payload}.sig`);
    };
    const stray = Buffer.concat([Buffer.from([0xcb, 9, 0x62, 0, 0, 0, 0, 0]), Buffer.from("{} ")]);
    const changed = signed("--compress-algo=none", "--sign");
    const at = changed.indexOf("atomic container");
    expect(at).toBeGreaterThan(0);
    changed[at] = (changed[at] ?? 0) ^ 0x20;
    withContent(changed, "it was changed after it was signed");
    withContent(Buffer.alloc(0), "no OpenPGP signed message");
    withContent(Buffer.from("nonsense"), "no OpenPGP signed message");
    withContent(signed("--detach-sign"), "signature");
    withContent(signed("--digest-algo=SHA1", "--sign"), "a digest that can be forged");
    const plain = signed("--compress-algo=none", "--sign");
    withContent(Buffer.concat([plain, plain]), "none that the keystore accepts");
    withContent(Buffer.concat([stray, plain]), "none that the keystore accepts");
    writeFileSync(payload, readFileSync(payload, "utf8").replace("atomic container signature", "something else"));
    withContent(signed("--sign"), 'it is of type "something else"');
    withContent(Buffer.alloc(200_000, 1), "larger than");
    // 50 MB of blanks in 50 KB.
    writeFileSync(payload, Buffer.alloc(50_000_000, " "));
    withContent(signed("--compress-level=9", "--sign"), "none that the keystore accepts");
    writeFileSync(file, good);
    accepted(rkt, reference);
  });

  test("a key hidden in the file of a trusted one is not trusted", () => {
    using rkt = testRkt();
    const { layout, name, reference } = pushed();
    pushSigned(lookaside(rkt), `oci:${layout}:latest`, `${name}:1.0`, stranger);
    const both = join(rkt.dir, "both.gpg");
    writeFileSync(both, Buffer.concat([signer, stranger].map((one) => exported(one, rkt.dir))));
    trust(rkt, `--prefix=${registry.host}/team`, both);
    refused(rkt, reference, "it was made by none of the trusted keys");
  });
});

describe("policy.json", () => {
  function policy(rkt: TestRkt, scopes: Record<string, object[]>, fallback: object[] = [{ type: "reject" }]): void {
    mkdirSync(join(rkt.configDir, "containers"), { recursive: true });
    const document = { default: fallback, transports: { docker: scopes } };
    writeFileSync(join(rkt.configDir, "containers/policy.json"), JSON.stringify(document));
  }

  test("the host's own file does not count by itself", () => {
    using rkt = testRkt();
    refused(rkt, pushed().reference, "it has no signature");
  });

  test("reject wins over the keystore; insecureAcceptAnything only where nobody is trusted", async () => {
    using rkt = testRkt();
    const image = pushed();
    await tagCosign(image.store, image.digest, [sigstore.cosignLayer(image.digest, image.name, otherKey)]);
    policy(rkt, { [registry.host]: [{ type: "reject" }] });
    trust(rkt, `--prefix=${registry.host}/team`, keyFile);
    refused(rkt, image.reference, `policy.json" rejects it (docker ${registry.host})`);
    const listed = rkt.run(["trust", "--list"]);
    expect(listed.stderr).toContain('policy.json" is in force');
    expect(listed.stdout).not.toContain("policy.json");
    policy(rkt, { [registry.host]: [{ type: "insecureAcceptAnything" }] });
    refused(rkt, image.reference, "none of the trusted keys");
    rkt.ok(["trust", "--remove", `--prefix=${registry.host}/team`, fingerprintIn(rkt)]);
    const { status, stdout, stderr } = fetch(rkt, image.reference);
    expect(stderr).toContain(`policy.json" accepts "${image.reference}" without a signature`);
    expect(status).toBe(0);
    expect(verdict(rkt, stdout.trim()).verification.kind).toBe("policy");
  });

  test("signedBy, with each signedIdentity", () => {
    using rkt = testRkt();
    const { layout, name, reference } = pushed();
    const place = makeLookaside(join(rkt.configDir, "containers"), registry.host);
    pushSigned(place, `oci:${layout}:latest`, `${name}:1.0`, signer, "signed.example/origin/app:1.0");
    const by = (signedIdentity: object | undefined, keyPath = pgpFile) =>
      policy(rkt, {
        [name]: [{ type: "signedBy", keyType: "GPGKeys", keyPath, ...(signedIdentity && { signedIdentity }) }],
      });
    by(undefined);
    refused(rkt, reference, `it was made for "signed.example/origin/app:1.0"`);
    by({ type: "matchRepository" });
    refused(rkt, reference, "matchRepository");
    by({ type: "exactReference", dockerReference: "signed.example/origin/app:2.0" });
    refused(rkt, reference, 'expected "signed.example/origin/app:2.0"');
    by({ type: "remapIdentity", prefix: name, signedPrefix: "signed.example/other/app" });
    refused(rkt, reference, 'expected "signed.example/other/app:1.0"');
    by({ type: "exactReference", dockerReference: "signed.example/origin/app:1.0" });
    accepted(rkt, reference);
    by({ type: "exactRepository", dockerRepository: "signed.example/origin/app" });
    accepted(rkt, reference, "--pull-policy=update");
    by({ type: "remapIdentity", prefix: name, signedPrefix: "signed.example/origin/app" });
    accepted(rkt, reference, "--pull-policy=update");
    const strangerFile = join(rkt.dir, "stranger.asc");
    writeFileSync(strangerFile, stranger.publicKey);
    by({ type: "exactRepository", dockerRepository: "signed.example/origin/app" }, strangerFile);
    expect(fetch(rkt, reference, "--pull-policy=update").stderr).toContain("none of the trusted keys");
  });

  test("sigstoreSigned by key and by identity; every requirement must be met", async () => {
    using rkt = testRkt();
    const image = pushed();
    const layer = (by: Parameters<TestSigstore["cosignLayer"]>[2]) =>
      sigstore.cosignLayer(image.digest, image.name, by);
    await tagCosign(image.store, image.digest, [layer(key)]);
    const [caPath, rekorPublicKeyPath] = [join(rkt.dir, "ca.pem"), join(rkt.dir, "rekor.pub")];
    writeFileSync(caPath, sigstore.authorityPem);
    writeFileSync(rekorPublicKeyPath, sigstore.logPem);
    const signedIdentity = { type: "matchRepository" };
    const byKey = { type: "sigstoreSigned", keyPath: keyFile, rekorPublicKeyPath, signedIdentity };
    const fulcio = { caPath, oidcIssuer: DEV.issuer, subjectEmail: DEV.identity };
    const byIdentity = { type: "sigstoreSigned", fulcio, rekorPublicKeyPath, signedIdentity };
    policy(rkt, { [registry.host]: [byKey, byIdentity] });
    refused(rkt, image.reference, "none that");
    const { stderr } = fetch(rkt, image.reference);
    expect(stderr).toContain('policy.json" asks, or change that file');
    expect(stderr).not.toContain("rkt trust");
    await tagCosign(image.store, image.digest, [layer(key), layer(DEV)]);
    accepted(rkt, image.reference);
    policy(rkt, { [registry.host]: [{ ...byKey, signedIdentity: undefined }] });
    expect(fetch(rkt, image.reference, "--pull-policy=update").stderr).toContain("matchRepoDigestOrExact");
  });

  test("sigstoreSigned by a certificate of one's own authority", async () => {
    using rkt = testRkt();
    const root = certify(rkt.dir, "Team Root", undefined);
    const issuing = certify(rkt.dir, "Team Issuing", root);
    const elsewhere = certify(rkt.dir, "Other Root", undefined);
    const names = ["email:dev@example.com", "DNS:build.example.com"];
    const dev = certify(rkt.dir, "dev", issuing, { extensions: signerExtensions(...names) });
    const image = pushed();
    const sign = (by: Certified, chain: Certified[]) =>
      tagCosign(image.store, image.digest, [certifiedLayer(image.digest, image.name, by, chain)]);
    const by = (pki: object, more: object = {}) =>
      policy(rkt, {
        [registry.host]: [{ type: "sigstoreSigned", pki, signedIdentity: { type: "matchRepository" }, ...more }],
      });
    const ours = { caRootsPath: root.certificate, subjectEmail: "dev@example.com" };
    await sign(dev, [issuing, root]);
    by({ ...ours, caRootsPath: elsewhere.certificate });
    refused(rkt, image.reference, "Failed to verify certificate chain");
    by({ ...ours, subjectEmail: "eve@example.com" });
    refused(rkt, image.reference, 'it was made by "dev@example.com", "build.example.com"');
    by({ ...ours, subjectHostname: "other.example.com" });
    refused(rkt, image.reference, "it was made by");
    by(ours, { keyPath: keyFile });
    refused(rkt, image.reference, "got keyPath and pki");
    by({ ...ours, subjectMail: "dev@example.com" });
    refused(rkt, image.reference, '"transports');
    await sign(dev, [root]);
    by(ours);
    refused(rkt, image.reference, "Failed to verify certificate chain");
    const past = { from: new Date(Date.now() - 7_200_000), until: new Date(Date.now() - 3_600_000) };
    const expired = certify(rkt.dir, "past", issuing, { ...past, extensions: signerExtensions(...names) });
    await sign(expired, [issuing, root]);
    refused(rkt, image.reference, "not valid or expired");
    await sign(dev, []);
    by({ ...ours, caIntermediatesPath: issuing.certificate });
    const id = accepted(rkt, image.reference);
    expect(verdict(rkt, id).verification).toEqual({
      kind: "sigstore-identity",
      identity: "dev@example.com",
      issuer: "CN=Team Root",
      trustedBy: join(rkt.configDir, "containers/policy.json"),
    });
    expect(rkt.ok(["image", "list", "--no-legend", "--fields=signer"])).toBe("dev@example.com (CN=Team Root)\n");
    await sign(dev, [issuing, root]);
    by({ caRootsData: btoa(root.pem), subjectHostname: "build.example.com" });
    accepted(rkt, image.reference, "--pull-policy=update");
    expect(rkt.run(["image", "verify", id]).status).toBe(0);
  });

  test("a misspelt rule stops everything", () => {
    using rkt = testRkt();
    const image = pushed();
    policy(rkt, { [registry.host]: [{ type: "signedby" }] });
    refused(rkt, image.reference, '"signedby" is not known');
    policy(rkt, { [registry.host]: [{ type: "reject", unless: 1 }] });
    refused(rkt, image.reference, "is not known");
    policy(rkt, { [registry.host]: [] });
    refused(rkt, image.reference, "expected requirements");
    writeFileSync(join(rkt.configDir, "containers/policy.json"), "{");
    refused(rkt, image.reference, "Cannot read");
  });
});

describe("layouts and archives", () => {
  function layoutOf(name: string): { path: string; digest: string; size: number; store: ArtifactStore } {
    const path = join(dir.path, name);
    const { manifestDigest: digest } = buildBusyboxOci(path, {
      busybox: false,
      layers: [{ "etc/motd": name }],
      tag: "1.0",
    });
    return { path, digest, size: sizeOf(path, digest), store: layoutStore(path) };
  }

  test("signatures inside, as cosign saves them and as referrers", async () => {
    using rkt = testRkt();
    const one = layoutOf("saved");
    refused(rkt, `oci:${one.path}:1.0`, "no key or identity is trusted");
    trust(rkt, "--prefix=reg.example/team", keyFile);
    refused(rkt, `oci:${one.path}:1.0`, "it has no signature; looked at the layout's index");
    await tagCosign(one.store, one.digest, [sigstore.cosignLayer(one.digest, "reg.example/other/app", key)]);
    refused(rkt, `oci:${one.path}:1.0`, 'expected a name below "reg.example/team"');
    await tagCosign(one.store, one.digest, [sigstore.cosignLayer(one.digest, "reg.example/team/app", key)]);
    const id = accepted(rkt, `oci:${one.path}:1.0`);
    expect(verdict(rkt, id).verification.nameClaimed).toBe(true);
    const two = layoutOf("referred");
    await attachBundle(two.store, two, sigstore.bundle(two.digest, key));
    accepted(rkt, `oci:${two.path}:1.0`);
    const archive = join(dir.path, "referred.tar");
    packOciArchive(two.path, archive);
    accepted(rkt, `oci-archive:${archive}:1.0`);
  });

  test("a bundle beside it, and --signature", () => {
    using rkt = testRkt();
    trustIdentity(rkt, "--root");
    const { path, digest } = layoutOf("beside");
    const bundle = JSON.stringify(sigstore.bundle(digest, DEV));
    const file = join(rkt.dir, "elsewhere.json");
    refused(rkt, `oci:${path}:1.0`, `${path}.sigstore.json`);
    writeFileSync(file, bundle);
    accepted(rkt, `oci:${path}:1.0`, `--signature=${file}`);
    writeFileSync(`${path}.sigstore.json`, bundle);
    accepted(rkt, `oci:${path}:1.0`);
    // A link could lead to any file of the host.
    renameSync(`${path}.sigstore.json`, file);
    symlinkSync(file, `${path}.sigstore.json`);
    expect(fetch(rkt, `oci:${path}:1.0`).stderr).toContain("it is a symbolic link");
    const { status, stderr } = fetch(rkt, `oci:${path}:1.0`, `--signature=${rkt.dir}`);
    expect(stderr).toContain("error opening signature file");
    expect(status).toBe(254);
  });

  test("a name that a layout claims is believed by nobody", async () => {
    using rkt = testRkt();
    trust(rkt, "--root", keyFile);
    const { path, digest, size, store } = layoutOf("claims");
    await attachBundle(store, { digest, size }, sigstore.bundle(digest, key));
    const index = JSON.parse(readFileSync(join(path, "index.json"), "utf8"));
    index.manifests[0].annotations["org.opencontainers.image.ref.name"] = "reg.example/team/app:1.0";
    writeFileSync(join(path, "index.json"), JSON.stringify(index));
    accepted(rkt, `oci:${path}`);
    expect(rkt.ok(["image", "list", "--no-legend", "--fields=name"])).toContain("reg.example/team/app:1.0");
    expect(rkt.run(["fetch", "--pull-policy=never", "reg.example/team/app"]).status).toBe(254);
  });
});

describe("the store", () => {
  test("an image of an unprivileged fetch is verified again, with the signatures it brought", async () => {
    using rkt = testRkt();
    trust(rkt, `--prefix=${registry.host}/team`, keyFile);
    const image = pushed();
    await tagCosign(image.store, image.digest, [sigstore.cosignLayer(image.digest, image.name, key)]);
    const id = accepted(rkt, image.reference);
    const record = join(rkt.dataDir, "cas/verified", `${id}.json`);
    const again = () => rkt.run(["fetch", "--pull-policy=never", id]);
    // As if a member of group rkt had fetched it.
    rmSync(record);
    expect(again().stderr).toContain("signature verified:");
    expect(verdict(rkt, id).verification.nameClaimed).toBe(true);
    // A record that claims another name needs a key for that name.
    rmSync(record);
    const shared = join(rkt.dataDir, "cas/images", `${id}.json`);
    const honest = readFileSync(shared, "utf8");
    writeFileSync(shared, honest.replaceAll("/app", "/other"));
    refusedFromStore(again(), "it was made for");
    // Signatures of another image.
    writeFileSync(shared, honest);
    const kept = join(rkt.dataDir, "cas/images", `${id}.signatures`);
    const good = readFileSync(kept, "utf8");
    const set = JSON.parse(good);
    const payload = Buffer.from(set.documents[0].content, "base64")
      .toString()
      .replace(image.digest, digestOf(Buffer.from("")));
    set.documents[0].content = Buffer.from(payload).toString("base64");
    writeFileSync(kept, JSON.stringify(set));
    refusedFromStore(again(), "none of the trusted keys");
    for (const nonsense of ["", "[]", '{"documents":[{"kind":"cosign"}]}', `{"documents":"${"x".repeat(100_000)}"}`]) {
      writeFileSync(kept, nonsense);
      refusedFromStore(again(), "");
    }
    rmSync(kept);
    refusedFromStore(again(), "it has no signature");
    writeFileSync(kept, good);
    expect(again().status).toBe(0);
    rkt.ok(["image", "rm", id]);
    expect(readdirSync(join(rkt.dataDir, "cas/images"))).toEqual([]);
  });

  function refusedFromStore({ status, stderr }: Result, words: string): void {
    expect(stderr).toContain(words);
    expect(status).toBe(254);
  }
});

describe("who signed", () => {
  test("is shown by image list and status, and checked again by image verify", async () => {
    using rkt = testRkt();
    const layout = join(dir.path, "running");
    const { manifestDigest: digest } = buildBusyboxOci(layout, { cmd: ["/bin/true"] });
    registry.push(layout, "latest", "team/running:1.0");
    const name = `${registry.host}/team/running`;
    const store = repository(`${registry.url}/v2/team/running`);
    await tagCosign(store, digest, [sigstore.cosignLayer(digest, name, DEV)]);
    trustIdentity(rkt, `--prefix=${registry.host}`);
    const reference = `docker://${name}:1.0`;
    const id = accepted(rkt, reference);
    const signer = `${DEV.identity} (${DEV.issuer})`;
    expect(rkt.ok(["image", "list", "--no-legend", "--fields=signer"])).toBe(`${signer}\n`);
    expect(rkt.run(["run", "--stage1-name=coreos.com/rkt/stage1-fly", reference]).status).toBe(0);
    const [uuid = ""] = rkt.pods();
    expect(rkt.ok(["status", uuid])).toContain(`\nsigner-running=${signer}\n`);
    expect(JSON.parse(rkt.ok(["status", "--format=json", uuid])).apps[0].signer).toBe(signer);
    expect(rkt.run(["image", "verify", id]).status).toBe(0);
    rkt.ok(["trust", "--remove", `--prefix=${registry.host}`, `--identity=${DEV.identity}`, `--issuer=${DEV.issuer}`]);
    const { status, stderr } = rkt.run(["image", "verify", id]);
    expect(stderr).toContain("no key or identity is trusted for it");
    expect(status).toBe(254);
    // What root once saw verified stays usable until somebody removes it.
    expect(rkt.run(["fetch", "--pull-policy=never", id]).status).toBe(0);
  });
});

describe("rkt trust", () => {
  test("lists what counts, and takes it back", () => {
    using rkt = testRkt();
    const added = trust(rkt, "--prefix=reg.example:5000/team", keyFile);
    expect(added).toContain("public key fingerprint is: SHA256 ");
    expect(added).toContain("\tECDSA P-256\n");
    trust(rkt, "--root", pgpFile);
    expect(trustIdentity(rkt, "--prefix=reg.example:5000/team/app")).toContain(
      "1 certificate authorities, 1 transparency logs",
    );
    trust(
      rkt,
      "--prefix=other.example",
      "--identity-regexp=https://forge.example/.*",
      "--issuer=https://ci.example",
      `--trusted-root=${rootFile}`,
    );
    const list = rkt
      .ok(["trust", "--list"])
      .split("\n")
      .map((line) => line.split(/\t+/));
    expect(list).toEqual([
      ["PREFIX", "KIND", "SIGNER", "ISSUER"],
      ["(all images)", "openpgp", signer.fingerprint.toLowerCase(), "-"],
      ["other.example", "sigstore-identity", "/https://forge.example/.*/", "https://ci.example"],
      ["reg.example:5000/team", "sigstore-key", `sha256:${fingerprintIn(rkt)}`, "-"],
      ["reg.example:5000/team/app", "sigstore-identity", DEV.identity, DEV.issuer],
      [""],
    ]);
    const counting = JSON.parse(rkt.ok(["trust", "--list", "--prefix=reg.example:5000/team/app", "--format=json"]));
    expect(counting.map((one: { kind: string }) => one.kind)).toEqual(["openpgp", "sigstore-key", "sigstore-identity"]);
    rkt.ok(["trust", "--remove", "--prefix=reg.example:5000/team", `sha256:${fingerprintIn(rkt)}`]);
    rkt.ok([
      "trust",
      "--remove",
      "--prefix=reg.example:5000/team/app",
      `--identity=${DEV.identity}`,
      `--issuer=${DEV.issuer}`,
    ]);
    rkt.ok(["trust", "--remove", "--root", signer.fingerprint]);
    expect(rkt.ok(["trust", "--list", "--format=json"])).toContain("other.example");
    const { status, stderr } = rkt.run(["trust", "--remove", "--root", signer.fingerprint]);
    expect(stderr).toContain("it is not trusted for all images");
    expect(status).toBe(254);
  });

  test("what the system trusts is masked, not removed", () => {
    using rkt = testRkt();
    trust(rkt, "--prefix=reg.example", keyFile);
    mkdirSync(join(rkt.dir, "usr-lib-rkt"));
    renameSync(join(rkt.configDir, "trustedkeys"), join(rkt.dir, "usr-lib-rkt/trustedkeys"));
    const listed = () => JSON.parse(rkt.ok(["trust", "--list", "--format=json"])) as { fingerprint: string }[];
    const [{ fingerprint } = { fingerprint: "" }] = listed();
    rkt.ok(["trust", "--remove", "--prefix=reg.example", fingerprint]);
    expect(listed()).toEqual([]);
    trust(rkt, "--prefix=reg.example", keyFile);
    expect(listed()).toHaveLength(1);
  });

  test("refusals", () => {
    using rkt = testRkt();
    const bad = (name: string, content: string): string => {
      writeFileSync(join(rkt.dir, name), content);
      return join(rkt.dir, name);
    };
    const short = generateKeyPairSync("rsa", { modulusLength: 1024 })
      .publicKey.export({ type: "spki", format: "pem" })
      .toString();
    const cases: [string[], string][] = [
      [["--prefix=a.com", bad("rsa.pub", short)], "RSA with 1024 bits"],
      [
        ["--prefix=a.com", bad("x.pub", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")],
        "expected a public key",
      ],
      [[keyFile], "aborting due to implicit unbounded trust"],
      [["--identity=a@b.c", "--issuer=https://i"], "aborting due to implicit unbounded trust"],
      [["--prefix=a.com", "--identity=a@b.c"], "--issuer required"],
      [["--prefix=a.com", "--identity=a@b.c", "--identity-regexp=.*", "--issuer=https://i"], "one of them"],
      [
        ["--prefix=a.com", "--identity=a@b.c", "--issuer=https://i", "--trusted-root=/nonexistent/root.json"],
        'the trusted root "/nonexistent/root.json": no such file',
      ],
      [["--prefix=a.com", "--identity=a@b.c", "--issuer=https://i"], "no trusted root says who vouches for it"],
      [["--prefix=a.com", "--identity=a@b.c", "--issuer=i", `--trusted-root=${rootFile}`], "expected a URL"],
      [
        ["--prefix=a.com", "--identity-regexp=(", "--issuer=https://i", `--trusted-root=${rootFile}`],
        "no regular expression",
      ],
      [
        ["--prefix=a.com", "--identity=a@b.c", "--issuer=https://i", `--trusted-root=${bad("root.json", "{}")}`],
        "Cannot read the trusted root",
      ],
      [["--prefix=a.com/../..", keyFile], "as a prefix of image names"],
      [["--prefix=a.com", "--remove", "nonsense"], "expected a fingerprint"],
      [["--prefix=a.com", "--remove"], "at least one fingerprint"],
    ];
    for (const [words, text] of cases) {
      const { status, stderr } = rkt.run(["trust", "--skip-fingerprint-review", ...words]);
      expect(stderr).toContain(text);
      expect(status).toBe(254);
    }
    const { stderr } = rkt.run(["trust", "--prefix=a.com", keyFile]);
    expect(stderr).toContain("unable to ask user to review fingerprint due to lack of tty");
    expect(JSON.parse(rkt.ok(["trust", "--list", "--format=json"]))).toEqual([]);
  });
});

/** The fingerprint of the one Sigstore key in the keystore. */
function fingerprintIn(rkt: TestRkt): string {
  const listing = JSON.parse(rkt.ok(["trust", "--list", "--format=json"])) as { kind: string; fingerprint: string }[];
  return listing.find(({ kind }) => kind === "sigstore-key")?.fingerprint ?? "";
}

function digestIn(layout: string): string {
  return JSON.parse(readFileSync(join(layout, "index.json"), "utf8")).manifests[0].digest;
}

function gpg(by: Signer, words: readonly string[]): string {
  const fixed = ["--batch", "--quiet", "--no-tty", "--yes", "--pinentry-mode=loopback", "--passphrase", ""];
  return runProgram(["gpg", "--homedir", by.home, ...fixed, ...words]);
}

/** The binary key. */
function exported(by: Signer, where: string): Buffer {
  const path = join(where, "exported.gpg");
  gpg(by, ["--output", path, "--export"]);
  return readFileSync(path);
}

/** Serves the files below `root` under /sigs. */
function fileServer(root: string): { url: string; [Symbol.dispose](): void } {
  const copy = join(dir.path, "served");
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      rmSync(copy, { recursive: true, force: true });
      cpSync(root, copy, { recursive: true });
      const file = Bun.file(join(copy, new URL(request.url).pathname.replace(/^\/sigs/, "")));
      return file.size > 0 ? new Response(file) : new Response("", { status: 404 });
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, [Symbol.dispose]: () => void server.stop(true) };
}
