/** The pod's side of the metadata service: registering, and taking it back (rkt 1.x's requests). */

import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PodFiles } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import { METADATA_FLAG, METADATA_REGISTRATIONS, METADATA_SOCKET } from "../core/metadata.ts";
import { quoted } from "../core/text.ts";
import type { PodUuid } from "../core/uuid.ts";

const TRIES = 3;
/** Milliseconds between two tries. */
const PAUSE = 1000;

/** Registers the pod and the images of its apps; returns the token by which its apps are known. Throws NOT_FOUND when no service can be reached, CONFLICT when it refuses. */
export async function registerPod(podDir: string, uuid: PodUuid, apps: readonly string[]): Promise<string> {
  const files = new PodFiles(podDir);
  const token = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("hex");
  // Before the first request: should this process be killed, gc still takes it back.
  writeFileSync(join(podDir, METADATA_FLAG), "", { mode: 0o640 });
  await put(`/pods/${uuid}?token=${token}`, readFileSync(files.manifest, "utf8"));
  for (const app of apps) await put(`/pods/${uuid}/${app}`, readFileSync(files.appImageManifest(app), "utf8"));
  return token;
}

/** Takes a registration back, if there is one. Without a service its record goes, which the next service would read. */
export async function unregisterPod(podDir: string, uuid: PodUuid): Promise<void> {
  if (!existsSync(join(podDir, METADATA_FLAG))) return;
  await request("DELETE", `/pods/${uuid}`, undefined).catch(() => undefined);
  rmSync(join(METADATA_REGISTRATIONS, `${uuid}.json`), { force: true });
}

async function put(path: string, body: string): Promise<void> {
  let answer: Answer | undefined;
  for (let tries = 0; answer === undefined; tries += 1) {
    try {
      answer = await request("PUT", path, body);
    } catch (cause) {
      if (tries + 1 < TRIES) await Bun.sleep(PAUSE);
      else
        throw new RktError("NOT_FOUND", "could not reach the metadata service.", {
          cause,
          hint: "make sure that it is running: systemctl start rkt-metadata.socket, or `rkt metadata-service`; or leave --mds-register out",
        });
    }
  }
  if (answer.status !== 200)
    throw new RktError(
      "CONFLICT",
      `Cannot register the pod: the metadata service answers ${answer.status} ${quoted(answer.body.trim())}`,
    );
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

async function request(method: string, path: string, body: string | undefined): Promise<Answer> {
  const { request: httpRequest } = await import("node:http");
  return new Promise<Answer>((done, failed) => {
    const headers = body === undefined ? {} : { "Content-Length": Buffer.byteLength(body) };
    const sent = httpRequest({ socketPath: METADATA_SOCKET, method, path, headers, timeout: 10_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        done({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") }),
      );
      response.on("error", failed);
    });
    sent.on("error", failed);
    sent.on("timeout", () => sent.destroy(new Error("no answer")));
    sent.end(body);
  });
}
