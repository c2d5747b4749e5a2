/** A small image in a test's store. */

import { join } from "node:path";
import { buildAci, type Files } from "./images.ts";
import type { TestRkt } from "./rkt.ts";

/** Builds an App Container image of busybox and `files` and fetches it; its id. `name`: of the archive, in the test's directory. */
export function fetchedAci(
  rkt: TestRkt,
  manifest: Parameters<typeof buildAci>[1] = {},
  files: Files = {},
  name = "app",
): string {
  const aci = join(rkt.dir, `${name}.aci`);
  buildAci(aci, manifest, files);
  return rkt.ok(["--insecure-options=image", "fetch", "--full", aci]).trim();
}

/** For a pod that has the host's /usr as a volume, and with it programs and their libraries. */
export const ROOT_FOR_HOST_PROGRAMS: Files = {
  lib: { link: "usr/lib" },
  lib64: { link: "usr/lib64" },
  usr: null,
};
