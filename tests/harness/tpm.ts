/** A TPM 2.0 of a test: Debian's swtpm, which is what virtual machines get as theirs. Its state lies in a temporary directory, so it can be ended and started again. */

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { type TestRkt, until } from "./rkt.ts";

export interface TestTpm {
  readonly tcti: string;
  /** What PCR `pcr` holds in the bank sha256. */
  register(pcr?: number): string;
  /** As any program of the host may. */
  extend(text: string): void;
  /** From its next start on it keeps its registers in these banks alone; many machines' TPMs have sha256 only. */
  keepBanks(banks: readonly string[]): void;
  /** Stops answering; what is in its registers is lost, as at a reset. */
  kill(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts one. `dir`: for its state, which decides which keys it has. */
export async function testTpm(dir: string): Promise<TestTpm> {
  mkdirSync(dir, { recursive: true });
  const port = await freePorts();
  const address = (at: number) => `type=tcp,port=${at},bindaddr=127.0.0.1`;
  const child = spawn(
    "swtpm",
    ["socket", "--tpm2", "--tpmstate", `dir=${dir}`, "--server", address(port), "--ctrl", address(port + 1)].concat([
      "--flags",
      "not-need-init,startup-clear",
    ]),
    { stdio: "ignore" },
  );
  let over = false;
  const ended = new Promise<void>((done) => {
    child.once("exit", () => {
      over = true;
      done();
    });
  });
  const tcti = `swtpm:host=127.0.0.1,port=${port}`;
  const tool = (...args: string[]) =>
    spawnSync("tpm2", [args[0] ?? "", `--tcti=${tcti}`, ...args.slice(1)], { encoding: "utf8" });
  const kill = async () => {
    if (!over) child.kill("SIGKILL");
    await ended;
  };
  await until("swtpm's answer", () => over || tool("pcrread", "sha256:15").status === 0);
  return {
    tcti,
    register(pcr = 15) {
      const result = tool("pcrread", `sha256:${pcr}`);
      const value = /: 0x([0-9A-F]{64})/.exec(result.stdout)?.[1];
      if (value === undefined) throw new Error(result.stderr);
      return value.toLowerCase();
    },
    extend(text) {
      const file = join(dir, "event");
      writeFileSync(file, text);
      const result = tool("pcrevent", "15", file);
      if (result.status !== 0) throw new Error(result.stderr);
    },
    keepBanks(banks) {
      const allocation = ["sha1", "sha256", "sha384", "sha512"].map(
        (bank) => `${bank}:${banks.includes(bank) ? "all" : "none"}`,
      );
      const result = tool("pcrallocate", allocation.join("+"));
      if (result.status !== 0) throw new Error(result.stderr);
    },
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

/** Takes commands and never answers, as a TPM whose driver hangs. */
export async function silentTpm(): Promise<{ readonly tcti: string; [Symbol.asyncDispose](): Promise<void> }> {
  const sockets = new Set<{ destroy(): void }>();
  const silent = (socket: { destroy(): void }) => void sockets.add(socket);
  const port = await freePorts();
  const servers = [createServer(silent), createServer(silent)];
  await Promise.all(
    servers.map((server, at) => new Promise<void>((done) => void server.listen(port + at, "127.0.0.1", done))),
  );
  return {
    tcti: `swtpm:host=127.0.0.1,port=${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
    },
  };
}

/** The configuration of the host: pods are measured into `tcti`. */
export function configureMeasurement(rkt: TestRkt, settings: object): void {
  const dir = join(rkt.configDir, "measurement.d");
  mkdirSync(dir, { recursive: true });
  const header = { rktKind: "measurement", rktVersion: "v1" };
  writeFileSync(join(dir, "tpm.json"), JSON.stringify({ ...header, ...settings }));
}

/** Two in a row: commands, and control, which the tools expect at the next number. */
async function freePorts(): Promise<number> {
  for (;;) {
    const first = createServer();
    const port = await listening(first, 0);
    const second = createServer();
    const isFree = port !== undefined && (await listening(second, port + 1)) !== undefined;
    await Promise.all([first, second].map((server) => new Promise((done) => server.close(done))));
    if (isFree) return port;
  }
}

function listening(server: Server, port: number): Promise<number | undefined> {
  return new Promise((done) => {
    server.once("error", () => done(undefined));
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      done(typeof address === "object" ? address?.port : undefined);
    });
  });
}
