/** Tables as Go's text/tabwriter makes them (minimum width 0, tab width 8, padding 1, padded with tabs): scripts cut rkt's columns at tabs. */

const TAB_WIDTH = 8;
const PADDING = 1;

/**
 * Lays out `rows`, one line each with a final newline; "" for no rows. The last cell of a row belongs to no column, and a column reaches only over
 * adjacent rows that have it (text/tabwriter, "The Writer").
 */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = rows.map(() => [] as number[]);
  measure(rows, widths, 0, 0, rows.length);
  return rows
    .map((row, index) => `${row.map((cell, column) => padded(cell, widths[index]?.[column])).join("")}\n`)
    .join("");
}

/** Finds the blocks of adjacent rows in [from, to) that have a cell in `column` which is not their last, and notes each block's width. */
function measure(
  rows: readonly (readonly string[])[],
  widths: number[][],
  column: number,
  from: number,
  to: number,
): void {
  for (let start = from; start < to; start++) {
    if (!hasColumn(rows[start], column)) continue;
    let end = start;
    let width = 0;
    for (; end < to && hasColumn(rows[end], column); end++) {
      width = Math.max(width, cellWidth(rows[end]?.[column] ?? "") + PADDING);
    }
    for (let row = start; row < end; row++) widths[row]?.push(width);
    measure(rows, widths, column + 1, start, end);
    start = end;
  }
}

function hasColumn(row: readonly string[] | undefined, column: number): boolean {
  return row !== undefined && column < row.length - 1;
}

function padded(cell: string, width: number | undefined): string {
  if (width === undefined) return cell;
  const tabs = Math.ceil((roundUp(width) - cellWidth(cell)) / TAB_WIDTH);
  return cell + "\t".repeat(tabs);
}

function roundUp(width: number): number {
  return Math.ceil(width / TAB_WIDTH) * TAB_WIDTH;
}

/** Characters, as Go counts them (code points). */
function cellWidth(cell: string): number {
  return [...cell].length;
}
