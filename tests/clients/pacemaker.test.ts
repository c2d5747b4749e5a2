/** Pacemaker's resource agent heartbeat/rkt, line by line: what it reads with awk from the lists. Needs root, containernetworking-plugins. */

import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { join } from "node:path";
import { caller, started } from "../harness/clients.ts";
import { buildAci } from "../harness/images.ts";
import { RKT, type RunningRkt, type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

const pacemaker = caller("pacemaker");
let rkt: TestRkt;
let image = "";
let pod: RunningRkt;
let uuid = "";

beforeAll(() => {
  rkt = testRkt();
  image = join(rkt.dir, "app.aci");
  buildAci(image, { name: "example.com/database" });
});
afterAll(() => rkt?.[Symbol.dispose]());

/** `rkt WORDS | awk PROGRAM`, as the agent does it. */
function awk(words: string[], program: string): string {
  const listed = Bun.spawnSync([RKT, ...rkt.globals, ...words], { stdin: "ignore" });
  return Bun.spawnSync(["awk", program], { stdin: listed.stdout }).stdout.toString().trim();
}

const stateOf = (app: string) => awk(["list", "--no-legend", "--full"], `$2 == "${app}" { print $5 }`);

pacemaker.covers(
  ["rkt fetch IMG", "rkt image list --no-legend"],
  "an image is fetched and then found by its name",
  () => {
    rkt.ok(["--insecure-options=image", "fetch", image]);
    expect(awk(["image", "list", "--no-legend"], "{ print $2 }")).toBe("example.com/database:1.0.0");
  },
);

pacemaker.covers(
  ["rkt run IMG --name=N --exec=C", "rkt list --no-legend", "rkt list --no-legend --full"],
  "a pod is found by its app's name, with its state",
  async () => {
    expect(awk(["list", "--no-legend"], "{ print }")).toBe("");
    pod = started([
      RKT,
      ...rkt.globals,
      "--insecure-options=image",
      "run",
      "example.com/database",
      "--name=db",
      "--exec=/bin/sleep",
      "--",
      "1000",
    ]);
    // Columns of the short list: UUID, app, image, state.
    await until("the pod", () => awk(["list", "--no-legend"], '$2 == "db" { print $4 }') === "running", 120);
    uuid = awk(["list", "--no-legend", "--full"], '$2 == "db" { print $1 }');
    expect(uuid).toMatch(/^[0-9a-f-]{36}$/);
    expect(stateOf("db")).toBe("running");
  },
);

pacemaker.covers(
  ["rkt enter U CMD"],
  "the monitor's command is run inside; one that is not there gives 127",
  async () => {
    rkt.ok(["status", "--wait-ready=120s", uuid]);
    expect(rkt.run(["enter", uuid, "true"]).status).toBe(0);
    expect(rkt.run(["enter", uuid, "false"]).status).toBe(1);
    expect(rkt.run(["enter", uuid, "no-such-command"]).status).toBe(127);
  },
);

pacemaker.covers(
  ["rkt stop U", "rkt stop --force U", "rkt rm U"],
  "stopped, it is exited; stopped again, that is no failure; removed, it is gone",
  async () => {
    expect(rkt.run(["stop", uuid])).toMatchObject({ status: 0, stdout: `"${uuid}"\n` });
    await pod.ended;
    expect(awk(["list", "--no-legend"], '$2 == "db" { print $4 }')).toBe("exited");
    expect(rkt.run(["stop", "--force", uuid])).toMatchObject({
      status: 0,
      stdout: `pod "${uuid}" is already stopped\n`,
    });
    expect(rkt.run(["rm", uuid])).toMatchObject({ status: 0, stdout: `"${uuid}"\n` });
    expect(awk(["list", "--no-legend"], "{ print }")).toBe("");
  },
);

pacemaker.nothingLeftOut();
