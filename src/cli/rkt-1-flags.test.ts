/** Every flag of rkt 1.30, where it was, and with the default that it had: whoever calls rkt relies on one of them. */

import { expect, test } from "bun:test";
import type { FlagSpec } from "./command.ts";
import { GLOBAL_FLAGS } from "./globals.ts";
import { defaultText } from "./help.ts";
import { locateCommand } from "./run-command-line.ts";

const STAGE1 = "stage1-url stage1-path stage1-name stage1-hash stage1-from-dir";
const PULL = "store-only no-store";
const PREPARE = `${STAGE1} ${PULL} pull-policy="new" port inherit-env no-overlay private-users set-env set-env-file pod-manifest volume mount`;
const DNS = "dns dns-search dns-opt dns-domain hosts-entry hostname";
const START = `net[=default] ${DNS} interactive mds-register ipc`;
const APP =
  "exec working-dir readonly-rootfs user group supplementary-gids name annotation user-annotation user-label environment memory cpu cpu-shares caps-retain caps-remove seccomp oom-score-adj stdin stdout stderr";
const IMAGE = `signature mount cap-retain cap-remove ${APP}`;

/** [command, its flags, those after an image]; a flag with what its help says of its default, where rkt 1.30 had one that is not empty. */
const FLAGS: readonly (readonly [string, string, string])[] = [
  ["api-service", "listen", ""],
  ["app add", "", `${APP} mnt-volume`],
  ["app exec", "app", ""],
  ["app list", "no-legend", ""],
  ["app rm", "app", ""],
  ["app sandbox", `${STAGE1} ${DNS} net no-overlay port annotation user-annotation user-label uuid-file-save`, ""],
  ["app start", "app", ""],
  ["app status", "app format", ""],
  ["app stop", "app", ""],
  ["attach", 'app mode="auto"', ""],
  ["cat-manifest", "pretty-print=true uuid-file", ""],
  ["completion", "", ""],
  ["config", "pretty-print=true", ""],
  ["enter", "app", ""],
  ["export", "app overwrite", ""],
  ["fetch", `${PULL} full pull-policy="update"`, "signature"],
  ["gc", "grace-period=30m0s expire-prepared=24h0m0s mark-only=false", ""],
  ["image cat-manifest", "pretty-print=true", ""],
  ["image export", "overwrite", ""],
  ["image extract", "rootfs-only overwrite", ""],
  ["image fetch", `${PULL} full pull-policy="update"`, "signature"],
  ["image gc", "grace-period=24h0m0s", ""],
  [
    "image list",
    'fields=id,name,size,importtime,lastused sort=importtime order="asc" no-legend=false full=false format',
    "",
  ],
  ["image render", "rootfs-only overwrite", ""],
  ["image rm", "", ""],
  ["image verify", "", ""],
  ["list", "no-legend=false full=false format", ""],
  ["metadata-service", 'listen-port="18112"', ""],
  ["prepare", `${PREPARE} quiet=false`, IMAGE],
  ["rm", "uuid-file", ""],
  ["run", `${PREPARE} ${START} uuid-file-save`, IMAGE],
  ["run-prepared", START, ""],
  ["status", "wait[=true] wait-ready[=true] format uuid-file", ""],
  ["stop", "force=false uuid-file", ""],
  ["trust", "prefix root skip-fingerprint-review insecure-allow-http", ""],
  ["version", "", ""],
];

const words = (text: string) => text.split(" ").filter(Boolean);

/** Those of `expected` that are missing, or have another default. */
function missing(expected: string, specs: readonly FlagSpec[]): string[] {
  return words(expected).filter((word) => {
    const [name = ""] = word.split(/[=[]/);
    const spec = specs.find((one) => one.name === name);
    return spec === undefined || (word !== name && word !== `${name}${defaultText(spec)}`);
  });
}

test.each(FLAGS)("rkt %s", async (name, flags, imageFlags) => {
  const { command, path } = await locateCommand(name.split(" "));
  expect(path).toBe(`rkt ${name}`);
  expect(missing(flags, command.flags)).toEqual([]);
  expect(missing(imageFlags, command.imageFlags ?? [])).toEqual([]);
});

test("global flags", () => {
  const expected =
    'debug=false dir="/var/lib/rkt" system-config="/usr/lib/rkt" local-config="/etc/rkt" user-config insecure-options=none trust-keys-from-https=false cpuprofile memprofile';
  expect(missing(expected, GLOBAL_FLAGS)).toEqual([]);
});
