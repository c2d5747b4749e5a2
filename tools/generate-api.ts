/** Makes src/services/v1alpha.ts, tables of messages, from v1alpha.proto. Run by hand when the file changes; a test compares the two. */

import { readFileSync, writeFileSync } from "node:fs";

const SCALARS = ["string", "bytes", "bool", "int32", "int64", "sint32"];

/** The text of v1alpha.ts. Pure. */
export function generateApi(proto: string): string {
  const text = proto.replace(/\/\/.*$/gm, "");
  const enums = [...text.matchAll(/enum (\w+) \{([^}]*)\}/g)].map(([, name = "", body = ""]) => {
    const values = [...body.matchAll(/(\w+) = (\d+);/g)].map(([, value, number]) => `  ${value}: ${number},`);
    return { name, text: `export const ${name} = {\n${values.join("\n")}\n} as const;\n` };
  });
  const messages = [...text.matchAll(/message (\w+) \{([^}]*)\}/g)].map(([, name = "", body = ""]) => ({
    name,
    fields: [...body.matchAll(/(repeated )?(\w+) (\w+) = (\d+);/g)].map(
      ([, repeated, kind = "", field = "", number]) => ({
        kind,
        text: `    ${field}: { number: ${number}, kind: ${kindOf(kind)}${repeated ? ", repeated: true" : ""} },`,
      }),
    ),
  }));
  const kindNames = new Set(enums.map(({ name }) => name));
  function kindOf(kind: string): string {
    if (SCALARS.includes(kind)) return `"${kind}"`;
    return enums.some(({ name }) => name === kind) ? '"enum"' : kind;
  }
  const tables: string[] = [];
  const done = new Set<string>();
  // What a message has in it comes before it.
  while (done.size < messages.length) {
    for (const { name, fields } of messages) {
      const ready = fields.every(({ kind }) => SCALARS.includes(kind) || kindNames.has(kind) || done.has(kind));
      if (done.has(name) || !ready) continue;
      done.add(name);
      const body = fields.length === 0 ? "{}" : `{\n${fields.map((field) => field.text).join("\n")}\n  }`;
      tables.push(`export const ${name}: MessageType = {\n  name: "${name}",\n  fields: ${body},\n};\n`);
    }
  }
  return [
    "/** Generated from v1alpha.proto by tools/generate-api.ts: not edited by hand. */\n",
    'import type { MessageType } from "./protobuf.ts";\n',
    ...enums.map((one) => one.text),
    ...tables,
  ].join("\n");
}

if (import.meta.main)
  writeFileSync("src/services/v1alpha.ts", generateApi(readFileSync("src/services/v1alpha.proto", "utf8")));
