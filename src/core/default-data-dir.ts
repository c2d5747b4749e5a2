/** By itself, because the table of global flags names it, which every start loads. */
export const DEFAULT_DATA_DIR = "/var/lib/rkt";
