/**
 * Fetches the Debian packages of the nspawn image and unpacks them. apt checks the archive's signatures against Debian's own keyring in a state directory of its
 * own, whatever the building host is and trusts; only the address of a mirror is taken from the host.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

export interface PackageList {
  suites: { main: string[]; security: string[] };
  /** A package that depends on the kernel's newest one. Only for x86-64, as the kvm image is. */
  kernel: string;
  packages: string[];
  programs: string[];
}

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Debian's name of this machine's architecture. */
export const DEBIAN_ARCH = process.arch === "arm64" ? "arm64" : "amd64";

export interface UnpackedPackages {
  root: string;
  /** "name version", sorted. */
  versions: string[];
}

/** Downloads and unpacks `list.packages` below `cacheDir`, once per list; `refresh` asks the mirror again (security updates). */
export function fetchPackages(list: PackageList, cacheDir: string, refresh: boolean): UnpackedPackages {
  const key = createHash("sha256")
    .update(JSON.stringify([list.suites, list.kernel, list.packages, DEBIAN_ARCH]))
    .digest("hex")
    .slice(0, 16);
  const dir = resolve(cacheDir, `stage1-packages-${key}`);
  const versionsFile = join(dir, "versions");
  if (refresh || !existsSync(versionsFile)) {
    const fresh = `${dir}.new`;
    rmSync(fresh, { recursive: true, force: true });
    download(list, fresh);
    unpack(fresh);
    rmSync(dir, { recursive: true, force: true });
    renameSync(fresh, dir);
  }
  return { root: join(dir, "root"), versions: readFileSync(versionsFile, "utf8").trim().split("\n") };
}

function download(list: PackageList, dir: string): void {
  if (!existsSync(KEYRING)) throw new Error(`Cannot check Debian's signatures: ${KEYRING} is missing`);
  const apt = join(dir, "apt");
  const debs = join(dir, "debs");
  for (const path of ["lists/partial", "archives/partial", "etc", "empty"])
    mkdirSync(join(apt, path), { recursive: true });
  mkdirSync(debs, { recursive: true });
  writeFileSync(join(apt, "status"), "");
  writeFileSync(join(apt, "etc/sources.list"), sourcesFor(list));
  const options = [
    `Dir::State=${apt}`,
    `Dir::State::status=${apt}/status`,
    `Dir::State::lists=${apt}/lists`,
    `Dir::Cache=${apt}`,
    `Dir::Cache::archives=${apt}/archives`,
    `Dir::Etc::sourcelist=${apt}/etc/sources.list`,
    `Dir::Etc::sourceparts=${apt}/empty`,
    `Dir::Etc::preferencesparts=${apt}/empty`,
    "Dir::Etc::preferences=/dev/null",
    `Dir::Etc::trusted=/dev/null`,
    `Dir::Etc::trustedparts=${apt}/empty`,
    `APT::Architecture=${DEBIAN_ARCH}`,
    `APT::Architectures=${DEBIAN_ARCH}`,
    // A host may have turned these on for itself; here they would let unsigned programs into every pod.
    "APT::Get::AllowUnauthenticated=false",
    "Acquire::AllowInsecureRepositories=false",
    "Acquire::AllowWeakRepositories=false",
    "Acquire::AllowDowngradeToInsecureRepositories=false",
    "Acquire::Languages=none",
    "APT::Update::Post-Invoke=",
    "APT::Update::Post-Invoke-Success=",
    "APT::Sandbox::User=",
  ].flatMap((option) => ["-o", option]);
  run("apt-get", ["-q", ...options, "update"], debs);
  const kernel = DEBIAN_ARCH === "amd64" ? [newestKernel(list.kernel, options, debs)] : [];
  run(
    "apt-get",
    ["-q", ...options, "download", ...[...list.packages, ...kernel].map((name) => `${name}:${DEBIAN_ARCH}`)],
    debs,
  );
}

/** The kernel's package has its version in its name: what the other one depends on. */
function newestKernel(name: string, options: readonly string[], cwd: string): string {
  const text = run("apt-cache", [...options, "show", "--no-all-versions", name], cwd);
  const kernel = /^Depends:.*?\b(linux-image-[0-9][^\s,]*)/m.exec(text)?.[1];
  if (kernel === undefined) throw new Error(`${name} depends on no kernel`);
  return kernel;
}

/** The host's mirror, as text for sources.list(5). `RKT_STAGE1_MIRROR` (and `…_SECURITY_MIRROR`) name another, where the host is not Debian. */
function sourcesFor(list: PackageList): string {
  const hosts = hostSources();
  const main = process.env.RKT_STAGE1_MIRROR ?? hosts.find((source) => !/security/.test(source.suite))?.uri;
  const security = process.env.RKT_STAGE1_SECURITY_MIRROR ?? hosts.find((source) => /security/.test(source.suite))?.uri;
  if (main === undefined)
    throw new Error("Cannot find a Debian mirror in /etc/apt: set RKT_STAGE1_MIRROR to the address of one");
  const line = (uri: string, suite: string) => `deb [signed-by=${KEYRING}] ${uri} ${suite} main\n`;
  return [
    ...list.suites.main.map((suite) => line(main, suite)),
    ...(security === undefined ? [] : list.suites.security.map((suite) => line(security, suite))),
  ].join("");
}

/** Address and suite of each binary source of a Debian host, in both formats of sources.list(5). */
function hostSources(): { uri: string; suite: string }[] {
  const dir = "/etc/apt/sources.list.d";
  const files = ["/etc/apt/sources.list", ...(existsSync(dir) ? readdirSync(dir).sort() : []).map((n) => join(dir, n))];
  return files
    .filter((file) => existsSync(file) && /\.(list|sources)$/.test(file))
    .flatMap((file) => {
      const text = readFileSync(file, "utf8");
      return file.endsWith(".sources") ? stanzas(text) : oneLiners(text);
    })
    .filter(({ uri }) => /\/debian(-security)?\/?$/.test(uri));
}

function oneLiners(text: string): { uri: string; suite: string }[] {
  return [...text.matchAll(/^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)/gm)].map((match) => ({
    uri: match[1] ?? "",
    suite: match[2] ?? "",
  }));
}

function stanzas(text: string): { uri: string; suite: string }[] {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const field = (name: string) => new RegExp(`^${name}:\\s*(.+)$`, "mi").exec(stanza)?.[1]?.trim().split(/\s+/) ?? [];
    if (!field("Types").includes("deb") || /^Enabled:\s*no/im.test(stanza)) return [];
    return field("URIs").flatMap((uri) => field("Suites").map((suite) => ({ uri, suite })));
  });
}

function unpack(dir: string): void {
  const debs = join(dir, "debs");
  const root = join(dir, "root");
  mkdirSync(root);
  const versions: string[] = [];
  for (const deb of readdirSync(debs).sort()) {
    const file = join(debs, deb);
    versions.push(run("dpkg-deb", ["--show", `--showformat=${"$"}{Package} ${"$"}{Version}`, file], dir));
    run("dpkg-deb", ["--extract", file, root], dir);
  }
  rmSync(join(dir, "apt"), { recursive: true, force: true });
  writeFileSync(join(dir, "versions"), `${versions.sort().join("\n")}\n`);
}

function run(program: string, args: string[], cwd: string): string {
  const result = spawnSync(program, args, { cwd, encoding: "utf8", env: { ...process.env, LC_ALL: "C" } });
  if (result.error !== undefined) throw new Error(`Cannot run ${program}: ${result.error.message}`);
  if (result.status !== 0) throw new Error(`${program} ${args.at(-1)}: status ${result.status}\n${result.stderr}`);
  return result.stdout;
}
