/** How far an analysis is, from the raw file that ngspice writes point by point. */
import { closeSync, readSync } from 'node:fs';
import { openWorkFile } from '../workFile';

export interface RawProgress {
  readonly points: number;
  /** The sweep variable of the last point; undefined before the first one. */
  readonly reached: number | undefined;
}

const HEADER_BYTES_MAX = 256 * 1024;

/** What is on disk; nothing before the header is. */
export function readRawProgress(name: string): RawProgress | undefined {
  const opened = openWorkFile(name);
  if (!opened) return undefined;
  try {
    const head = Buffer.alloc(Math.min(opened.size, HEADER_BYTES_MAX));
    readSync(opened.file, head, 0, head.length, 0);
    const binary = head.indexOf('Binary:\n');
    if (binary < 0) return undefined;
    const header = head.toString('latin1', 0, binary);
    const variables = Number(/^No\. Variables: *(\d+)/m.exec(header)?.[1] ?? 0);
    const width = variables * (/^Flags:.*complex/m.test(header) ? 16 : 8);
    const from = binary + 'Binary:\n'.length;
    const points = width > 0 ? Math.floor((opened.size - from) / width) : 0;
    if (points === 0) return { points, reached: undefined };
    const last = Buffer.alloc(8);
    readSync(opened.file, last, 0, 8, from + (points - 1) * width);
    return { points, reached: last.readDoubleLE(0) };
  } finally {
    closeSync(opened.file);
  }
}
