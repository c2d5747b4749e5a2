import { expect, test } from "bun:test";
import { masqueradeChain, masqueradedPods, masqueradeRemoval } from "./masquerade.ts";

const ONE = "8e46a381-a13f-4233-9c43-c66704014b4b";
const TWO = "caf8df68-3943-4fc5-9390-eb13cba78e55";
const rules = (uuid: string, chain: string, ip: string) => [
  `-A POSTROUTING -s ${ip}/32 -m comment --comment "name: \\"dual\\" id: \\"${uuid}\\"" -j ${chain}`,
  `-A ${chain} -d 10.213.50.0/24 -m comment --comment "name: \\"dual\\" id: \\"${uuid}\\"" -j ACCEPT`,
];
const [CHAIN, OTHER] = ["CNI-8187ddeaee90c8c2b7641f9c", "CNI-5f1317638aedcf16fbb64b15"];
const saved = [
  "*nat",
  `:${CHAIN} - [0:0]`,
  ...rules(ONE, CHAIN, "10.213.50.5"),
  ...rules(TWO, OTHER, "10.213.50.6"),
  "COMMIT",
].join("\n");

test("pods are told by the comments of their rules", () => {
  expect([...masqueradedPods(saved)]).toEqual([
    [ONE, "dual"],
    [TWO, "dual"],
  ]);
});

test("one pod's chains and the jumps to them are removed, and nobody else's", () => {
  expect(masqueradeRemoval(ONE, [], saved)?.split("\n")).toEqual([
    "*nat",
    `-D POSTROUTING -s 10.213.50.5/32 -m comment --comment "name: \\"dual\\" id: \\"${ONE}\\"" -j ${CHAIN}`,
    `-F ${CHAIN}`,
    `-X ${CHAIN}`,
    "COMMIT",
    "",
  ]);
  expect(masqueradeRemoval("00000000-0000-4000-8000-000000000000", ["dual"], saved)).toBeUndefined();
});

test("the plugins' name of a chain", () => {
  expect(masqueradeChain("default", "c55c4052-2b52-4ab6-b468-0091fa909c24")).toBe("CNI-3add0d4aa4badfe5d9d8e54a");
});

test("what a plugin leaves that is killed in between: a chain that nothing leads to, an empty one", () => {
  const removal = (chain: string) => ["*nat", `-F ${chain}`, `-X ${chain}`, "COMMIT", ""].join("\n");
  const [, inside = ""] = rules(ONE, CHAIN, "10.213.50.5");
  const unreached = ["*nat", `:${CHAIN} - [0:0]`, inside, "COMMIT"].join("\n");
  expect(masqueradeRemoval(ONE, [], unreached)).toBe(removal(CHAIN));
  const named = masqueradeChain("dual", ONE);
  const empty = ["*nat", `:${named} - [0:0]`, "COMMIT"].join("\n");
  expect(masqueradeRemoval(ONE, ["dual"], empty)).toBe(removal(named));
  expect(masqueradeRemoval(TWO, ["dual"], empty)).toBeUndefined();
});
