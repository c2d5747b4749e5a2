import { describe, expect, test } from "bun:test";
import { MNT_DETACH, UMOUNT_NOFOLLOW } from "../host/constants.ts";
import { type MountEntry, parseMountInfo } from "../host/mount-info.ts";
import { recordingHost } from "../host/recording.ts";
import { unmountPod } from "./unmount.ts";

const POD = "/d/pods/run/6733c088-a507-4694-aabf-eae9a4d0a1b9";
const mountsAt = (...points: string[]): MountEntry[] =>
  parseMountInfo(points.map((point, i) => `${i + 2} 1 0:${i} / ${point} rw - overlay overlay rw`).join("\n"));

/** A table that loses a mount with every umount that the host accepts. */
function table(...points: string[]) {
  const recording = recordingHost();
  const parents = new Map<number, string>();
  let next = 100;
  const left = [...points];
  const unmounts: string[] = [];
  const order: string[] = [];
  const host = new Proxy(recording.host, {
    get(target, name, receiver) {
      if (name === "openat2")
        return (_dir: number, path: string) => {
          parents.set(++next, path);
          return next;
        };
      if (name === "umount" || name === "mount")
        return (...args: unknown[]) => {
          const via = String(name === "umount" ? args[0] : args[1]);
          order.push(String(name));
          Reflect.apply(Reflect.get(target, name, receiver), undefined, args);
          if (name === "umount") {
            const [, fd, base] = /fd\/(\d+)\/(.*)/.exec(via) ?? [];
            unmounts.push(`${parents.get(Number(fd))}/${base} ${Number(args[1])}`);
            const point = `/d/pods/run/${parents.get(Number(fd))}/${base}`.replace("/./", "/");
            left.splice(left.lastIndexOf(point), 1);
          }
        };
      return Reflect.get(target, name, receiver);
    },
  });
  return { host, recording, unmounts, order, mounts: () => mountsAt("/", "/d", `${POD}-other/x`, ...left) };
}

describe("unmountPod", () => {
  const uuid = POD.slice(-36);

  test("innermost first, by the parent's descriptor, without following links; others' mounts stay", () => {
    const t = table(`${POD}/stage1/rootfs`, `${POD}/stage1/rootfs/opt/stage2/a/rootfs`, POD);
    expect(unmountPod(t.host, POD, t.mounts)).toEqual([]);
    expect(t.unmounts).toEqual([
      `./${uuid} ${UMOUNT_NOFOLLOW}`,
      `${uuid}/stage1/rootfs/opt/stage2/a/rootfs ${UMOUNT_NOFOLLOW}`,
      `${uuid}/stage1/rootfs ${UMOUNT_NOFOLLOW}`,
    ]);
  });

  test("all are made private before the first goes", () => {
    const t = table(`${POD}/dev`, `${POD}/dev/pts`);
    unmountPod(t.host, POD, t.mounts);
    expect(t.order).toEqual(["mount", "mount", "umount", "umount"]);
  });

  test("stacked mounts one after the other", () => {
    const t = table(`${POD}/x`, `${POD}/x`);
    expect(unmountPod(t.host, POD, t.mounts)).toEqual([]);
    expect(t.unmounts).toHaveLength(2);
  });

  test("a busy one is detached after some tries", () => {
    const t = table(`${POD}/x`);
    t.recording.fail("umount", 16, 3);
    expect(unmountPod(t.host, POD, t.mounts)).toEqual([]);
    expect(t.unmounts).toEqual([`${uuid}/x ${UMOUNT_NOFOLLOW | MNT_DETACH}`]);
  });

  test("what cannot be unmounted is given back", () => {
    const t = table(`${POD}/x`);
    t.recording.fail("umount", 16, 1000);
    expect(unmountPod(t.host, POD, t.mounts)).toEqual([`${POD}/x`]);
  });

  test("a missing right is an error", () => {
    const t = table(`${POD}/x`);
    t.recording.fail("umount", 1, 1000);
    expect(() => unmountPod(t.host, POD, t.mounts)).toThrow("EPERM");
  });
});
