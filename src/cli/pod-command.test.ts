import { describe, expect, test } from "bun:test";
import { command as run } from "./commands/run.ts";
import { parseWords } from "./flags.ts";
import { GLOBAL_FLAGS } from "./globals.ts";
import { readAssembleInput } from "./pod-command.ts";

function read(...words: string[]) {
  const { content } = readAssembleInput(parseWords(run, GLOBAL_FLAGS, words));
  if (content.kind !== "images") throw new Error("no images");
  return content;
}

const options = (...words: string[]) => read("example.com/app", ...words).images[0]?.options;

describe("flags of an app", () => {
  test("of a key given twice the last counts", () => {
    for (const flag of ["environment", "user-annotation", "user-label", "annotation"] as const) {
      const given = options(...["a=1", "b=2", "a=3"].map((pair) => `--${flag}=${pair}`));
      const pairs = { environment: given?.environment, "user-annotation": given?.userAnnotations };
      const others = { "user-label": given?.userLabels, annotation: given?.annotations };
      expect({ ...pairs, ...others }[flag] as unknown).toEqual([
        { name: "a", value: "3" },
        { name: "b", value: "2" },
      ]);
    }
  });

  test("of a pod's key given twice is refused", () => {
    expect(() => read("--set-env=A=1", "--set-env=A=2", "example.com/app")).toThrow('key "A" already set');
    expect(() => read("--user-label=a=1", "--user-label=a=2", "example.com/app")).toThrow('key "a" already set');
  });

  test("an empty word leaves what the image says", () => {
    const words = ["exec", "name", "user", "group", "working-dir"].map((flag) => `--${flag}=`);
    expect(options(...words)).toMatchObject({
      exec: undefined,
      name: undefined,
      user: undefined,
      group: undefined,
      workingDirectory: undefined,
    });
  });

  test("capabilities add up, under both names of their flags", () => {
    const words = ["--caps-retain=CAP_KILL,CAP_CHOWN", "--cap-retain=CAP_MKNOD", "--caps-retain=CAP_FOWNER"];
    expect(options(...words)?.capsRetain).toEqual(["CAP_KILL", "CAP_CHOWN", "CAP_FOWNER", "CAP_MKNOD"]);
    expect(options("--cap-remove=CAP_KILL")?.capsRemove).toEqual(["CAP_KILL"]);
  });
});

describe("what needs no image is refused before one is looked for", () => {
  test.each([
    [["--memory=16m"], "memory limit of 1 bytes too low. Try a reasonable value, such as --memory=16M"],
    [["--memory=lots"], 'Cannot use "lots" for --memory'],
    [["--cpu=fast"], 'Cannot use "fast" for --cpu'],
    [["--pids=0"], "must be at least 1"],
    [["--mount=volume=data,target=/data"], 'dangling mount point "/data": volume "data" not found'],
  ])("%p", (words, message) => {
    expect(() => options(...words)).toThrow(message);
  });

  test("a mount of all apps without its volume", () => {
    expect(() => read("--mount=volume=data,target=/data", "example.com/app")).toThrow('volume "data" not found');
    const volume = "--volume=data,kind=empty";
    expect(read("--mount=volume=data,target=/data", volume, "example.com/app").pod.mounts).toHaveLength(1);
  });
});
