/** Results as comma-separated tables, numbers in full. */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import type { RawPlot, Vector } from './rawfile';

/**
 * Writes a table: of a sweep one line a point, the sweep variable first and complex vectors in two columns; of an
 * analysis with one point, one line a vector.
 */
export async function writeTable(path: string, plot: RawPlot, vectors: readonly Vector[]): Promise<void> {
  const file = createWriteStream(path);
  const done = finished(file);
  for (const lines of plot.points > 1 ? byPoint(plot.points, vectors) : byVector(vectors)) {
    // Waiting lets reports out and SIGTERM in, however long the table is.
    if (!file.write(lines)) await once(file, 'drain');
  }
  file.end();
  await done;
}

function* byPoint(points: number, vectors: readonly Vector[]): Generator<string> {
  const columns = vectors.flatMap(({ name, real, imaginary }) =>
    imaginary
      ? [
          { title: `${name} real`, values: real },
          { title: `${name} imaginary`, values: imaginary },
        ]
      : [{ title: name, values: real }],
  );
  yield `${columns.map(({ title }) => quoted(title)).join(',')}\n`;
  for (let from = 0; from < points; from += LINES_AT_ONCE) {
    let lines = '';
    for (let point = from; point < Math.min(from + LINES_AT_ONCE, points); point++) {
      lines += `${columns.map(({ values }) => values[point]).join(',')}\n`;
    }
    yield lines;
  }
}

function* byVector(vectors: readonly Vector[]): Generator<string> {
  const isComplex = vectors.some(({ imaginary }) => imaginary);
  yield isComplex ? 'vector,real,imaginary\n' : 'vector,value\n';
  for (const { name, real, imaginary } of vectors) {
    yield `${[quoted(name), real[0], ...(isComplex ? [imaginary?.[0] ?? 0] : [])].join(',')}\n`;
  }
}

const LINES_AT_ONCE = 200;

/** Names come from the netlist, and spreadsheets run what looks like a formula. */
function quoted(text: string): string {
  const safe = /^[=+@-]/.test(text) ? `'${text}` : text;
  return /[",\n']/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
