/** What every command and library step shares: where things are, what the operator allowed, how to tell. Made once, by the command-line frame. */

import type { DataDir } from "./data-dir.ts";
import type { Dialog } from "./dialog.ts";
import type { Emit } from "./events.ts";
import type { InsecureOptions } from "./insecure-options.ts";

export interface Engine {
  readonly dataDir: DataDir;
  readonly systemConfigDir: string;
  readonly localConfigDir: string;
  /** "" when not given. */
  readonly userConfigDir: string;
  readonly insecure: InsecureOptions;
  readonly trustKeysFromHttps: boolean;
  readonly debug: boolean;
  readonly emit: Emit;
  readonly dialog: Dialog;
}
