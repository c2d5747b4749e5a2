/** Horizontal bars as SVG: the length is the median, the thin line reaches from the fastest to the slowest run. Readable on light and dark ground. */

import { median, type Timed } from "./measure.ts";

export interface Chart {
  readonly title: string;
  readonly rows: readonly Timed[];
  readonly unit: "ms" | "s";
}

const WIDTH = 960;
const LABELS = 420;
const BARS = 420;
const ROW = 24;
const FONT = "font-family='system-ui, sans-serif' font-size='13'";

export function drawing(charts: readonly Chart[]): string {
  let top = 10;
  const parts: string[] = [];
  for (const chart of charts) {
    const rows = chart.rows.filter(({ milliseconds }) => milliseconds.length > 0);
    parts.push(`<text x='10' y='${top + 18}' ${FONT} font-weight='bold' fill='#1f2328'>${escaped(chart.title)}</text>`);
    top += 30;
    const longest = Math.max(...rows.map(({ milliseconds }) => Math.max(...milliseconds)));
    for (const row of rows) {
      parts.push(bar(row, chart.unit, BARS / longest, top));
      top += ROW;
    }
    top += 22;
  }
  return [
    `<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 ${WIDTH} ${top}' width='${WIDTH}' height='${top}' role='img'>`,
    "<title>Times of rkt and its peers; less is better</title>",
    `<rect width='${WIDTH}' height='${top}' fill='#ffffff'/>`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}

function bar(row: Timed, unit: Chart["unit"], scale: number, top: number): string {
  const value = median(row.milliseconds);
  const middle = top + ROW / 2;
  const x = (milliseconds: number) => (LABELS + 10 + milliseconds * scale).toFixed(1);
  const colour = row.name.startsWith("rkt ") ? "#0b6e4f" : "#9aa4ae";
  const shown = unit === "s" ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(0)} ms`;
  const [fastest, slowest] = [Math.min(...row.milliseconds), Math.max(...row.milliseconds)];
  return [
    `<text x='${LABELS}' y='${middle + 4}' ${FONT} text-anchor='end' fill='#1f2328'>${escaped(row.name)}</text>`,
    `<rect x='${x(0)}' y='${top + 4}' width='${(value * scale).toFixed(1)}' height='${ROW - 8}' fill='${colour}'/>`,
    `<line x1='${x(fastest)}' x2='${x(slowest)}' y1='${middle}' y2='${middle}' stroke='#1f2328' stroke-width='1'/>`,
    `<text x='${Number(x(slowest)) + 6}' y='${middle + 4}' ${FONT} fill='#1f2328'>${shown}</text>`,
  ].join("\n");
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
