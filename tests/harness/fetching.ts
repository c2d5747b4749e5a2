/** The fetch step inside the test's own process: no worker, no root, a store of its own. */

import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { RegistryCredentials } from "../../src/config/mod.ts";
import { NO_PROXIES } from "../../src/config/proxy.ts";
import type { RktEvent } from "../../src/core/events.ts";
import type { BlobRef, Download } from "../../src/core/spine.ts";
import { formatImageReference, parseImageReference } from "../../src/fetch/image-reference.ts";
import type { FetchRequest } from "../../src/fetch/messages.ts";
import { jobFor, performFetch } from "../../src/fetch/worker.ts";
import { hostPlatform } from "../../src/spec/oci/mod.ts";

export interface Fetching {
  readonly events: RktEvent[];
  /** Fetches `reference` ("docker://…", "oci:…") as the worker would. */
  fetch(reference: string, request?: Partial<FetchRequest> & { credentials?: RegistryCredentials }): Promise<Download>;
  /** Path of a blob in the store. */
  path(blob: BlobRef): string;
  /** True when the store holds the blob and its content has its digest. */
  holds(blob: BlobRef): boolean;
  /** Names of unfinished downloads and of files left behind. */
  leftovers(): string[];
  /** Texts of all debug and notice events. */
  log(): string;
}

/** A store below `dir`. Waits between attempts are short. */
export function fetching(dir: string, options: { idleTimeout?: number } = {}): Fetching {
  const cas = { blobs: join(dir, "blob"), downloads: join(dir, "tmp") };
  for (const path of Object.values(cas)) mkdirSync(path, { recursive: true });
  const events: RktEvent[] = [];
  const path = ({ digest }: BlobRef) =>
    join(cas.blobs, digest.algorithm, digest.hex.slice(0, 2), `${digest.algorithm}-${digest.hex}`);
  return {
    events,
    async fetch(text, { credentials = {}, ...overrides } = {}) {
      const reference = parseImageReference(text, dir);
      const request: FetchRequest = {
        reference,
        origin: formatImageReference(reference),
        insecureTls: false,
        insecureHttp: true,
        plainHosts: [],
        proxies: NO_PROXIES,
        certificates: { bundle: undefined, extra: "" },
        client: undefined,
        platform: hostPlatform(),
        place: reference.kind === "docker" ? { ...reference, credentials } : undefined,
        isMirror: false,
        anew: false,
        unpackedNext: false,
        headers: {},
        signature: undefined,
        ...overrides,
      };
      const job = jobFor(request, cas, (event) => void events.push(event));
      const source = "path" in reference ? openSync(reference.path, "r") : -1;
      const http = { ...job.http, idleTimeout: options.idleTimeout ?? 5000 };
      try {
        return await performFetch({ ...job, http, pace: 0.01 }, request, source);
      } finally {
        if (source >= 0) closeSync(source);
      }
    },
    path,
    holds(blob) {
      if (!existsSync(path(blob))) return false;
      const content = readFileSync(path(blob));
      return (
        content.length === blob.size &&
        createHash(blob.digest.algorithm).update(content).digest("hex") === blob.digest.hex
      );
    },
    leftovers: () => readdirSync(cas.downloads).filter((name) => !name.endsWith(".json")),
    log: () => events.map((event) => ("text" in event ? event.text : "")).join("\n"),
  };
}

/** Every blob of a download. */
export function blobsOf(download: Download): BlobRef[] {
  return download.format === "aci" ? [download.archive] : [download.manifest, download.config, ...download.layers];
}
