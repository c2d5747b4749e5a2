/** Pods of servers, started until they have an address, and stopped in order. */

import { existsSync, readFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { type Result, type RunningRkt, type TestRkt, until } from "./rkt.ts";

export interface ServerPod {
  readonly running: RunningRkt;
  readonly uuid: string;
  /** On the default network; "" without one. */
  readonly ip: string;
}

let pods = 0;

/** `rkt FLAGS run ARGS`, until `rkt status` has what `ready` looks for. Throws with its output when the pod ends before. */
export async function startServerPod(
  rkt: TestRkt,
  flags: readonly string[],
  args: readonly string[],
  ready = /ip4=[0-9.]+/,
): Promise<ServerPod> {
  pods += 1;
  const file = join(rkt.dir, `uuid-${pods}`);
  const running = rkt.start([...flags, "run", `--uuid-file-save=${file}`, ...args]);
  let over: Result | undefined;
  void running.ended.then((result) => {
    over = result;
  });
  let status = "";
  await until("the pod", () => {
    if (existsSync(file)) status = rkt.run(["status", readFileSync(file, "utf8")]).stdout;
    return over !== undefined || (status.includes("state=running") && ready.test(status));
  });
  if (over !== undefined) throw new Error(`the pod ended at once: ${JSON.stringify(over)}`);
  return { running, uuid: readFileSync(file, "utf8"), ip: /ip4=([0-9.]+)/.exec(status)?.[1] ?? "" };
}

/** `rkt stop`, and what the pod said until its end. */
export async function stopServerPod(rkt: TestRkt, pod: ServerPod): Promise<Result> {
  rkt.ok(["stop", pod.uuid]);
  return pod.running.ended;
}

/** One connection to redis: sends its inline commands and gives back all that it answers. */
export function askRedis(host: string, port: number, commands: readonly string[], timeout: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = createConnection({ host, port });
  let answer = "";
  socket.setTimeout(timeout, () => socket.destroy(new Error("redis is silent")));
  socket.on("connect", () => void socket.write([...commands, "QUIT", ""].join("\r\n")));
  socket.on("data", (chunk) => {
    answer += String(chunk);
  });
  socket.on("error", reject);
  socket.on("close", () => (answer === "" ? reject(new Error("redis hung up")) : resolve(answer.replaceAll("\r", ""))));
  return promise;
}
