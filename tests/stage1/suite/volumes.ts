/** Volumes, seen from inside: kinds, targets that links lead astray, mistakes. */

import { afterEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "../../harness/temporary.ts";
import { lines, run, type Stage1 } from "./context.ts";

export function volumeCases(stage1: Stage1): void {
  let count = 0;
  const mounted: string[] = [];
  /** A directory of the host with a file in it. */
  const source = () => {
    count += 1;
    const path = join(stage1.rkt.dir, `source-${count}`);
    mkdirSync(path);
    writeFileSync(join(path, "file"), "of the host\n");
    return path;
  };
  const mountTmpfs = (path: string) => {
    mkdirSync(path, { recursive: true });
    runProgram(["mount", "-t", "tmpfs", "tmpfs", path]);
    mounted.push(path);
    writeFileSync(join(path, "below"), "of the sub-mount\n");
  };
  afterEach(() => {
    for (const path of mounted.splice(0).reverse()) spawnSync("umount", ["-l", path]);
  });

  test("host: recursive as asked, and read-only to the last sub-mount", () => {
    const path = source();
    mountTmpfs(join(path, "sub"));
    const volume = `--volume=v,kind=host,source=${path}`;
    const pod = (flags: string) => ({ pod: [`${volume}${flags}`, "--mount=volume=v,target=/v"] });
    const all = run(
      stage1,
      "cat /v/file /v/sub/below; touch /v/new; touch /v/sub/new; ls -1 /v/sub",
      pod(",recursive=true"),
    );
    expect(lines(all.stdout)).toEqual(["of the host", "of the sub-mount", "below", "new"]);
    const script = "touch /v/x && echo WROTE; touch /v/sub/x && echo WROTE; cat /v/sub/below";
    expect(lines(run(stage1, `(${script}) 2> /dev/null`, pod(",recursive=true,readOnly=true")).stdout)).toEqual([
      "of the sub-mount",
    ]);
    expect(existsSync(join(path, "x")) || existsSync(join(path, "sub/x"))).toBe(false);
    expect(lines(run(stage1, "cat /v/file; ls /v/sub", pod(",recursive=false")).stdout)).toEqual(["of the host"]);
    // rkt 1.x: fly alone does not look below unless told to.
    const below = lines(run(stage1, "ls -1 /v/sub", pod("")).stdout).includes("below");
    expect(below).toBe(stage1.flavor !== "fly");
  });

  test("empty: owner and mode as asked, gone with the pod; a file of the host", () => {
    const file = join(source(), "file");
    const flags = [
      ...["--volume=v,kind=empty,mode=0750,uid=7,gid=8", "--mount=volume=v,target=/v"],
      ...[`--volume=f,kind=host,source=${file}`, "--mount=volume=f,target=/etc/new/name"],
    ];
    const { stdout } = run(stage1, "stat -c '%a %u %g' /v; echo word > /v/w; cat /v/w /etc/new/name", { pod: flags });
    expect(lines(stdout)).toEqual(["750 7 8", "word", "of the host"]);
    stage1.rkt.ok(["gc", "--grace-period=0s"]);
    expect(readdirSync(join(stage1.rkt.dataDir, "pods/run"))).toEqual([]);
  });

  test("tmpfs: of the size, mode and owner asked for", () => {
    const script = "dd if=/dev/zero of=/v/big bs=64k count=100 2>&1 | grep -o 'No space.*'; stat -c '%a %u' /v";
    const pod = ["--volume=v,kind=tmpfs,size=1Mi,mode=0700,uid=5", "--mount=volume=v,target=/v"];
    expect(lines(run(stage1, script, { pod }).stdout)).toEqual(["No space left on device", "700 5"]);
  });

  for (const overlay of [[], ["--no-overlay"]]) {
    test(`targets stay in the root, whatever links lie there ${overlay.join("")}`, () => {
      const path = source();
      const before = readdirSync("/etc").sort();
      for (const [link, seen] of [
        ["absolute/a", "/etc/a"],
        ["climbing/b", "/etc/b"],
        ["dangling", "/made/here"],
        ["dangling/deeper", "/made/here/deeper"],
      ] as const) {
        const pod = [...overlay, `--volume=v,kind=host,source=${path}`, `--mount=volume=v,target=/links/${link}`];
        const result = run(stage1, `cat ${seen}/file`, { pod, image: stage1.hostile });
        expect(result).toMatchObject({ status: 0, stdout: "of the host\n" });
      }
      expect(readdirSync("/etc").sort()).toEqual(before);
      expect(existsSync("/made")).toBe(false);
    });
  }

  test("nested volumes, whatever their order; a volume at /etc gets no files of rkt's", () => {
    const [outer, inner] = [source(), source()];
    writeFileSync(join(inner, "file"), "of the inner\n");
    const pod = [
      ...[`--volume=i,kind=host,source=${inner}`, `--volume=o,kind=host,source=${outer}`],
      ...["--mount=volume=i,target=/o/deep/inner", "--mount=volume=o,target=/o"],
    ];
    expect(lines(run(stage1, "cat /o/file /o/deep/inner/file", { pod }).stdout)).toEqual([
      "of the host",
      "of the inner",
    ]);
    const etc = source();
    writeFileSync(join(etc, "passwd"), "root:x:0:0::/:/bin/sh\n");
    const over = [`--volume=v,kind=host,source=${etc}`, "--mount=volume=v,target=/etc", "--dns=192.0.2.1"];
    const result = run(stage1, "cat /etc/file", { pod: over, image: stage1.hostile });
    expect(lines(result.stdout)).toEqual(["of the host"]);
    expect(readdirSync(etc).sort()).toEqual(["file", "passwd"]);
  });

  describe("a mistake is one line that names the path, and status 254", () => {
    const cases: [what: string, target: string, from: (path: string) => string, text: string][] = [
      ["below a file", "/links/file/x", (path) => path, '"/links/file" is a file in the image'],
      ["a loop of links", "/links/loop/x", (path) => path, '"/links/loop" is a symbolic link that leads to itself'],
      ["a directory at a file", "/links/file", (path) => path, '"/links/file" is a file in the image'],
      [
        "a file at a directory",
        "/etc",
        (path) => join(path, "file"),
        "it is a file, and the image has a directory there",
      ],
      ["the root", "/", (path) => path, 'Cannot mount a volume at "/" of app "app": it would hide the whole image'],
      ["no source", "/v", (path) => `${path}/nowhere`, '/nowhere" for volume "v": no such file or directory'],
    ];
    for (const [what, target, from, text] of cases) {
      test(what, () => {
        const pod = [`--volume=v,kind=host,source=${from(source())}`, `--mount=volume=v,target=${target}`];
        const result = run(stage1, "true", { pod, image: stage1.hostile });
        expect(result.stderr).toContain(text);
        expect(result).toMatchObject({ status: 254, stdout: "" });
      });
    }
  });
}
