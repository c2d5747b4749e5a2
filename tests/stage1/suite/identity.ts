/** Who an app is, which program it runs, where its output goes: by name, number, path; and how a mistake is told. */

import { beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { addImage, lines, run, type Stage1 } from "./context.ts";

export function identityCases(stage1: Stage1): void {
  test("users and groups by number and path, and who does not exist", () => {
    const who = (...app: string[]) => lines(run(stage1, "id -u; id -g", { app }).stdout);
    expect(who("--user=/srv/file", "--group=/srv/file")).toEqual(["0", "0"]);
    expect(who("--user=4711", "--group=4712")).toEqual(["4711", "4712"]);
    for (const [flags, text] of [
      [
        ["--user=nobody-here"],
        'Cannot find user "nobody-here" of the app: the image\'s "/etc/passwd" has no such name',
      ],
      [["--group=/nowhere"], 'Cannot find group "/nowhere" of the app: the image has no such file'],
      [["--supplementary-gids=nogroup-here"], 'Cannot find group "nogroup-here"'],
    ] as const)
      expect(run(stage1, "true", { app: [...flags] })).toMatchObject({
        status: 254,
        stderr: expect.stringContaining(text),
      });
  });

  test("output that is not wanted goes nowhere", () => {
    const script = "cat; echo out; echo err >&2";
    const all = (flag: string) => {
      const { stdout, stderr } = run(stage1, script, { app: [flag] });
      return lines(`${stdout}${stderr}`).filter((line) => /^(out|err)$/.test(line));
    };
    expect(all("--stdout=null")).toEqual(["err"]);
    expect(all("--stderr=null")).toEqual(["out"]);
    expect(all("--stdin=null")).toEqual(["out", "err"]);
  });

  test("a program is found in the app's PATH, and relative to its directory", () => {
    const { rkt } = stage1;
    const image = addImage(stage1, "programs", {
      "srv/tools/greet": "x",
      "srv/tools/bin/greet": "#!/bin/sh\necho greeted $0 $1\n",
    });
    const words = [
      "--insecure-options=image",
      "run",
      `--stage1-name=coreos.com/rkt/stage1-${stage1.flavor}`,
      "--net=none",
      image,
    ];
    const app = ["--working-dir=/srv/tools", "--environment=PATH=/nowhere:bin:/bin", "--exec=greet", "--", "you"];
    expect(rkt.run([...words, ...app]).stdout).toContain("greeted /srv/tools/bin/greet you");
  });

  test("an app without PATH is looked for in its directory first, then in /bin, as by rkt 1.x", () => {
    const image = addImage(stage1, "pathless", {
      "opt/bin/true": "#!/bin/sh\necho its own $0\n",
      "opt/bin/server": "#!/bin/sh\necho started $0 $PATH\n",
      "usr/local/bin/sh": "#!/bin/sh\necho wrong\n",
    });
    const start = (exec: string, ...rest: string[]) =>
      stage1.rkt.run([
        ...["--insecure-options=image", "run", `--stage1-name=coreos.com/rkt/stage1-${stage1.flavor}`, "--net=none"],
        ...[image, "--working-dir=/opt/bin", `--exec=${exec}`, ...rest],
      ]).stdout;
    expect(start("server")).toMatch(/^started \/opt\/bin\/server \/usr\/local\/sbin:/);
    expect(start("true")).toStartWith("its own /opt/bin/true");
    expect(start("sh", "--", "-c", "echo right")).toStartWith("right");
  });

  test("--supplementary-gids takes the place of the image's own groups", () => {
    const image = addImage(
      stage1,
      "groups",
      {},
      { app: { exec: ["/bin/sh"], user: "7", group: "8", supplementaryGIDs: [0, 42] } },
    );
    expect(
      lines(run(stage1, "id -G", { image }).stdout)[0]
        ?.split(" ")
        .sort(),
    ).toEqual(["0", "42", "8"]);
    const groups = run(stage1, "id -G", { image, app: ["--supplementary-gids=9"] })
      .stdout.trim()
      .split(" ");
    expect(groups.sort()).toEqual(["8", "9"]);
  });

  test("a working directory that is not there is told before anything runs", () => {
    for (const [directory, text] of [
      ["/nowhere", 'Cannot start app "app": its working directory "/nowhere" does not exist in the image'],
      ["/marker", 'its working directory "/marker" is no directory'],
    ] as const)
      expect(run(stage1, "true", { app: [`--working-dir=${directory}`] })).toMatchObject({
        status: 254,
        stdout: "",
        stderr: expect.stringContaining(text),
      });
  });

  describe("a program that cannot be started is told before anything runs", () => {
    let image = "";
    beforeAll(() => {
      image = addImage(stage1, "bad", {
        "etc/plain": "text",
        "bin/script": "#!/usr/bin/python9 -u\n",
        "bin/dynamic": readFileSync("/bin/true"),
        "bin/other": foreignProgram(),
      });
    });
    for (const [what, exec, text] of [
      ["missing", "/no/such", 'unable to open "/no/such": No such file or directory'],
      ["nowhere in PATH", "no-such-program", 'Unable to find "no-such-program"'],
      ["a directory", "/etc", '"/etc" is no regular file'],
      ["not executable", "/etc/plain", '"/etc/plain" may not be executed by anybody (mode 0644)'],
      [
        "a script without its interpreter",
        "/bin/script",
        '"/bin/script" is a script for "/usr/bin/python9": unable to open "/usr/bin/python9"',
      ],
      ["a program without its loader", "/bin/dynamic", '"/bin/dynamic" is a program for "/lib'],
      ["another machine's", "/bin/other", "another kind of machine (ELF machine 243)"],
    ] as const) {
      test(what, () => {
        const stage1Name = `--stage1-name=coreos.com/rkt/stage1-${stage1.flavor}`;
        const result = stage1.rkt.run([
          "--insecure-options=image",
          "run",
          stage1Name,
          "--net=none",
          image,
          `--exec=${exec}`,
        ]);
        expect(result.stderr).toContain(text);
        expect(result).toMatchObject({ status: 254, stdout: "" });
      });
    }
  });
}

/** The head of a 64-bit program for RISC-V. */
function foreignProgram(): Buffer {
  const head = Buffer.alloc(64);
  head.write("\x7fELF", "latin1");
  head.set([2, 1, 1], 4);
  head.writeUInt16LE(2, 16);
  head.writeUInt16LE(243, 18);
  return head;
}
