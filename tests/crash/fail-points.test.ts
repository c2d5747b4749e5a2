/** `rkt run` of a signed image of a registry, killed once in each of its phases; `make soak` does it more often. Needs root, strace, docker-registry. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { choosePoints, PHASES, traceRun } from "../harness/fail-points.ts";
import { mountsBelow, type TestRkt, testRkt } from "../harness/rkt.ts";
import { type SignedImage, signedImage } from "../harness/signed-image.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(600_000);

let dir: TemporaryDirectory;
let image: SignedImage;

beforeAll(async () => {
  dir = temporaryDirectory("fail-points");
  image = await signedImage(dir.path, [{ "srv/file": "content" }]);
});
afterAll(() => {
  image?.[Symbol.dispose]();
  dir?.[Symbol.dispose]();
});

/** The stage1 is unpacked in advance, so that the run's unpacking is that of the image. */
function freshRkt(): TestRkt {
  const rkt = testRkt();
  image.trustedBy(rkt);
  rkt.run(["run", "--pull-policy=never", "example.com/none"]);
  return rkt;
}

function collect(rkt: TestRkt): void {
  const gc = rkt.run(["gc", "--grace-period=0s", "--expire-prepared=0s"]);
  expect({ status: gc.status, stderr: gc.stderr.replaceAll(/^gc: moving .*\n/gm, "") }).toEqual({
    status: 0,
    stderr: "",
  });
}

test("killed in fetch, verify, record, unpack, prepare, network set-up and hand-over: the next commands understand what is there", () => {
  const args = [...image.flags, "run", image.reference()];
  const points = (() => {
    using rkt = freshRkt();
    const whole = traceRun(rkt, args);
    expect({ status: whole.status, stderr: whole.stderr }).toMatchObject({ status: 0 });
    collect(rkt);
    return choosePoints(whole.points, 1);
  })();
  const hit = points.map((point) => {
    using rkt = freshRkt();
    const killed = traceRun(rkt, args, point);
    expect({ point, status: killed.status }).toEqual({ point, status: 137 });
    expect(rkt.run(["list", "--format=json"]).status).toBe(0);
    expect(rkt.run(["image", "list"]).status).toBe(0);
    collect(rkt);
    expect({ point, fsck: rkt.run(["fsck"]).status }).toEqual({ point, fsck: 0 });
    const again = rkt.run(args);
    expect({ point, status: again.status, ran: again.stdout.includes("it ran") }).toEqual({
      point,
      status: 0,
      ran: true,
    });
    collect(rkt);
    expect(mountsBelow(rkt.dataDir)).toEqual([]);
    return killed.phase;
  });
  expect(hit).toEqual([...PHASES]);
});
