import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { askHelper } from "./credential-helper.ts";

let dir = "";
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "rkt-helper-"));
});
afterAll(() => rmSync(dir, { recursive: true }));

const ask = (name: string, script: string, patience?: number) => {
  writeFileSync(join(dir, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const environment = { path: `relative:${dir}:/usr/bin:/bin`, env: {} };
  return askHelper(name, "registry-1.docker.io", patience === undefined ? environment : { ...environment, patience });
};

test("a password, an identity token, nothing", async () => {
  const echo = (user: string, secret: string) => `echo '${JSON.stringify({ Username: user, Secret: secret })}'`;
  expect(await ask("basic", echo("u", "p"))).toEqual({ basic: { user: "u", password: "p" } });
  expect(await ask("token", echo("<token>", "t"))).toEqual({ refreshToken: "t" });
  expect(await ask("empty", echo("", ""))).toBeUndefined();
  expect(await ask("none", "echo credentials not found in native keychain; exit 1")).toBeUndefined();
});

test("it is asked by Docker Hub's first address, with the word get", async () => {
  const said = await ask("hub", `read server; echo "{\\"Username\\":\\"$1\\",\\"Secret\\":\\"$server\\"}"`);
  expect(said).toEqual({ basic: { user: "get", password: "https://index.docker.io/v1/" } });
});

test("one that does not come to an end is not waited for, nor is a child of it", async () => {
  await expect(ask("slow", "exec sleep 5", 100)).rejects.toThrow("took too long");
  await expect(ask("child", "sleep 2; exit 1", 100)).rejects.toThrow("took too long");
});

test("one that is not there, and one that says too much", async () => {
  await expect(askHelper("missing", "r", { path: dir, env: {} })).rejects.toThrow("there is no such program");
  await expect(ask("endless", "yes", 5000)).rejects.toThrow("a signal, or took too long");
});
