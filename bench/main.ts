/**
 * `make bench`. BENCH_RUNS: rounds of the short measurements (default 15); the long ones get a third of it. Ends with 0 unless something did not work: a missed
 * budget is a result.
 */

import { writeFileSync } from "node:fs";
import { bigImage } from "./big-image.ts";
import { verdicts } from "./budgets.ts";
import { drawing } from "./drawing.ts";
import { measureFetch } from "./fetch.ts";
import { measureList } from "./list.ts";
import { measureMemory } from "./memory.ts";
import { report } from "./report.ts";
import { measureResident } from "./resident.ts";
import { measureStart } from "./start.ts";
import { surroundings } from "./surroundings.ts";
import { measureUsers } from "./users.ts";
import { RKT, workspace } from "./workspace.ts";

const runs = Number(process.env.BENCH_RUNS ?? "15");
if (!Number.isInteger(runs) || runs < 1)
  throw new Error(`BENCH_RUNS is "${process.env.BENCH_RUNS}", expected a number`);
const tell = (part: string) => (text: string) => console.error(`bench: ${part}: ${text}`);

const image = bigImage(1, tell("image"));
const larger = bigImage(3, tell("image"));
const around = surroundings({ runs, imageSize: image.size, imageFiles: image.files }, RKT);
const space = workspace();
try {
  const found = {
    start: measureStart(space, runs, tell("start")),
    users: measureUsers(space, Math.ceil(runs / 3), tell("users")),
    list: measureList(space, runs, tell("list")),
    fetch: measureFetch(space, image, Math.ceil(runs / 3), tell("fetch")),
    memory: await measureMemory(space, [image, larger], tell("memory")),
    resident: await measureResident(space),
  };
  const page = report(found, verdicts(found), around);
  writeFileSync("bench/RESULTS.md", page);
  writeFileSync(
    "bench/results.svg",
    drawing([
      { title: "Running true, until its exit status is back", rows: found.start, unit: "ms" },
      { title: "Looking", rows: found.list, unit: "ms" },
      { title: "Fetching and unpacking 206 MB from a layout", rows: found.fetch, unit: "s" },
    ]),
  );
  console.log(page);
} finally {
  space.remove();
}
