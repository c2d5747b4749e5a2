/**
 * services: what other programs ask of rkt over a socket. Read only, without state of its own: it can be killed at any moment.
 * Takes an engine, gives the gRPC service of rkt 1.x (api.ts) and what happened and happens (events.ts). Used by `rkt api-service` and `rkt events`.
 */

export { type ApiOptions, type ApiServer, serveApi } from "./api.ts";
export { currentFacts, eventName, type RktFact, watchFacts } from "./events.ts";
