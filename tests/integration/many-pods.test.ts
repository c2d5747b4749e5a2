/** A small part of `make soak`: pods with a network, started and collected in a loop, several at once. */

import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { linux } from "../../src/host/linux.ts";
import { enterPrivateHost } from "../harness/private-host.ts";
import { manyPods } from "../soak/many-pods.ts";

setDefaultTimeout(300_000);

beforeAll(() => {
  enterPrivateHost();
  // What other programs of the machine write there meanwhile is not rkt's.
  linux.mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777");
});

test("12 pods, 6 at once: every status is right, no address is given twice, nothing is left", async () => {
  const results = await manyPods(12, 6, () => {});
  expect(results.flatMap(({ findings }) => findings)).toEqual([]);
});
