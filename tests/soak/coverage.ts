/** How much of the decoders' code their fuzzers and unit tests run, counted in lines by the runtime itself. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runProgram, temporaryDirectory } from "../harness/temporary.ts";
import type { PartResult, Say } from "./part.ts";

/** What reads what strangers wrote: below src. */
const DECODERS = [
  /^spec\//,
  /^core\/(?:digest|zstd-frames)\.ts$/,
  /^render\/(?:tar\/.*|unpack-protocol\.ts)$/,
  /^fetch\/(?:challenge|cimd|docker-reference|image-reference|layout-source|manifest-scan|messages|rate-limit|registry|registry-client|registry-login|registry-signatures|signature-collector|signature-manifest|tar-headers)\.ts$/,
  /^config\/(?:docker-config|merge|read-file|schema|schema-registries)\.ts$/,
  /^network\/(?:conf|result)\.ts$/,
  /^store\/record\.ts$/,
  /^trust\/(?:gpgv-status|messages|packets|oci\/(?:check-bundle|name-rule|pem|policy-file|policy-identity|policy-signers|public-key|statement|verify-messages))\.ts$/,
];
const LEAST = 90;

interface Covered {
  readonly file: string;
  readonly lines: number;
  readonly hit: number;
}

export function coverage(say: Say): PartResult[] {
  using dir = temporaryDirectory("coverage");
  say("coverage of the decoders");
  runProgram([
    ...[process.execPath, "test", "--timeout", "300000", "--coverage", "--coverage-reporter=lcov"],
    ...[`--coverage-dir=${dir.path}`, "./tests/hostile/fuzz-decoders.test.ts", "src"],
  ]);
  const files = readLcov(readFileSync(join(dir.path, "lcov.info"), "utf8")).filter(
    ({ file }) => !file.endsWith(".test.ts") && DECODERS.some((decoder) => decoder.test(file)),
  );
  const lines = files.reduce((sum, one) => sum + one.lines, 0);
  const hit = files.reduce((sum, one) => sum + one.hit, 0);
  const lowest = [...files].sort((a, b) => share(a) - share(b)).slice(0, 5);
  const named = lowest.map((one) => `${one.file} ${share(one).toFixed(0)} %`).join(", ");
  const total = share({ lines, hit });
  return [
    {
      what: "lines of the decoders that fuzzers (fixed seed) and unit tests run",
      counts: `${hit} of ${lines} in ${files.length} files: ${total.toFixed(1)} %; the lowest: ${named}`,
      findings: total >= LEAST ? [] : [`${total.toFixed(1)} %, expected at least ${LEAST} %`],
    },
  ];
}

function share({ lines, hit }: Omit<Covered, "file">): number {
  return lines === 0 ? 100 : (hit / lines) * 100;
}

/** lcov's tracefile format (geninfo(1)): SF names the file, LF and LH count its lines. */
function readLcov(text: string): Covered[] {
  return text
    .split("end_of_record")
    .map((record) => {
      const value = (key: string) => new RegExp(`^${key}:(.*)$`, "m").exec(record)?.[1] ?? "";
      return { file: value("SF").replace(/^.*?src\//, ""), lines: Number(value("LF")), hit: Number(value("LH")) };
    })
    .filter(({ file }) => file !== "");
}
