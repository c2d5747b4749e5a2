/** Which stage1 a pod gets: by flag, by configuration, by what is installed with rkt. Told by its flavor: fly's apps are in the host's namespaces. Needs root, busybox-static. */

import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, mkdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { RKT, type TestRkt, testRkt } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let image = "";
const BUILD = dirname(RKT);
const INSECURE = "--insecure-options=image";

beforeAll(() => {
  rkt = testRkt();
  image = fetchedAci(rkt);
});
afterAll(() => rkt[Symbol.dispose]());

/** Runs a pod with these flags. */
function run(flags: readonly string[], globals: readonly string[] = [], cwd = rkt.dir) {
  const words = ["--net=none", image, "--exec=/bin/readlink", "--", "/proc/self/ns/uts"];
  return rkt.run([...globals, "run", ...flags, ...words], { cwd });
}

function flavor(result: { stdout: string; stderr: string }): string {
  if (!result.stdout.startsWith("uts:")) return result.stderr;
  return result.stdout.trim() === readlinkSync("/proc/self/ns/uts") ? "fly" : "nspawn";
}

describe("by flag", () => {
  test("--stage1-path: absolute, or from the current directory", () => {
    expect(flavor(run([`--stage1-path=${join(BUILD, "stage1-fly.aci")}`], [INSECURE]))).toBe("fly");
    expect(flavor(run([`--stage1-path=./${basename(BUILD)}/stage1-fly.aci`], [INSECURE], dirname(BUILD)))).toBe("fly");
  });

  test("a file of the installation needs no signature, one from elsewhere does", () => {
    expect(flavor(run([`--stage1-path=${join(BUILD, "stage1-fly.aci")}`]))).toBe("fly");
    copyFileSync(join(BUILD, "stage1-host.aci"), join(rkt.dir, "own.aci"));
    const refused = run([`--stage1-path=${join(rkt.dir, "own.aci")}`]);
    expect(refused).toMatchObject({ status: 254, stdout: "" });
    expect(refused.stderr).toContain("it has no signature");
  });

  test("--stage1-from-dir and --stage1-name, by rkt 1.x's names too", () => {
    expect(flavor(run(["--stage1-from-dir=stage1-fly.aci"]))).toBe("fly");
    expect(flavor(run(["--stage1-name=coreos.com/rkt/stage1-fly:1.30.0"]))).toBe("fly");
    expect(flavor(run(["--stage1-from-dir=stage1-coreos.aci"]))).toBe("nspawn");
  });
});

describe("by configuration", () => {
  beforeEach(() => rmSync(join(rkt.configDir, "stage1.d"), { recursive: true, force: true }));
  const configure = (fields: object) => {
    mkdirSync(join(rkt.configDir, "stage1.d"));
    const file = { rktKind: "stage1", rktVersion: "v1", ...fields };
    writeFileSync(join(rkt.configDir, "stage1.d/a.json"), JSON.stringify(file));
  };

  test("a location; where nothing lies there any more, the file of that name that is installed with rkt", () => {
    expect(flavor(run([]))).toBe("nspawn");
    configure({ location: join(BUILD, "stage1-fly.aci") });
    expect(flavor(run([]))).toBe("fly");
    rmSync(join(rkt.configDir, "stage1.d"), { recursive: true });
    configure({ location: "/opt/rkt-1.30/stage1-fly.aci" });
    expect(flavor(run([]))).toBe("fly");
    rmSync(join(rkt.configDir, "stage1.d"), { recursive: true });
    configure({ location: "/opt/rkt-1.30/stage1-own.aci" });
    expect(flavor(run([]))).toContain("/opt/rkt-1.30/stage1-own.aci");
  });

  test("a name that is in the store; one that is not is never asked for in the network", () => {
    configure({ name: "example.com/stage1-own", version: "1.0.0" });
    const missing = run([]);
    expect(missing).toMatchObject({ status: 254, stdout: "" });
    expect(missing.stderr).toContain('Cannot find the configured stage1 image "example.com/stage1-own"');
    expect(missing.stderr).not.toContain("discover");
  });

  test("a flag comes before it", () => {
    configure({ location: join(BUILD, "stage1-fly.aci") });
    expect(flavor(run(["--stage1-name=coreos.com/rkt/stage1-nspawn"]))).toBe("nspawn");
  });
});
