/** Attack: a hostile archive has taken over the fetch worker, which now tells root what it likes. Nothing of it is unpacked under a wrong name, and root writes nowhere else. Needs root. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { buildAci, buildBusyboxOci } from "../harness/images.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(120_000);

let dir: TemporaryDirectory;
let driver = "";
beforeAll(() => {
  dir = temporaryDirectory("lying");
  chmodSync(dir.path, 0o755);
  driver = join(dir.path, "driver");
  const source = join(import.meta.dir, "../harness/lying-driver.ts");
  const flags = ["--compile", "--format=esm", "--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];
  runProgram([process.execPath, "build", ...flags, source, "--outfile", driver]);
  buildAci(join(dir.path, "app.aci"));
  buildBusyboxOci(join(dir.path, "layout"), { layers: [{ "etc/motd": "second" }] });
});
afterAll(() => dir?.[Symbol.dispose]());

function fetchWith(
  kind: "aci" | "oci",
  lie: string,
): { code?: string; message?: string; tree?: string; layers: string[] } {
  const base = join(dir.path, `${kind} ${lie}`.replaceAll(" ", "-"));
  mkdirSync(base);
  chmodSync(base, 0o755);
  const data = join(base, "data");
  const image = join(base, kind === "aci" ? `${lie}.aci` : lie);
  runProgram(["cp", "-r", join(dir.path, kind === "aci" ? "app.aci" : "layout"), image]);
  const reference = kind === "aci" ? image : `oci:${image}:latest`;
  const { stdout, stderr } = spawnSync(driver, [data, reference], { encoding: "utf8", timeout: 100_000 });
  if (stdout === "") throw new Error(stderr);
  const layers = join(data, "cas/layer");
  return { ...JSON.parse(stdout), layers: existsSync(layers) ? readdirSync(layers) : [] };
}

test("an honest worker is believed, so that the refusals below mean something", () => {
  expect(fetchWith("aci", "truth").tree).toStartWith("deps-sha512-");
  expect(fetchWith("oci", "truth").tree).toStartWith("deps-sha512-");
});

const LIES: ["aci" | "oci", string][] = [
  ...["nothing", "no JSON", "an endless line", "id", "digest", "size", "path", "name"].map(
    (lie) => ["aci", lie] as ["aci", string],
  ),
  ...["id", "order", "diff id", "layer"].map((lie) => ["oci", lie] as ["oci", string]),
];

test.each(LIES)("of an %s: a lie about %s is refused, and nothing is left unpacked", (kind, lie) => {
  const { code, message, tree, layers } = fetchWith(kind, lie);
  expect({ code, message, tree }).toEqual({
    code: expect.stringMatching(/^(DIGEST_MISMATCH|MALICIOUS|HOST_PROGRAM|INVALID_INPUT|NOT_FOUND|CONFLICT)$/),
    message: expect.any(String),
    tree: undefined,
  });
  // A layer is called by what is in it, so the right one may be there; one with a wrong name may not.
  if (lie !== "name") expect(layers).toEqual([]);
});
