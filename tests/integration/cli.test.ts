/** The command line of the built program: help, version, mistakes, and what happens when nobody reads or nothing can be written. Needs no root. */

import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const RKT = resolve(process.env.RKT ?? "build/rkt");

function rkt(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(RKT, words, { encoding: "utf8", timeout: 280_000 });
  return { status, stdout, stderr };
}

function shell(script: string) {
  const { status, stdout, stderr } = spawnSync("sh", ["-c", script], {
    encoding: "utf8",
    timeout: 280_000,
    env: { ...process.env, RKT },
  });
  return { status, stdout, stderr };
}

describe.skipIf(!existsSync(RKT))("the command line (needs build/rkt)", () => {
  test("version: the five lines that orchestrators parse", () => {
    const { status, stdout, stderr } = rkt("version");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(
      /^rkt Version: \d+\.\d+\.\d+\S*\nappc Version: \d+\.\d+\.\d+\nGo Version: \S+\nGo OS\/Arch: linux\/\S+\nFeatures: .+\n$/,
    );
  });

  test("without a command: usage and 2", () => {
    const { status, stdout, stderr } = rkt();
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toStartWith("rkt: missing command\nNAME:\n\trkt - rkt, the application container runner\n");
  });

  test("help, --help and -h: the same page on stdout, 0", () => {
    const page = rkt("help");
    expect(page).toMatchObject({ status: 0, stderr: "" });
    for (const title of ["NAME", "USAGE", "VERSION", "COMMANDS", "DESCRIPTION", "OPTIONS"])
      expect(page.stdout).toMatch(new RegExp(`^${title}:$`, "m"));
    expect(rkt("--help")).toEqual(page);
    expect(rkt("-h")).toEqual(page);
  });

  test("help of a command", () => {
    const page = rkt("help", "config");
    expect(page).toMatchObject({ status: 0, stderr: "" });
    expect(page.stdout).toStartWith("NAME:\n\tconfig - Print configuration");
    expect(page.stdout).toContain("\nUSAGE:\n\trkt config\n");
    expect(page.stdout).toContain("\nOPTIONS:\n   --pretty-print=true\t\tapply indent to format the output\n");
    expect(page.stdout).toMatch(/\nGLOBAL OPTIONS:\n {3}--debug=false\t+print out more debug information to stderr\n/);
    expect(rkt("config", "--help")).toEqual(page);
    expect(rkt("--help", "config")).toEqual(page);
    expect(rkt("help", "image", "list").stdout).toStartWith("NAME:\n\timage list - ");
    expect(rkt("image").stdout).toStartWith("NAME:\n\timage - ");
  });

  test("the words after a command's name are its own", () => {
    expect(rkt("conf", "--pretty-print=false", "--system-config=/nowhere", "--local-config", "/nowhere").stdout).toBe(
      '{"stage0":[{"rktVersion":"v1","rktKind":"paths","data":"","stage1-images":""},{"rktVersion":"v1","rktKind":"stage1","name":"","version":"","location":""}]}\n',
    );
    expect(rkt("completion", "bash", "zsh")).toMatchObject({
      status: 254,
      stderr: "completion: too many arguments, only shell type is expected\n",
    });
  });

  test("mistakes: what was meant, or the usage; 254", () => {
    expect(rkt("versoin")).toEqual({
      status: 254,
      stdout: "",
      stderr:
        'Error: unknown command "versoin" for "rkt"\n\nDid you mean this?\n\tversion\n\nRun \'rkt --help\' for usage.\n',
    });
    expect(rkt("image", "nonsense").stderr).toStartWith('Error: unknown command "nonsense" for "rkt image"\n');
    const unknown = rkt("config", "--nonsense");
    expect(unknown).toMatchObject({ status: 254, stdout: "" });
    expect(unknown.stderr).toStartWith("Error: unknown flag: --nonsense\nNAME:\n\tconfig - ");
    expect(rkt("run", "image", "--nonsense")).toEqual({
      status: 254,
      stdout: "",
      stderr: "run: error parsing app image arguments: unknown flag: --nonsense\n",
    });
    expect(rkt("--insecure-options=everything", "version").stderr).toContain('unknown option "everything"');
    expect(rkt("--dir=", "version").stderr).toContain('"" is not a valid directory');
  });

  test("a directory's bunfig.toml and .env are somebody else's: not read", () => {
    const dir = mkdtempSync(join(tmpdir(), "rkt-cli-"));
    try {
      writeFileSync(join(dir, "bunfig.toml"), 'preload = ["./evil.js"]\n');
      writeFileSync(join(dir, "evil.js"), 'console.log("EVIL"); process.exit(7);\n');
      writeFileSync(join(dir, ".env"), "NODE_OPTIONS=--require=./evil.js\n");
      const { status, stdout } = spawnSync(RKT, ["version"], { cwd: dir, encoding: "utf8" });
      expect(status).toBe(0);
      expect(stdout).not.toContain("EVIL");
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test("a reader that goes away is no failure", () => {
    expect(shell('{ "$RKT" completion bash; echo "status $?" >&2; } | head -n 1')).toMatchObject({
      stdout: "# bash completion for rkt\n",
      stderr: "status 0\n",
    });
    expect(shell('{ sleep 0.2; "$RKT" help; echo "status $?" >&2; } | true').stderr).toBe("status 0\n");
  });

  test("a slow reader gets everything", () => {
    const { stdout } = rkt("completion", "bash");
    expect(shell('"$RKT" completion bash | { sleep 0.3; cat; }').stdout).toBe(stdout);
  });

  test("a full disk is one", () => {
    expect(shell('"$RKT" version > /dev/full')).toEqual({
      status: 254,
      stdout: "",
      stderr: "version: Cannot write to standard output: no space left on device\n",
    });
  });

  test("the completion script is bash", () => {
    const dir = mkdtempSync(join(tmpdir(), "rkt-cli-"));
    try {
      writeFileSync(join(dir, "rkt.bash"), rkt("completion", "bash").stdout);
      const complete = (...words: string[]) => {
        const script = `. ${dir}/rkt.bash; COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); __rkt; echo "\${COMPREPLY[@]}"`;
        return spawnSync("bash", ["-c", script], { encoding: "utf8" }).stdout.trim();
      };
      expect(complete("rkt", "ver")).toBe("version");
      expect(complete("rkt", "image", "cat")).toBe("cat-manifest");
      expect(complete("rkt", "--debug", "config", "--pretty")).toBe("--pretty-print");
      expect(complete("rkt", "run", "--dir")).toBe("--dir=");
    } finally {
      rmSync(dir, { recursive: true });
    }
    expect(rkt("completion", "csh")).toMatchObject({
      status: 254,
      stderr: "completion: 'csh' shell is not supported\n",
    });
  });

  test("a pipe that another process made non-blocking gets everything", () => {
    const script =
      "import fcntl,os,subprocess,sys,time\nr,w=os.pipe()\nfcntl.fcntl(w,1031,4096)\nos.set_blocking(w,False)\np=subprocess.Popen([sys.argv[1],'completion','bash'],stdout=w)\nos.close(w)\ntime.sleep(0.3)\nn=0\nwhile True:\n b=os.read(r,512)\n if not b: break\n n+=len(b)\nprint(n,p.wait())\n";
    const { stdout } = spawnSync("python3", ["-c", script, RKT], { encoding: "utf8" });
    expect(stdout).toBe(`${Buffer.byteLength(rkt("completion", "bash").stdout)} 0\n`);
  });
});
