/** The gRPC service v1alpha.PublicAPI. Each call reads what it answers with; between calls nothing is kept. */

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import * as grpc from "@grpc/grpc-js";
import type { Engine } from "../core/engine.ts";
import { errorLine, RktError } from "../core/errors.ts";
import { APPC_VERSION, RKT_VERSION } from "../core/version.ts";
import { linux } from "../host/mod.ts";
import { closePod, findPod, podReader } from "../pod/mod.ts";
import { currentFacts, type RktFact, watchFacts } from "./events.ts";
import { type ImageFilter, imageById, imageMessages } from "./images.ts";
import { listPods, type PodFilter, podMessage } from "./pods.ts";
import { decodeMessage, encodeMessage, type Message, type MessageType } from "./protobuf.ts";
import * as messages from "./v1alpha.ts";

export interface ApiOptions {
  readonly engine: Engine;
  /** Options of this rkt, for `rkt logs`: the same directories. */
  readonly globals: readonly string[];
  /** Value of --insecure-options, for GetInfo. */
  readonly insecureFlags: string;
}

export interface ApiServer {
  /** "HOST:PORT" or "unix:/PATH". Throws NETWORK. */
  listen(address: string): Promise<void>;
  close(): void;
}

const API_VERSION = "1.0.0-alpha";

export function serveApi(options: ApiOptions): ApiServer {
  const { engine } = options;
  const server = new grpc.Server({ "grpc.max_send_message_length": -1 });
  const unary =
    (answer: (request: Message) => Message) =>
    (call: ServerUnaryCall<Message, Message>, done: sendUnaryData<Message>) => {
      try {
        tidyMemory();
        done(null, answer(call.request));
      } catch (error) {
        done(failure(error));
      }
    };
  server.addService(
    {
      GetInfo: method("GetInfo", false),
      ListPods: method("ListPods", false),
      InspectPod: method("InspectPod", false),
      ListImages: method("ListImages", false),
      InspectImage: method("InspectImage", false),
      ListenEvents: method("ListenEvents", true),
      GetLogs: method("GetLogs", true),
    },
    {
      GetInfo: unary(() => info(options)),
      ListPods: unary(({ filters, detail }) => ({
        pods: listPods(podReader(engine.dataDir, linux), filters as unknown as PodFilter[], detail === true),
      })),
      InspectPod: unary(({ id }) => ({ pod: inspectPod(engine, String(id)) })),
      ListImages: unary(({ filters, detail }) => ({
        images: imageMessages(engine, filters as unknown as ImageFilter[], detail === true),
      })),
      InspectImage: unary(({ id }) => ({ image: inspectImage(engine, String(id)) })),
      ListenEvents: (call: ServerWritableStream<Message, Message>) => void listenEvents(engine, call),
      GetLogs: (call: ServerWritableStream<Message, Message>) => getLogs(options, call),
    },
  );
  return {
    listen: (address) =>
      new Promise((done, fail) => {
        server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error) => {
          if (error === null) done();
          else fail(new RktError("NETWORK", `Cannot listen on ${address}`, { cause: error }));
        });
      }),
    close: () => server.forceShutdown(),
  };
}

/** Milliseconds after a call. */
const TIDY_AFTER = 2000;
let tidying: ReturnType<typeof setTimeout> | undefined;

/** The runtime lets what it collected lie until it needs it; this service is to be small between the calls of whoever asks it every few seconds. */
function tidyMemory(): void {
  if (tidying !== undefined) return;
  tidying = setTimeout(() => {
    tidying = undefined;
    Bun.gc(true);
  }, TIDY_AFTER);
  tidying.unref();
}

function method(name: string, streams: boolean): grpc.MethodDefinition<Message, Message> {
  const types = messages as unknown as Readonly<Record<string, MessageType>>;
  const [request, response] = [types[`${name}Request`], types[`${name}Response`]];
  if (request === undefined || response === undefined) throw new RktError("INTERNAL", `no messages for ${name}`);
  const encode = (type: MessageType) => (message: Message) => Buffer.from(encodeMessage(type, message));
  const decode = (type: MessageType) => (bytes: Buffer) => decodeMessage(type, bytes);
  return {
    path: `/v1alpha.PublicAPI/${name}`,
    requestStream: false,
    responseStream: streams,
    requestSerialize: encode(request),
    requestDeserialize: decode(request),
    responseSerialize: encode(response),
    responseDeserialize: decode(response),
  };
}

function info({ engine, insecureFlags }: ApiOptions): Message {
  return {
    info: {
      rkt_version: RKT_VERSION,
      appc_version: APPC_VERSION,
      api_version: API_VERSION,
      global_flags: {
        dir: engine.dataDir.root,
        system_config_dir: engine.systemConfigDir,
        local_config_dir: engine.localConfigDir,
        user_config_dir: engine.userConfigDir,
        insecure_flags: insecureFlags,
        trust_keys_from_https: engine.trustKeysFromHttps,
      },
    },
  };
}

function inspectPod(engine: Engine, id: string): Message {
  const pod = findPod(podReader(engine.dataDir, linux), id);
  try {
    return podMessage(linux, pod, true);
  } finally {
    closePod(linux, pod);
  }
}

function inspectImage(engine: Engine, id: string): Message {
  const image = imageById(engine, id);
  if (image === undefined) throw new RktError("NOT_FOUND", `no such image: ${id}`);
  return image;
}

const SECOND = 1_000_000_000n;

/** What happened since `since_time`, then what happens, until `until_time` or the client's end. */
async function listenEvents(engine: Engine, call: ServerWritableStream<Message, Message>): Promise<void> {
  const filter = (call.request["filter"] ?? {}) as {
    types?: number[];
    ids?: string[];
    names?: string[];
    since_time?: number;
    until_time?: number;
  };
  const [since, until] = [BigInt(filter.since_time ?? 0), BigInt(filter.until_time ?? 0)];
  const wanted = (one: RktFact) =>
    (!filter.types?.length || filter.types.includes(one.type)) &&
    (!filter.ids?.length || filter.ids.includes(one.id)) &&
    (!filter.names?.length || filter.names.includes(one.from)) &&
    (since === 0n || one.time / SECOND >= since) &&
    (until === 0n || one.time / SECOND <= until);
  const send = (facts: readonly RktFact[]) => {
    const events = facts.filter(wanted).map(eventMessage);
    if (events.length > 0) call.write({ events });
  };
  const over = () => call.cancelled || (until !== 0n && BigInt(Date.now()) / 1000n > until);
  try {
    if (since !== 0n) send(currentFacts(engine));
    await watchFacts(engine, send, over);
    call.end();
  } catch (error) {
    call.emit("error", failure(error));
  }
}

function eventMessage({ type, id, from, time, data }: RktFact): Message {
  return { type, id, from, time: time / SECOND, data: data.map(([Key, value]) => ({ Key, value })) };
}

/** Of a pod that there is: what a client says reaches no other program as it came. Throws as findPod does. */
function podUuid(engine: Engine, id: string): string {
  const pod = findPod(podReader(engine.dataDir, linux), id);
  closePod(linux, pod);
  return pod.uuid;
}

/** Lines of a pod, as `rkt logs` tells them: a process of its own reads what the pod has written. */
function getLogs({ engine, globals }: ApiOptions, call: ServerWritableStream<Message, Message>): void {
  const { pod_id: id, app_name: app, lines, follow, since_time: since, until_time: until } = call.request;
  let uuid: string;
  try {
    uuid = podUuid(engine, String(id));
  } catch (error) {
    call.emit("error", failure(error));
    return;
  }
  const argv = [
    ...globals,
    "logs",
    ...(app === "" ? [] : [`--app=${String(app)}`]),
    ...(Number(lines) > 0 ? [`--tail=${Number(lines)}`] : []),
    ...(follow === true ? ["--follow"] : []),
    ...(Number(since) > 0 ? [`--since=@${Number(since)}`] : []),
    ...(Number(until) > 0 ? [`--until=@${Number(until)}`] : []),
    uuid,
  ];
  const child = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors = (errors + String(chunk)).slice(-4096);
  });
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => void call.write({ lines: [line] }));
  call.on("cancelled", () => void child.kill("SIGTERM"));
  child.once("close", (code) => {
    if (code === 0 || call.cancelled) call.end();
    else call.emit("error", { code: grpc.status.FAILED_PRECONDITION, details: errors.trim().replace(/^logs: /, "") });
  });
}

function failure(error: unknown): { code: grpc.status; details: string } {
  const codes: Partial<Record<string, grpc.status>> = {
    NOT_FOUND: grpc.status.NOT_FOUND,
    USAGE: grpc.status.INVALID_ARGUMENT,
    AMBIGUOUS: grpc.status.INVALID_ARGUMENT,
    PERMISSION: grpc.status.PERMISSION_DENIED,
  };
  const code = error instanceof RktError ? codes[error.code] : undefined;
  return { code: code ?? grpc.status.INTERNAL, details: errorLine(error) };
}
