/** A hard link needs its target in the same layer: what lies below is copied up first, as an overlay does. */

import { RktError } from "../../core/errors.ts";
import { AT, type FileStatus, O, S } from "../../host/mod.ts";
import { attributesOf, setAttributes, setAttributesAt } from "../attributes.ts";
import { pathIn } from "../below.ts";
import { copyContent } from "../copy-content.ts";
import { type ByteString, shown, toBytes } from "../tar/bytes.ts";
import { type DeviceList, deviceOf, noteDevice } from "./devices.ts";
import { last, pathOf, type Walk } from "./walk.ts";

/** Copies `name`, found in layer `from.layer`, into the chain's last directory, which is in the layer already. */
export function copyUp(
  walk: Walk,
  devices: DeviceList,
  name: ByteString,
  from: { readonly layer: number; readonly status: FileStatus },
): void {
  const { host } = walk;
  const lower = walk.lowers.layers()[from.layer];
  if (lower === undefined) return;
  walk.implicit.add(pathOf(walk, name));
  const directory = last(walk);
  const path = toBytes(pathOf(walk, name));
  const bytes = toBytes(name);
  const attributes = attributesOf(host, pathIn(lower, path), from.status);
  directory.changed = true;
  const exclusive = O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC;
  switch (from.status.mode & S.IFMT) {
    case S.IFREG: {
      const source = host.openat(lower.fd, path, O.RDONLY | O.NOFOLLOW | O.NONBLOCK | O.CLOEXEC, 0);
      const copy = host.openat(directory.fd, bytes, exclusive, 0o600);
      copyContent(host, source, copy, from.status.size);
      setAttributes(host, copy, attributes);
      walk.contents.delete(host.statat(copy, "", AT.EMPTY_PATH).ino);
      host.close(copy);
      host.close(source);
      return;
    }
    case S.IFLNK:
      host.symlinkat(host.readlinkat(lower.fd, path), directory.fd, bytes);
      break;
    case S.IFIFO:
      host.mknodat(directory.fd, bytes, S.IFIFO | attributes.mode, { major: 0, minor: 0 });
      break;
    case S.IFCHR:
    case S.IFBLK:
      host.close(host.openat(directory.fd, bytes, exclusive, 0));
      noteDevice(devices, walk, pathOf(walk, name), deviceOf(from.status, attributes));
      return;
    default:
      throw new RktError("INVALID_INPUT", `Cannot link to ${shown(pathOf(walk, name))}: it is a socket`);
  }
  setAttributesAt(host, directory.fd, bytes, attributes);
}
