import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { certify } from "../../../tests/harness/openssl-authority.ts";
import { temporaryDirectory } from "../../../tests/harness/temporary.ts";
import { ARMORED_KEY, FINGERPRINT } from "../test-keys.ts";
import { parseImageName } from "./image-name.ts";
import { dockerSubject, fileSubject, type PolicySubject, policyFor } from "./policy-file.ts";

const authorities = temporaryDirectory("policy-pki");
const AUTHORITY = certify(authorities.path, "Policy Root", undefined);
afterAll(() => authorities[Symbol.dispose]());
const ROOT = btoa(AUTHORITY.pem);
const KEY = btoa(
  generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ type: "spki", format: "pem" }).toString(),
);
const NO_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "rkt-policy-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const dirs = () => ({ systemConfigDir: join(root, "lib"), localConfigDir: join(root, "etc") });
const write = (policy: unknown, place = "etc") => {
  mkdirSync(join(root, place, "containers"), { recursive: true });
  writeFileSync(
    join(root, place, "containers/policy.json"),
    typeof policy === "string" ? policy : JSON.stringify(policy),
  );
};
const docker = (text: string): PolicySubject =>
  dockerSubject(parseImageName(text) ?? { repository: "", tag: undefined, digest: undefined });
const ANYTHING = [{ type: "insecureAcceptAnything" }];
const REJECT = [{ type: "reject" }];

describe("which rule is in force", () => {
  test("none without a file; the host's before the system's", () => {
    expect(policyFor(docker("a.example/b:1"), dirs())).toBeUndefined();
    write({ default: REJECT }, "lib");
    expect(policyFor(docker("a.example/b:1"), dirs())?.path).toBe(join(root, "lib/containers/policy.json"));
    write({ default: ANYTHING });
    expect(policyFor(docker("a.example/b:1"), dirs())).toEqual({
      path: join(root, "etc/containers/policy.json"),
      scope: "default",
      requirements: [{ type: "insecureAcceptAnything" }],
    });
  });

  test("the most specific scope", () => {
    const scopes = [
      "a.b.example/team/app:1",
      "a.b.example/team/app",
      "a.b.example/team",
      "a.b.example",
      "*.b.example",
      "*.example",
      "",
    ];
    for (let from = 0; from < scopes.length; from++) {
      write({
        default: REJECT,
        transports: { docker: Object.fromEntries(scopes.slice(from).map((scope) => [scope, ANYTHING])) },
      });
      expect(policyFor(docker("a.b.example/team/app:1"), dirs())?.scope).toBe(`docker ${scopes[from]}`.trim());
    }
    write({
      default: REJECT,
      transports: { docker: { "a.b.example/tea": ANYTHING, "b.example": ANYTHING }, oci: { "": ANYTHING } },
    });
    expect(policyFor(docker("a.b.example/team/app:1"), dirs())?.scope).toBe("default");
    write({ default: REJECT, transports: { docker: { "docker.io/library": ANYTHING } } });
    expect(policyFor(docker("registry-1.docker.io/library/busybox"), dirs())?.scope).toBe("docker docker.io/library");
  });

  test("layouts by their path", () => {
    const layout = fileSubject({ kind: "oci-layout", path: "/srv/images/app", name: "1.0" });
    write({ default: REJECT, transports: { oci: { "/srv": ANYTHING } } });
    expect(layout && policyFor(layout, dirs())?.scope).toBe("oci /srv");
    write({ default: REJECT, transports: { oci: { "/srv": REJECT, "/srv/images/app:1.0": ANYTHING } } });
    expect(layout && policyFor(layout, dirs())?.scope).toBe("oci /srv/images/app:1.0");
    expect(fileSubject({ kind: "docker-archive", path: "/srv/x.tar", name: undefined })?.transport).toBe(
      "docker-archive",
    );
    expect(fileSubject({ kind: "hash", text: "sha512-00" })).toBeUndefined();
  });
});

describe("requirements", () => {
  const rule = (requirement: object) => {
    write({ default: [requirement] });
    return policyFor(docker("a.example/b:1"), dirs())?.requirements[0];
  };

  test("signedBy: keys from a file, several files, or inline", () => {
    const file = join(root, "key.asc");
    writeFileSync(file, ARMORED_KEY);
    for (const keys of [
      { keyPath: file },
      { keyPaths: [file] },
      { keyData: Buffer.from(ARMORED_KEY).toString("base64") },
    ]) {
      expect(rule({ type: "signedBy", keyType: "GPGKeys", ...keys })).toMatchObject({
        type: "signed",
        signers: [{ kind: "openpgp", fingerprints: [FINGERPRINT] }],
        names: { rule: "matchRepoDigestOrExact", image: { repository: "a.example/b", tag: "1" } },
      });
    }
  });

  test("pki: authorities from a file or inline, and the subject", () => {
    const file = join(root, "roots.pem");
    writeFileSync(file, AUTHORITY.pem.repeat(2));
    const der = AUTHORITY.pem.replaceAll(/-----.*-----|\s/g, "");
    expect(rule({ type: "sigstoreSigned", pki: { caRootsPath: file, subjectEmail: "a@b.c" } })).toMatchObject({
      signers: [
        {
          kind: "pki",
          roots: [der, der],
          intermediates: [],
          email: "a@b.c",
          authority: "CN=Policy Root or CN=Policy Root",
        },
      ],
      names: { rule: "matchRepoDigestOrExact" },
    });
    const pki = { caRootsData: ROOT, caIntermediatesPath: file, subjectHostname: "build.example.com" };
    expect(rule({ type: "sigstoreSigned", pki })).toMatchObject({
      signers: [{ kind: "pki", roots: [der], intermediates: [der, der], hostname: "build.example.com" }],
    });
  });

  const WRONG: [string, object][] = [
    ["is not known", { type: "signedby" }],
    ["is not known", { type: "reject", extra: true }],
    ['expected "GPGKeys"', { type: "signedBy", keyPath: "/x" }],
    ["Cannot read", { type: "signedBy", keyType: "GPGKeys", keyPath: "/nonexistent/key" }],
    ["expected OpenPGP public keys", { type: "signedBy", keyType: "GPGKeys", keyData: "AAAA" }],
    ["expected OpenPGP public keys", { type: "signedBy", keyType: "GPGKeys" }],
    ["not both", { type: "signedBy", keyType: "GPGKeys", keyPath: "/x", keyData: "AAAA" }],
    ["expected one of keyPath, keyPaths, keyData, keyDatas, fulcio, pki, got none", { type: "sigstoreSigned" }],
    ["got keyPath and pki", { type: "sigstoreSigned", keyPath: "/x", pki: {} }],
    ["got keyData and fulcio", { type: "sigstoreSigned", keyData: "AAAA", fulcio: {} }],
    ["got keyPath and keyPaths", { type: "sigstoreSigned", keyPath: "/x", keyPaths: ["/y"] }],
    ["not both", { type: "signedBy", keyType: "GPGKeys", keyPath: "/x", keyPaths: ["/y"] }],
    ["expected a public key in PEM form", { type: "sigstoreSigned", keyData: "AAAA" }],
    ["caRootsPath", { type: "sigstoreSigned", pki: {} }],
    ["caRootsPath", { type: "sigstoreSigned", pki: { subjectEmail: "a@b.c" } }],
    ["not supported", { type: "sigstoreSigned", pki: { caRootsPaths: ["/x"], subjectEmail: "a@b.c" } }],
    ["not supported", { type: "sigstoreSigned", pki: { caRootsData: "AAAA", subjectMail: "a@b.c" } }],
    ["not both", { type: "sigstoreSigned", pki: { caRootsPath: "/x", caRootsData: "AAAA", subjectEmail: "a@b.c" } }],
    ["expected certificates", { type: "sigstoreSigned", pki: { caRootsData: "AAAA", subjectEmail: "a@b.c" } }],
    [
      "expected certificates",
      { type: "sigstoreSigned", pki: { caRootsData: btoa(NO_CERTIFICATE), subjectEmail: "a@b.c" } },
    ],
    ["subjectHostname", { type: "sigstoreSigned", pki: { caRootsData: ROOT } }],
    [
      "expected certificates",
      { type: "sigstoreSigned", pki: { caRootsData: ROOT, caIntermediatesData: "AAAA", subjectEmail: "a@b.c" } },
    ],
    ["is an address", { type: "sigstoreSigned", pki: { caRootsData: ROOT, subjectHostname: "10.0.0.1" } }],
    [
      "no log is asked",
      { type: "sigstoreSigned", rekorPublicKeyData: KEY, pki: { caRootsData: ROOT, subjectEmail: "a@b.c" } },
    ],
    [
      "which proves the time",
      { type: "sigstoreSigned", fulcio: { caData: "AAAA", oidcIssuer: "x", subjectEmail: "y" } },
    ],
    [
      "is not known",
      {
        type: "signedBy",
        keyType: "GPGKeys",
        keyData: Buffer.from(ARMORED_KEY).toString("base64"),
        signedIdentity: { type: "any" },
      },
    ],
    [
      "is missing",
      {
        type: "signedBy",
        keyType: "GPGKeys",
        keyData: Buffer.from(ARMORED_KEY).toString("base64"),
        signedIdentity: { type: "exactReference" },
      },
    ],
  ];
  test.each(WRONG)("%s: %j", (words, requirement) => {
    let message = "";
    try {
      rule(requirement);
    } catch (error) {
      message = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    }
    expect(message).toContain(words);
  });

  test("a field that stands twice", () => {
    const twice = (text: string) => {
      write(text);
      return () => policyFor(docker("a.example/b:1"), dirs());
    };
    const anything = JSON.stringify(ANYTHING);
    for (const text of [
      `{"default": [{"type": "reject"}], "default": ${anything}}`,
      `{"default": [{"type": "reject", "t\\u0079pe": "insecureAcceptAnything"}]}`,
      `{"default": ${anything}, "transports": {"docker": {"x": ${anything}, "x" : [{"type": "reject"}]}}}`,
    ]) {
      expect(twice(text)).toThrow("Cannot read");
    }
    // The same name in several objects, in values, and behind an escaped quote.
    const scopes = `{"a\\"": ${anything}, "a": ${anything}, "type": ${anything}}`;
    expect(twice(`{"default": ${anything}, "transports": {"docker": ${scopes}, "oci": ${scopes}}}`)()?.scope).toBe(
      "default",
    );
  });

  test("a file that is none", () => {
    for (const text of ["", "{", "[]", '{"defaults": []}', "{}", '{"default": []}', '{"default": "reject"}']) {
      write(text);
      expect(() => policyFor(docker("a.example/b:1"), dirs())).toThrow("Cannot read");
    }
  });
});
