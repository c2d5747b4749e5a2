/** Messages to the service manager that started rkt (sd_notify(3)): one datagram to the socket that NOTIFY_SOCKET names. */

import { ptr } from "bun:ffi";
import { O } from "./constants.ts";
import { libc, SYS } from "./libc.ts";

const [AF_UNIX, SOCK_DGRAM, MSG_DONTWAIT, MSG_NOSIGNAL] = [1, 2, 0x40, 0x4000];
/** struct sockaddr_un, unix(7). */
const LONGEST_PATH = 107;

/**
 * Sends `text` to `socket` (NOTIFY_SOCKET: a path, or "@" and a name in the abstract namespace). False when nobody takes it: a service manager that is gone or busy is
 * no reason to stop. Sound: the buffers live until the calls, which are synchronous and do not wait, have returned.
 */
export function notifyManager(socket: string, text: string): boolean {
  const name = Buffer.from(socket.startsWith("@") ? `\0${socket.slice(1)}` : socket, "utf8");
  if (!/^[/@]/.test(socket) || name.length > LONGEST_PATH) return false;
  // A path ends with a NUL; the name of an abstract socket is as long as its address says.
  const address = Buffer.concat([Buffer.alloc(2), name, Buffer.alloc(socket.startsWith("@") ? 0 : 1)]);
  address.writeUInt16LE(AF_UNIX, 0);
  const message = Buffer.from(text, "utf8");
  const fd = Number(libc.syscall(SYS.socket, AF_UNIX, SOCK_DGRAM | O.CLOEXEC, 0, 0, 0, 0));
  if (fd < 0) return false;
  try {
    const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const sent = libc.syscall(SYS.sendto, fd, ptr(message), message.length, flags, ptr(address), address.length);
    return Number(sent) === message.length;
  } finally {
    libc.close(fd);
  }
}
