/** Completion in the shells themselves: bash, zsh and fish are started and asked. Needs zsh and fish, and root (pods). */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { RKT, type TestRkt, testRkt } from "../harness/rkt.ts";
import { runProgram } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let bin: string;
let pod: string;

beforeAll(() => {
  rkt = testRkt();
  const aci = join(rkt.dir, "named.aci");
  buildAci(aci, { name: "example.com/named" });
  rkt.ok(["--insecure-options=image", "fetch", aci]);
  pod = rkt.ok(["--insecure-options=image", "prepare", "--pod-name=waiting", "example.com/named"]).trim();
  // What the scripts call, with the test's data directory.
  bin = join(rkt.dir, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "rkt"), `#!/bin/sh\nexec ${RKT} --dir=${rkt.dataDir} "$@"\n`);
  chmodSync(join(bin, "rkt"), 0o755);
  for (const shell of ["bash", "zsh", "fish"])
    writeFileSync(join(bin, `completion.${shell}`), rkt.ok(["completion", shell]));
});
afterAll(() => rkt[Symbol.dispose]());

const environment = () => ({ PATH: `${bin}:${process.env["PATH"]}`, HOME: bin, TERM: "dumb", LC_ALL: "C.UTF-8" });

function bash(line: string): string[] {
  const words = line.split(" ").map((word) => `'${word}'`);
  const script = `. ${bin}/completion.bash; COMP_WORDS=(${words.join(" ")}); COMP_CWORD=${words.length - 1}; __rkt; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return spawnSync("bash", ["-c", script], { encoding: "utf8", env: environment() }).stdout.trim().split("\n");
}

function fish(line: string): string[] {
  const script = `source ${bin}/completion.fish; complete -C '${line}'`;
  const result = spawnSync("fish", ["--no-config", "-c", script], { encoding: "utf8", env: environment() });
  expect(result.stderr).toBe("");
  return result.stdout
    .trim()
    .split("\n")
    .map((answer) => answer.split("\t")[0] ?? "");
}

/** On a terminal of its own, as a person would; every word that the completion system is offered and takes is written down. */
function zsh(line: string): string[] {
  const answers = join(bin, "answers");
  writeFileSync(answers, "");
  const set = [
    "autoload -U compinit; compinit -u -d ~/zcompdump",
    "source ~/completion.zsh",
    'compadd() { local -a o; builtin compadd -O o "$@"; print -rl -- $o >> ~/answers; builtin compadd "$@"; }',
    "bindkey '^I' complete-word",
  ];
  writeFileSync(join(bin, "zshrc"), `${set.join("\n")}\n`);
  const script = `
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'source ~/zshrc; echo rea""dy'
zpty -r z answer '*ready*'
zpty -w -n z $'${line}\\t'
for i in {1..100}; do sleep 0.1; [[ -s ~/answers ]] && break; done
sleep 0.5
zpty -d z`;
  spawnSync("zsh", ["-f", "-c", script], { encoding: "utf8", env: { ...environment(), TERM: "xterm" } });
  return [...new Set(runProgram(["cat", answers]).split("\n").filter(Boolean))];
}

test("the scripts are free of mistakes", () => {
  for (const shell of ["bash", "zsh", "fish"]) runProgram([shell, "-n", join(bin, `completion.${shell}`)]);
});

test.each([
  ["bash", bash],
  ["fish", fish],
  ["zsh", zsh],
] as const)("%s completes commands, flags, images and pods", (_, complete) => {
  expect(complete("rkt image cat")).toEqual(["cat-manifest"]);
  expect(complete("rkt --debug config --pretty").map((word) => word.replace(/=$/, ""))).toEqual(["--pretty-print"]);
  expect(complete("rkt run example.com/n")).toEqual(["example.com/named"]);
  expect(complete("rkt run-prepared wait")).toEqual(["waiting"]);
  expect(complete(`rkt run-prepared ${pod.slice(0, 8)}`)).toEqual([pod]);
  expect(complete(`rkt stop ${pod.slice(0, 8)}`)).not.toContain(pod);
});
