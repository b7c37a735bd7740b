/** Reads the binary raw file that ngspice writes: a text header, then float64 values point by point. */

export interface Vector {
  readonly name: string;
  /** `voltage`, `current`, `time`, `frequency`, …, as the simulator says. */
  readonly type: string;
  readonly real: Float64Array;
  /** Of complex vectors only. */
  readonly imaginary?: Float64Array;
}

export interface RawPlot {
  /** `Transient Analysis`, `AC Analysis`, … */
  readonly name: string;
  readonly points: number;
  /** The sweep variable first. */
  readonly vectors: readonly Vector[];
}

/** @throws Error when the bytes are no raw file. */
export function readRawFile(bytes: Uint8Array): RawPlot {
  const marker = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf('Binary:\n');
  if (marker < 0) throw new Error('not a binary raw file');
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, marker).toString('utf8');
  const field = (name: string) => new RegExp(`^${name}: *(.*)$`, 'm').exec(header)?.[1]?.trim() ?? '';
  const isComplex = field('Flags').includes('complex');
  const points = Number(field('No. Points'));
  const names = header
    .slice(header.indexOf('\nVariables:') + '\nVariables:'.length)
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([index, name]) => index !== undefined && /^\d+$/.test(index) && name !== undefined);
  const values = new DataView(bytes.buffer, bytes.byteOffset + marker + 'Binary:\n'.length);
  const width = isComplex ? 16 : 8;
  if (names.length !== Number(field('No. Variables')) || values.byteLength < points * names.length * width) {
    throw new Error('the raw file is not whole');
  }
  const stride = names.length * width;
  // Read when first asked for: of a large result only the drawn vectors are, and the rest would double the memory.
  const column = (first: number) => {
    let read: Float64Array | undefined;
    return () => {
      if (read) return read;
      read = new Float64Array(points);
      for (let point = 0, at = first; point < points; point++, at += stride) read[point] = values.getFloat64(at, true);
      return read;
    };
  };
  const vectors = names.map(([, name = '', type = ''], index): Vector => {
    const [real, imaginary] = [column(index * width), column(index * width + 8)];
    const vector = {
      name,
      type,
      get real() {
        return real();
      },
    };
    // The sweep of an AC analysis is stored as a complex number without an imaginary part.
    if (!isComplex || type === 'frequency') return vector;
    return Object.defineProperty(vector, 'imaginary', { get: imaginary, enumerable: true });
  });
  return { name: field('Plotname'), points, vectors };
}
