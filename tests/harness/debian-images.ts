/**
 * Real server images, put together from Debian packages with umoci as the official ones are: a base layer, a layer of the program, a configuration with
 * entrypoint, user, ports, volumes. The packages were downloaded by the set-up (tools/test-packages.sh): nothing here touches the network.
 */

import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { runProgram } from "./temporary.ts";

export type DebianImage = "nginx" | "redis" | "python" | "postgres";

/** The tag of every layout made here. */
export const DEBIAN_TAG = "latest";

const CACHE = resolve("build/.cache");

/** Dependencies of packages' installation, which does not happen here; and PostgreSQL's compiler, which it loads only when told to. */
const FOR_MAINTAINER_SCRIPTS =
  /^(adduser|debconf|init-system-helpers|libfile-find-rule-perl|libperl|libtext-glob-perl|perl|usrmerge|postgresql-common|ssl-cert)|^lib(llvm|z3)/;

interface Recipe {
  /** Arguments of `umoci config`. */
  readonly config: readonly string[];
  /** Files on top of the packages', path to text; those below a bin directory, and *.sh, are executable. */
  readonly files: Readonly<Record<string, string>>;
  readonly links: Readonly<Record<string, string>>;
  /** Lines for passwd; the group of the same name and number comes with each. */
  readonly accounts: readonly { name: string; id: number; home: string }[];
  /** Directories and their owners. */
  readonly directories: Readonly<Record<string, number>>;
}

const RECIPES: Record<DebianImage, Recipe> = {
  // As docker.io/library/nginx: starts as root, workers as their own user, logs to the descriptors of the process.
  nginx: {
    config: [
      ...[
        "--config.entrypoint=/docker-entrypoint.sh",
        "--config.cmd=nginx",
        "--config.cmd=-g",
        "--config.cmd=daemon off;",
      ],
      ...["--config.exposedports=80/tcp", "--config.env=NGINX_VERSION=debian"],
    ],
    files: {
      "docker-entrypoint.sh": '#!/bin/sh\nset -e\necho "entrypoint: starting $1"\nexec "$@"\n',
      "etc/nginx/sites-enabled/default":
        "server { listen 80; listen [::]:80; location / { root /usr/share/nginx/html; } location /big { alias /usr/share/nginx/big; } }\n",
      "usr/share/nginx/html/index.html": "<h1>Welcome to nginx!</h1>\n",
      "usr/share/nginx/big": "x".repeat(3_000_000),
    },
    links: { "var/log/nginx/access.log": "/dev/stdout", "var/log/nginx/error.log": "/dev/stderr" },
    accounts: [],
    directories: { "var/lib/nginx": 0 },
  },
  // As docker.io/library/redis: the entrypoint gives up root by itself when it was started with it.
  redis: {
    config: [
      ...["--config.entrypoint=docker-entrypoint.sh", "--config.workingdir=/data", "--config.volume=/data"],
      ...[
        "--config.cmd=redis-server",
        "--config.cmd=--protected-mode",
        "--config.cmd=no",
        "--config.exposedports=6379/tcp",
      ],
    ],
    files: {
      "usr/local/bin/docker-entrypoint.sh": [
        "#!/bin/sh",
        "set -e",
        'if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then',
        "  chown -R redis .",
        '  exec setpriv --reuid=redis --regid=redis --clear-groups -- "$0" "$@"',
        "fi",
        "umask 0077",
        'exec "$@"',
        "",
      ].join("\n"),
    },
    links: {},
    accounts: [{ name: "redis", id: 999, home: "/data" }],
    directories: { data: 999 },
  },
  // A program of one's own on docker.io/library/python: not root, variables, a working directory.
  python: {
    config: [
      ...["--config.cmd=python3", "--config.cmd=server.py", "--config.workingdir=/srv/app", "--config.user=web"],
      ...["--config.exposedports=8000/tcp", "--config.env=PYTHONUNBUFFERED=1", "--config.env=GREETING=hello"],
    ],
    files: {
      // /get?ADDRESS:PORT asks another server, from inside the pod.
      "srv/app/server.py": [
        "import http.server, json, os, signal, sys, urllib.request",
        "class Handler(http.server.BaseHTTPRequestHandler):",
        "    def do_GET(self):",
        "        path, _, query = self.path.partition('?')",
        "        if path == '/get':",
        "            body = urllib.request.urlopen('http://' + query, timeout=10).read()",
        "        else:",
        "            about = dict(greeting=os.environ['GREETING'], uid=os.getuid(), gid=os.getgid(), cwd=os.getcwd())",
        "            body = json.dumps(about).encode()",
        "        self.send_response(200)",
        "        self.send_header('Content-Length', str(len(body)))",
        "        self.end_headers()",
        "        self.wfile.write(body)",
        "signal.signal(signal.SIGTERM, lambda *_: (print('terminated', flush=True), sys.exit(0)))",
        "server = http.server.ThreadingHTTPServer(('', int(os.environ.get('PORT', '8000'))), Handler)",
        "print('serving', flush=True)",
        "server.serve_forever()",
        "",
      ].join("\n"),
    },
    links: {},
    accounts: [{ name: "web", id: 1500, home: "/srv/app" }],
    directories: { "srv/app": 1500 },
  },
  // As docker.io/library/postgres: makes its database at the first start, as a user of its own.
  postgres: {
    config: [
      ...["--config.entrypoint=docker-entrypoint.sh", "--config.cmd=postgres", "--config.user=postgres"],
      ...["--config.env=PGDATA=/var/lib/postgresql/data", "--config.volume=/var/lib/postgresql/data"],
      "--config.exposedports=5432/tcp",
    ],
    files: {
      "usr/local/bin/docker-entrypoint.sh": [
        "#!/bin/sh",
        "set -e",
        "PATH=$(echo /usr/lib/postgresql/*/bin):$PATH",
        'if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then',
        "  initdb --auth=trust --locale=C.UTF-8 --username=postgres --no-sync > /dev/null",
        '  echo "host all all all trust" >> "$PGDATA/pg_hba.conf"',
        "fi",
        'if [ "$1" = postgres ]; then set -- "$@" -c "listen_addresses=*" -c unix_socket_directories=/tmp -c jit=off; fi',
        'exec "$@"',
        "",
      ].join("\n"),
    },
    links: {},
    accounts: [{ name: "postgres", id: 998, home: "/var/lib/postgresql" }],
    directories: { "var/lib/postgresql": 998, "var/lib/postgresql/data": 998 },
  },
};

/** Path of an OCI layout with the image (tag {@link DEBIAN_TAG}); made once per set of packages. Throws when the set-up did not run. */
export function debianImage(image: DebianImage): string {
  const recipe = RECIPES[image];
  const base = packagesOf("base");
  const own = packagesOf(image).filter((deb) => !base.includes(deb) && !FOR_MAINTAINER_SCRIPTS.test(deb));
  return cached(image, [base, own, recipe], (work, layout) => {
    runProgram(["cp", "-a", baseLayout(base), layout]);
    const tree = join(work, "tree");
    unpack(image, own, tree);
    writeAccounts(tree, recipe);
    addFiles(tree, recipe);
    umoci("insert", "--image", `${layout}:${DEBIAN_TAG}`, tree, "/");
    umoci("config", "--image", `${layout}:${DEBIAN_TAG}`, ...recipe.config);
    umoci("gc", "--layout", layout);
  });
}

/** One layer, the same in all images. */
function baseLayout(debs: readonly string[]): string {
  return cached("base", debs, (work, layout) => {
    const tree = join(work, "tree");
    unpack("base", debs, tree);
    umoci("init", "--layout", layout);
    umoci("new", "--image", `${layout}:${DEBIAN_TAG}`);
    umoci("insert", "--image", `${layout}:${DEBIAN_TAG}`, tree, "/");
  });
}

function cached(name: string, inputs: unknown, make: (work: string, layout: string) => void): string {
  const key = createHash("sha256").update(JSON.stringify(inputs)).digest("hex").slice(0, 16);
  const layout = join(CACHE, "test-images", `${name}-${key}`);
  if (existsSync(layout)) return layout;
  const work = `${layout}.${process.pid}`;
  mkdirSync(work, { recursive: true });
  try {
    make(work, join(work, "layout"));
    renameSync(join(work, "layout"), layout);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return layout;
}

function packagesOf(name: string): string[] {
  const directory = join(CACHE, "test-packages", name);
  if (!existsSync(join(directory, "complete"))) throw new Error(`no packages in ${directory}: run tools/setup.sh test`);
  return readdirSync(directory)
    .filter((file) => file.endsWith(".deb"))
    .sort();
}

/** Unpacked only: maintainer scripts are for hosts. */
function unpack(name: string, debs: readonly string[], root: string): void {
  for (const directory of ["bin", "sbin", "lib", "lib64"]) {
    mkdirSync(join(root, "usr", directory), { recursive: true });
    symlinkSync(`usr/${directory}`, join(root, directory));
  }
  for (const deb of debs) {
    const file = join(CACHE, "test-packages", name, deb);
    runProgram([
      "sh",
      "-ec",
      'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"',
      "sh",
      file,
      root,
    ]);
  }
  // Manuals are most of the files and nobody's business.
  for (const path of ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl"])
    rmSync(join(root, path), { recursive: true, force: true });
}

/** Debian's own accounts (base-passwd makes them when it is configured), and the program's. */
function writeAccounts(root: string, { accounts }: Recipe): void {
  mkdirSync(join(root, "etc"), { recursive: true });
  for (const kind of ["passwd", "group"]) {
    const master = `./usr/share/base-passwd/${kind}.master`;
    const text = runProgram(["sh", "-ec", 'dpkg-deb --fsys-tarfile "$1" | tar -xO "$2"', "sh", basePasswd(), master]);
    writeFileSync(join(root, "etc", kind), text);
  }
  for (const { name, id, home } of accounts) {
    appendFileSync(join(root, "etc/passwd"), `${name}:x:${id}:${id}::${home}:/usr/sbin/nologin\n`);
    appendFileSync(join(root, "etc/group"), `${name}:x:${id}:\n`);
  }
}

function basePasswd(): string {
  const deb = packagesOf("base").find((file) => file.startsWith("base-passwd_")) ?? "";
  return join(CACHE, "test-packages/base", deb);
}

function addFiles(root: string, recipe: Recipe): void {
  for (const [path, text] of Object.entries(recipe.files)) {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    if (/bin\/|\.sh$/.test(path)) chmodSync(file, 0o755);
  }
  for (const [path, target] of Object.entries(recipe.links)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    rmSync(join(root, path), { force: true });
    symlinkSync(target, join(root, path));
  }
  for (const [path, owner] of Object.entries(recipe.directories)) {
    mkdirSync(join(root, path), { recursive: true });
    chownSync(join(root, path), owner, owner);
  }
}

function umoci(...args: string[]): void {
  runProgram(["umoci", ...args]);
}
