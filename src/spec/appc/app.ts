/** The app of an image or pod manifest (schema/types/app.go): what to run, as whom, with what. */

import { quoted } from "../../core/text.ts";
import { complaint, field, flag, isPresent, items, optionalInteger, type Place, text } from "../document.ts";
import { ordered, type Writable } from "../json-text.ts";
import { readAppIsolators } from "./isolator-rules.ts";
import { readEnvironment, readName, readUserMap, writeList, writeNamed, writeUserMap } from "./lists.ts";
import type { App, EventHandler, Isolator, MountPoint, Port } from "./types.ts";

/** The largest user or group id: the kernel keeps 2^32-1 for "unchanged". */
export const MAX_ID = 0xffff_fffe;

/** An app with nothing in it but root as user and group: a base for spreading. */
export const BLANK_APP: App = {
  exec: [],
  eventHandlers: [],
  user: "0",
  group: "0",
  supplementaryGids: [],
  workingDirectory: "",
  environment: [],
  mountPoints: [],
  ports: [],
  isolators: [],
  userAnnotations: [],
  userLabels: [],
};

/** Undefined when the manifest has no app. */
export function readApp(place: Place): App | undefined {
  if (!isPresent(place)) return undefined;
  const app: App = {
    exec: items(field(place, "exec")).map(text),
    eventHandlers: readEventHandlers(field(place, "eventHandlers")),
    user: text(field(place, "user")),
    group: text(field(place, "group")),
    supplementaryGids: items(field(place, "supplementaryGIDs")).map(readGroup),
    workingDirectory: text(field(place, "workingDirectory")),
    environment: readEnvironment(field(place, "environment")),
    mountPoints: readMountPoints(field(place, "mountPoints")),
    ports: items(field(place, "ports")).map(readPort),
    isolators: readAppIsolators(field(place, "isolators")),
    userAnnotations: readUserMap(field(place, "userAnnotations")),
    userLabels: readUserMap(field(place, "userLabels")),
  };
  if (app.user === "") throw complaint(place, "user is required");
  if (app.group === "") throw complaint(place, "group is required");
  if (app.workingDirectory !== "" && !app.workingDirectory.startsWith("/")) {
    throw complaint(place, "workingDirectory must be an absolute path");
  }
  return app;
}

function readGroup(place: Place): number | string {
  if (typeof place.value !== "string") return optionalInteger(place, 0, MAX_ID) ?? 0;
  const group = text(place);
  if (group === "") throw complaint(place, "a group must not be empty");
  return group;
}

function readEventHandlers(place: Place): EventHandler[] {
  const seen = new Set<string>();
  return items(place).map((item) => {
    const name = text(field(item, "name"));
    if (name === "") throw complaint(item, 'eventHandler "name" cannot be empty');
    if (name !== "pre-start" && name !== "post-stop") {
      throw complaint(item, `bad eventHandler "name": ${quoted(name)}`);
    }
    if (seen.has(name)) throw complaint(item, `Only one eventHandler of name ${quoted(name)} allowed`);
    seen.add(name);
    return { name, exec: items(field(item, "exec")).map(text) };
  });
}

function readMountPoints(place: Place): MountPoint[] {
  const seen = new Set<string>();
  return items(place).map((item) => {
    const name = readName(field(item, "name"));
    const path = text(field(item, "path"));
    if (path === "") throw complaint(item, "path must be set");
    // Two of one name would take one volume at two paths; the specification says names are unique within an app.
    if (seen.has(name)) throw complaint(item, `duplicate mount point of name ${quoted(name)}`);
    seen.add(name);
    return { name, path, readOnly: flag(field(item, "readOnly")) };
  });
}

/** A port; `count` is 1 when missing or 0 (schema/types/port.go). */
export function readPort(place: Place): Port {
  const port = optionalInteger(field(place, "port"), -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) ?? 0;
  const count = optionalInteger(field(place, "count"), 0, Number.MAX_SAFE_INTEGER) || 1;
  if (port < 1 || port > 65535) throw complaint(place, "port must be in 1-65535 range");
  if (port + count > 65536) throw complaint(place, "end of port range must be in 1-65535 range");
  return {
    name: readName(field(place, "name")),
    protocol: text(field(place, "protocol")),
    port,
    count,
    socketActivated: flag(field(place, "socketActivated")),
  };
}

/** The app for output; undefined when there is none. */
export function writeApp(app: App | undefined): Writable | undefined {
  if (app === undefined) return undefined;
  return ordered(
    ["exec", writeExec(app.exec)],
    [
      "eventHandlers",
      writeList(app.eventHandlers, ({ name, exec }) => ordered(["name", name], ["exec", writeExec(exec)])),
    ],
    ["user", app.user],
    ["group", app.group],
    ["supplementaryGIDs", writeList(app.supplementaryGids, (gid) => gid)],
    ["workingDirectory", app.workingDirectory || undefined],
    ["environment", writeNamed(app.environment)],
    ["mountPoints", writeList(app.mountPoints, writeMountPoint)],
    ["ports", writeList(app.ports, writePort)],
    ["isolators", writeList(app.isolators, writeIsolator)],
    ["userAnnotations", writeUserMap(app.userAnnotations)],
    ["userLabels", writeUserMap(app.userLabels)],
  );
}

/** The field is always there; rkt writes null for an image without a command. */
function writeExec(exec: readonly string[]): Writable {
  return exec.length === 0 ? null : exec;
}

function writeMountPoint({ name, path, readOnly }: MountPoint): Writable {
  return ordered(["name", name], ["path", path], ["readOnly", readOnly || undefined]);
}

export function writePort({ name, protocol, port, count, socketActivated }: Port): Writable {
  return ordered(
    ["name", name],
    ["protocol", protocol],
    ["port", port],
    ["count", count],
    ["socketActivated", socketActivated],
  );
}

export function writeIsolator({ name, value }: Isolator): Writable {
  return ordered(["name", name], ["value", value]);
}
