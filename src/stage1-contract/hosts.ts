/** What every hosts file of a pod begins with: stage0 writes it before the entries of `--hosts-entry`, a stage1 where an image has no such file. */

export const LOCAL_HOSTS = `127.0.0.1\tlocalhost localhost.localdomain localhost4 localhost4.localdomain4
::1\tlocalhost localhost.localdomain localhost6 localhost6.localdomain6 ip6-localhost ip6-loopback
`;

/** With the pod's name on the line of 127.0.0.1, so that a program in it finds the machine it is on (rkt 1.x, AddHostsEntry). */
export function withOwnName(hosts: string, hostname: string): string {
  const lines = hosts.split("\n");
  const local = lines.findIndex((line) => line.trim().split(/\s+/)[0] === "127.0.0.1");
  if (local < 0) return `127.0.0.1\t${hostname}\n${hosts}`;
  return lines.map((line, index) => (index === local ? `${line} ${hostname}` : line)).join("\n");
}
