import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { RktEvent } from "../core/events.ts";
import { linux } from "../host/mod.ts";
import { storeTrustedKey, trustedKeysFor } from "./keystore.ts";
import { ARMORED_KEY, FINGERPRINT } from "./test-keys.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "rkt-keys-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const dirs = () => ({ systemConfigDir: join(root, "lib"), localConfigDir: join(root, "etc") });
const put = (path: string, content = ARMORED_KEY) => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
};
const keys = (name: string, events: RktEvent[] = []) =>
  trustedKeysFor(name, dirs(), (event) => void events.push(event)).map(({ path }) => path.slice(root.length + 1));

describe("trustedKeysFor", () => {
  test("a prefix covers whole components only", () => {
    put(`etc/trustedkeys/prefix.d/example.com/app/${FINGERPRINT}`);
    expect(keys("example.com/app")).toHaveLength(1);
    expect(keys("example.com/app/sub")).toHaveLength(1);
    expect(keys("example.com/apple")).toHaveLength(0);
    expect(keys("example.com")).toHaveLength(0);
    expect(keys("other.com/app")).toHaveLength(0);
  });

  test("root keys cover everything; the local file wins over the system's", () => {
    put(`lib/trustedkeys/root.d/${FINGERPRINT}`);
    expect(keys("example.com/app")).toEqual([`lib/trustedkeys/root.d/${FINGERPRINT}`]);
    put(`etc/trustedkeys/root.d/${FINGERPRINT}`);
    expect(keys("example.com/app")).toEqual([`etc/trustedkeys/root.d/${FINGERPRINT}`]);
  });

  test("an empty local file masks the system's key", () => {
    put(`lib/trustedkeys/prefix.d/example.com/${FINGERPRINT}`);
    put(`etc/trustedkeys/prefix.d/example.com/${FINGERPRINT}`, "");
    expect(keys("example.com/app")).toEqual([]);
  });

  test("a file that is not the key its name says is reported and does not count", () => {
    const events: RktEvent[] = [];
    put(`etc/trustedkeys/root.d/${"0".repeat(40)}`);
    put("etc/trustedkeys/root.d/README", "keys live here");
    expect(keys("example.com/app", events)).toEqual([]);
    expect(events.map((event) => (event.kind === "warning" ? event.text : ""))).toEqual([
      expect.stringContaining(`it holds the key ${FINGERPRINT}`),
      expect.stringContaining("not an OpenPGP public key"),
    ]);
  });

  test("a name cannot climb out of the keystore", () => {
    expect(() => keys("example.com/../../etc")).toThrow();
  });
});

describe("storeTrustedKey", () => {
  test("writes the key where rkt looks for it, readable by all", () => {
    const path = storeTrustedKey(linux, dirs().localConfigDir, "example.com/app", ARMORED_KEY);
    expect(path).toBe(join(root, "etc/trustedkeys/prefix.d/example.com/app", FINGERPRINT));
    expect(readFileSync(path, "utf8")).toBe(ARMORED_KEY);
    expect(statSync(path).mode & 0o777).toBe(0o644);
    expect(keys("example.com/app/sub")).toHaveLength(1);
    expect(storeTrustedKey(linux, dirs().localConfigDir, "", ARMORED_KEY)).toContain("root.d/");
  });

  test("follows no link below the configuration directory", () => {
    mkdirSync(join(root, "etc/trustedkeys"), { recursive: true });
    mkdirSync(join(root, "elsewhere"));
    symlinkSync("../../elsewhere", join(root, "etc/trustedkeys/root.d"));
    expect(() => storeTrustedKey(linux, dirs().localConfigDir, "", ARMORED_KEY)).toThrow();
  });

  test("refuses what is no key, and prefixes that are none", () => {
    expect(() => storeTrustedKey(linux, dirs().localConfigDir, "", "nonsense")).toThrow(
      "expected an OpenPGP public key",
    );
    expect(() => storeTrustedKey(linux, dirs().localConfigDir, "../x", ARMORED_KEY)).toThrow();
  });
});
