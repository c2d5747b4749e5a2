/**
 * One suite of cases that every flavor must pass. A flavor's test file calls {@link stage1Suite} and adds only what is its own; what it may refuse stands in
 * suite/refusals.ts. Needs root.
 */

import { afterAll, beforeAll, describe } from "bun:test";
import { type Flavor, newStage1, setUp } from "./suite/context.ts";
import { escapeCases } from "./suite/escapes.ts";
import { identityCases } from "./suite/identity.ts";
import { isolationCases } from "./suite/isolation.ts";
import { lifecycleCases } from "./suite/lifecycle.ts";
import { refusalCases } from "./suite/refusals.ts";
import { volumeCases } from "./suite/volumes.ts";

export function stage1Suite(flavor: Flavor): void {
  describe(`stage1 ${flavor}`, () => {
    const stage1 = newStage1(flavor);
    beforeAll(() => setUp(stage1));
    afterAll(() => stage1.rkt?.[Symbol.dispose]());
    lifecycleCases(stage1);
    isolationCases(stage1);
    identityCases(stage1);
    volumeCases(stage1);
    refusalCases(stage1);
    // fly promises no isolation; a virtual machine's is another kernel, and has other answers.
    if (flavor === "nspawn" || flavor === "host") escapeCases(stage1);
  });
}
