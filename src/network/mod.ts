/**
 * network: CNI networking of pods (docs/decisions: networking is CNI).
 * Takes a `--net` list and forwarded ports, gives a network namespace with its interfaces (`setUpNetwork`), and takes everything back (`tearDownNetwork`).
 * Used by the stage1 entrypoints run and gc, in the caller's mount namespace; next, a flavor joins the namespace (`joinNetns`) and executes its supervisor.
 */

export { type CheckedNetwork, checkPodNetwork, type PodCheck } from "./check-pod.ts";
export { checkStatus, collectGarbage, findLeftovers, type KnownPod } from "./leftovers.ts";
export { configuredNetworks } from "./load.ts";
export { type NetList, parseNetList } from "./net-list.ts";
export { joinNetns } from "./netns.ts";
export { pluginDirs } from "./plugin.ts";
export { type PodPorts, resolvePorts } from "./ports.ts";
export { recordedNetns } from "./record.ts";
export { setUpNetwork } from "./set-up.ts";
export { lockSetUps } from "./set-up-lock.ts";
export { tearDownNetwork } from "./tear-down.ts";
export type {
  Address,
  ForwardedPort,
  NetworkContext,
  NetworkDns,
  NetworkInterface,
  NetworkProblem,
  NetworkResult,
  SetUpNetwork,
  TeardownProblem,
} from "./types.ts";
