/** Who may have made an image: keys, signatures and the verify worker, through the built program and with real keys. Needs root, gpg, gpgv, busybox-static. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { buildAci, makeSigner, type Signer } from "../harness/images.ts";
import { type Result, RKT, type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

let dir: TemporaryDirectory;
let signer: Signer;
/** As rkt writes it. */
let fingerprint = "";
let stranger: Signer;
let keyFile = "";

beforeAll(() => {
  dir = temporaryDirectory("trust");
  signer = makeSigner("Signer <signer@example.com>");
  fingerprint = signer.fingerprint.toLowerCase();
  stranger = makeSigner("Stranger <stranger@example.org>", "ed25519");
  keyFile = join(dir.path, "signer.asc");
  writeFileSync(keyFile, signer.publicKey);
});

afterAll(() => {
  signer?.[Symbol.dispose]();
  stranger?.[Symbol.dispose]();
  dir?.[Symbol.dispose]();
});

let images = 0;
function aci(name = "example.com/app"): string {
  images += 1;
  const path = join(dir.path, `${images}.aci`);
  buildAci(path, { name }, { "etc/motd": `image ${images}` });
  return path;
}

/** An ACI signed by `by`. */
function signed(by: Signer, name?: string, armor = true): string {
  const path = aci(name);
  by.sign(path, `${path}.asc`, armor);
  return path;
}

function trust(rkt: TestRkt, ...args: string[]): Result {
  return rkt.run(["trust", "--skip-fingerprint-review", ...args]);
}

describe("rkt trust", () => {
  test("shows the key, and writes it where rkt looks for it", () => {
    using rkt = testRkt();
    const { status, stdout, stderr } = trust(rkt, "--prefix=example.com/app", keyFile);
    const path = join(rkt.configDir, "trustedkeys/prefix.d/example.com/app", fingerprint);
    const groups = signer.fingerprint.match(/.{4}/g) ?? [];
    expect(stderr).toBe(`pubkey: prefix: "example.com/app"\nkey: "${keyFile}"\n`);
    expect(stdout.split("\n")).toEqual([
      `gpg key fingerprint is: ${groups.slice(0, 5).join(" ")}  ${groups.slice(5).join(" ")}`,
      ...stdout.split("\n").filter((line) => line.startsWith("    Subkey fingerprint: ")),
      "\tSigner <signer@example.com>",
      `Trusting "${keyFile}" for prefix "example.com/app" without fingerprint review.`,
      `Added key for prefix "example.com/app" at "${path}"`,
      "",
    ]);
    expect(status).toBe(0);
    expect(readFileSync(path, "utf8")).toBe(signer.publicKey);
    expect(statSync(path).mode & 0o777).toBe(0o644);
  });

  test("a binary key is stored armored; --root covers all images", () => {
    using rkt = testRkt();
    const binary = join(rkt.dir, "key.gpg");
    runProgram(["gpg", "--homedir", dir.path, "--batch", "--yes", "--dearmor", "--output", binary, keyFile]);
    const { stdout } = trust(rkt, "--root", binary);
    expect(stdout).toContain('Added root key at "');
    const stored = readFileSync(join(rkt.configDir, "trustedkeys/root.d", fingerprint), "utf8");
    expect(stored).toStartWith("-----BEGIN PGP PUBLIC KEY BLOCK-----");
    expect(rkt.run(["fetch", signed(signer, "any.org/thing")]).status).toBe(0);
  });

  test("rkt's refusals", () => {
    using rkt = testRkt();
    const refused = (words: string[], text: string): void => {
      const { status, stderr } = rkt.run(words);
      expect(stderr).toContain(text);
      expect(status).toBe(254);
    };
    refused(["trust", keyFile], "aborting due to implicit unbounded trust (root domain)\nPlease provide");
    refused(["trust", "--root", "--prefix=a.com", keyFile], "--root and --prefix usage mutually exclusive");
    refused(["trust", "--prefix=https://a.com", keyFile], "--prefix must not contain a URL scheme, omit https://");
    refused(["--insecure-options=image", "trust", "--root", keyFile], "could not get the keystore");
    refused(["trust", "--prefix=a.com", "/nonexistent"], "error adding keys");
    refused(["trust", "--prefix=a.com", "http://127.0.0.1:1/key"], "--insecure-allow-http required for http URLs");
    refused(["trust", "--prefix=a.com", RKT], "error adding keys");
    refused(["trust", "--root"], "error determining key location: empty prefix");
    expect(existsSync(join(rkt.configDir, "trustedkeys"))).toBe(false);
  });

  test("without a terminal nobody can review, so nothing is trusted", () => {
    using rkt = testRkt();
    const { status, stderr } = rkt.run(["trust", "--prefix=example.com/app", keyFile], { input: "yes\n" });
    expect(stderr).toContain('pubkey: To trust the key for "example.com/app", do one of the following:');
    expect(stderr).toContain("unable to ask user to review fingerprint due to lack of tty");
    expect(status).toBe(254);
    expect(existsSync(join(rkt.configDir, "trustedkeys"))).toBe(false);
  });

  test("at a terminal it asks until the answer is yes or no", () => {
    using rkt = testRkt();
    const ask = (answers: string): string => {
      const words = [
        RKT,
        `--dir=${rkt.dataDir}`,
        `--local-config=${rkt.configDir}`,
        "trust",
        "--prefix=example.com/app",
        keyFile,
      ];
      // script(1) gives the program a terminal.
      return runProgram(
        ["script", "--quiet", "--return", "--echo", "never", "--command", words.join(" "), "/dev/null"],
        {
          input: answers,
        },
      );
    };
    expect(ask("no\n")).toContain(`not trusting "${keyFile}"`);
    expect(existsSync(join(rkt.configDir, "trustedkeys"))).toBe(false);
    const output = ask("perhaps\nyes\n");
    expect(output).toContain("Are you sure you want to trust this key (yes/no)?");
    expect(output).toContain("Please enter 'yes' or 'no'");
    expect(output).toContain(`for prefix "example.com/app" after fingerprint review.`);
    expect(existsSync(join(rkt.configDir, "trustedkeys/prefix.d/example.com/app", fingerprint))).toBe(true);
  });

  test("a key from a server comes by a process without rights; http only when allowed", async () => {
    using rkt = testRkt();
    using server = keyServer(signer.publicKey);
    const from = (path: string, ...flags: string[]) =>
      rkt.start(["trust", "--skip-fingerprint-review", "--prefix=a.com", ...flags, server.url(path)]).ended;
    expect((await from("/key")).stderr).toContain("--insecure-allow-http required");
    expect((await from("/key", "--insecure-allow-http")).stdout).toContain("Added key for prefix");
    expect((await from("/none", "--insecure-allow-http")).stderr).toContain("bad HTTP status code: 404");
    expect((await from("/moved", "--insecure-allow-http")).stdout).toContain("Added key for prefix");
  });
});

describe("a signed ACI", () => {
  test("is accepted by a key of its prefix, armored or binary", () => {
    using rkt = testRkt();
    trust(rkt, "--prefix=example.com", keyFile);
    const { status, stdout, stderr } = rkt.run(["fetch", "--full", signed(signer)]);
    expect(stderr).toContain("image: signature verified:\n  Signer <signer@example.com>");
    expect(stdout).toMatch(/^sha512-[0-9a-f]{64}\n$/);
    expect(status).toBe(0);
    expect(rkt.run(["fetch", signed(signer, "example.com/other", false)]).status).toBe(0);
    const record = readFileSync(join(rkt.dataDir, "cas/verified", `${stdout.trim()}.json`), "utf8");
    expect(JSON.parse(record).verification).toEqual({ kind: "openpgp", fingerprint });
  });

  const REFUSALS: [what: string, make: (rkt: TestRkt) => string, words: string][] = [
    ["by a stranger", () => signed(stranger), "openpgp: signature made by unknown entity"],
    ["of another prefix", () => signed(signer, "other.org/app"), "openpgp: signature made by unknown entity"],
    [
      "of a name that only begins alike",
      () => signed(signer, "example.com/apple"),
      "openpgp: signature made by unknown entity",
    ],
    [
      "changed afterwards",
      () => {
        const path = signed(signer);
        const [changed, signature] = [aci(), `${path}.asc`];
        copyFileSync(signature, `${changed}.asc`);
        return changed;
      },
      "openpgp: invalid signature",
    ],
    ["without a signature", () => aci(), "signature"],
    [
      "with nonsense for a signature",
      () => {
        const path = aci();
        writeFileSync(`${path}.asc`, "nonsense");
        return path;
      },
      "keystore: no valid signatures found in signature file",
    ],
    [
      "with a signed message for a signature",
      () => {
        const path = aci();
        gpg(signer, "--armor", "--output", `${path}.asc`, "--sign", keyFile);
        return path;
      },
      "keystore: no valid signatures found in signature file",
    ],
    [
      "with SHA-1",
      () => {
        const path = aci();
        gpg(signer, "--digest-algo", "SHA1", "--armor", "--output", `${path}.asc`, "--detach-sign", path);
        return path;
      },
      "openpgp: signature uses a digest that can be forged",
    ],
    [
      "as a text",
      () => {
        const path = aci();
        gpg(signer, "--textmode", "--armor", "--output", `${path}.asc`, "--detach-sign", path);
        return path;
      },
      "openpgp: signature covers a text, expected one over binary content",
    ],
    [
      "with a signature that expired",
      () => {
        const path = aci();
        gpg(signer, "--default-sig-expire", "seconds=1", "--armor", "--output", `${path}.asc`, "--detach-sign", path);
        Bun.sleepSync(2500);
        return path;
      },
      "openpgp: signature expired",
    ],
    [
      "with a key that was masked",
      (rkt) => {
        writeFileSync(join(rkt.configDir, "trustedkeys/prefix.d/example.com/app", fingerprint), "");
        return signed(signer);
      },
      "openpgp: signature made by unknown entity",
    ],
  ];

  test.each(REFUSALS)("%s is refused", (_, make, words) => {
    using rkt = testRkt();
    trust(rkt, "--prefix=example.com/app", keyFile);
    const { status, stdout, stderr } = rkt.run(["fetch", make(rkt)]);
    expect(stderr).toContain(words);
    expect(stdout).toBe("");
    expect(status).toBe(254);
    expect(rkt.ok(["image", "list", "--no-legend"])).toBe("");
  });

  test("a revoked and an expired key do not count", () => {
    using rkt = testRkt();
    using revoked = makeSigner("Revoked <revoked@example.com>");
    const image = signed(revoked);
    expect(trustText(rkt, revoked.publicKey)).toBe(0);
    expect(rkt.run(["fetch", image]).status).toBe(0);
    const certificate = readFileSync(join(revoked.home, "openpgp-revocs.d", `${revoked.fingerprint}.rev`), "utf8");
    const revocation = join(rkt.dir, "revocation");
    writeFileSync(revocation, certificate.replace(":-----BEGIN", "-----BEGIN"));
    gpg(revoked, "--import", revocation);
    expect(trustText(rkt, gpg(revoked, "--armor", "--export"))).toBe(0);
    expect(rkt.run(["fetch", image]).stderr).toContain("openpgp: signature made by a revoked key");

    using expired = makeSigner("Expired <expired@example.com>");
    const second = signed(expired);
    gpg(expired, "--quick-set-expire", expired.fingerprint, "seconds=1");
    Bun.sleepSync(2500);
    expect(trustText(rkt, gpg(expired, "--armor", "--export"))).toBe(0);
    expect(rkt.run(["fetch", second]).stderr).toContain("openpgp: signature made by an expired key");
  });

  test("a key hidden in the file of a trusted one is not trusted", () => {
    using rkt = testRkt();
    const both = join(rkt.dir, "both.gpg");
    writeFileSync(both, Buffer.concat([exported(signer), exported(stranger)]));
    trust(rkt, "--prefix=example.com/app", both);
    expect(rkt.run(["fetch", signed(signer)]).status).toBe(0);
    expect(rkt.run(["fetch", signed(stranger)]).stderr).toContain("openpgp: signature made by unknown entity");
  });

  test("two signatures: one by a trusted key is enough", () => {
    using rkt = testRkt();
    trust(rkt, "--prefix=example.com/app", keyFile);
    const path = signed(stranger, undefined, false);
    const mine = signer.sign(path, `${path}.mine`, false);
    appendFileSync(`${path}.asc`, readFileSync(mine));
    expect(rkt.run(["fetch", path]).status).toBe(0);
  });

  test("--signature names another file; --insecure-options=image needs none", () => {
    using rkt = testRkt();
    trust(rkt, "--prefix=example.com/app", keyFile);
    const path = aci();
    const elsewhere = signer.sign(path, join(rkt.dir, "elsewhere.sig"));
    expect(rkt.run(["fetch", path, `--signature=${elsewhere}`]).status).toBe(0);
    const { status, stderr } = rkt.run(["--insecure-options=image", "fetch", aci()]);
    expect(stderr).toContain("warning: image signature verification has been disabled");
    expect(status).toBe(0);
  });
});

test("image verify --running tells of a pod whose image is no longer trusted, and of one whose image is gone", async () => {
  using rkt = testRkt();
  trust(rkt, "--prefix=example.com/app", keyFile);
  const image = rkt.ok(["fetch", "--full", signed(signer)]).trim();
  expect(rkt.run(["image", "verify", "--running"])).toMatchObject({ status: 0, stdout: "" });
  const fly = "--stage1-name=coreos.com/rkt/stage1-fly";
  const pod = rkt.start(["run", fly, image, "--name=web", "--exec=/bin/sh", "--", "-c", "echo up; exec sleep 1000"]);
  await until("the pod", () => pod.stdout().includes("up"));
  const [uuid = ""] = rkt.pods();
  expect(rkt.ok(["image", "verify", "--running"])).toBe(
    `successfully verified checksum for image: "${image}" ("${image}")\n`,
  );
  const runs = `verify: it runs as app "web" of pod "${uuid}"\n`;
  const untrusted = () => rkt.run(["image", "verify", "--running"]);
  rkt.ok(["trust", "--remove", "--prefix=example.com/app", fingerprint]);
  expect(untrusted()).toMatchObject({ status: 254, stdout: "", stderr: expect.stringContaining(runs) });
  trust(rkt, "--prefix=example.com/app", keyFile);
  rkt.ok(["image", "rm", image]);
  expect(untrusted()).toMatchObject({ status: 254, stdout: "", stderr: expect.stringContaining(runs) });
  rkt.ok(["stop", "--force", uuid]);
  await pod.ended;
  expect(rkt.run(["image", "verify", "--running"])).toMatchObject({ status: 0, stdout: "" });
});

describe("what only an unprivileged fetch has seen", () => {
  test("is verified again before root uses it, and then recorded", () => {
    using rkt = testRkt();
    trust(rkt, "--prefix=example.com/app", keyFile);
    rkt.ok(["fetch", signed(signer)]);
    const [id = ""] = rkt.ok(["image", "list", "--no-legend", "--full", "--fields=id"]).split("\n");
    const verdict = join(rkt.dataDir, "cas/verified", `${id}.json`);
    // As if a member of group rkt had fetched it.
    runProgram(["rm", verdict]);
    expect(rkt.run(["fetch", "--pull-policy=never", id]).status).toBe(0);
    expect(existsSync(verdict)).toBe(true);
    // By its name, too: the signature covers that.
    runProgram(["rm", verdict]);
    expect(rkt.run(["fetch", "--pull-policy=never", "example.com/app"]).status).toBe(0);
    // But not when the key is trusted no more.
    runProgram(["rm", verdict, join(rkt.configDir, "trustedkeys/prefix.d/example.com/app", fingerprint)]);
    expect(rkt.run(["fetch", "--pull-policy=never", id]).stderr).toContain("openpgp: signature made by unknown entity");
  });

  test("is refused when its archive was changed in the store", () => {
    using rkt = testRkt();
    trust(rkt, "--prefix=example.com/app", keyFile);
    rkt.ok(["fetch", signed(signer)]);
    const [id = ""] = rkt.ok(["image", "list", "--no-legend", "--full", "--fields=id"]).split("\n");
    runProgram(["rm", join(rkt.dataDir, "cas/verified", `${id}.json`)]);
    const [blob = ""] = runProgram(["find", join(rkt.dataDir, "cas/blob/sha512"), "-type", "f"]).split("\n");
    const bytes = readFileSync(blob);
    bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 1;
    writeFileSync(blob, bytes);
    const { status, stderr } = rkt.run(["fetch", "--pull-policy=never", id]);
    expect(stderr).toContain("openpgp: invalid signature");
    expect(status).toBe(254);
  });

  test("an unprivileged user fetches into a directory of their own", () => {
    using rkt = testRkt();
    trust(rkt, "--prefix=example.com/app", keyFile);
    const home = join(rkt.dir, "nobody");
    mkdirSync(home);
    for (const path of [rkt.dir, dir.path]) chmodSync(path, 0o755);
    runProgram(["chown", "65534:65534", home]);
    const words = [`--dir=${home}/data`, `--local-config=${rkt.configDir}`, "fetch", signed(signer)];
    const copy = join(rkt.dir, "rkt");
    copyFileSync(RKT, copy);
    chmodSync(copy, 0o755);
    const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy];
    expect(runProgram([...asNobody, ...words], { cwd: dirname(home) })).toMatch(/^sha512-[0-9a-f]{32}\n$/);
  });
});

function trustText(rkt: TestRkt, key: string): number {
  const path = join(rkt.dir, "key.asc");
  writeFileSync(path, key);
  return trust(rkt, "--prefix=example.com/app", path).status;
}

function gpg(by: Signer, ...args: string[]): string {
  const fixed = ["--batch", "--quiet", "--no-tty", "--yes", "--pinentry-mode=loopback", "--passphrase", ""];
  return runProgram(["gpg", "--homedir", by.home, ...fixed, ...args]);
}

/** The binary key. */
function exported(by: Signer): Buffer {
  const path = join(by.home, "exported.gpg");
  gpg(by, "--output", path, "--export");
  return readFileSync(path);
}

/** Serves the key at /key, a redirect to it at /moved, and nothing else. */
function keyServer(key: string): { url(path: string): string; [Symbol.dispose](): void } {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/moved") return new Response("", { status: 302, headers: { Location: "/key" } });
      return pathname === "/key" ? new Response(key) : new Response("", { status: 404 });
    },
  });
  return { url: (path) => `http://127.0.0.1:${server.port}${path}`, [Symbol.dispose]: () => void server.stop(true) };
}
