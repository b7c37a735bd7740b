/** Values by the bytes of their text: what comes again and again is made once, without making a string each time. */

const SIZE = 4096;
const MIXED_MAX = 12;

export class Interned<T> {
  private readonly texts: (string | undefined)[] = new Array(SIZE).fill(undefined);
  private readonly values: (T | undefined)[] = new Array(SIZE).fill(undefined);

  /** @param make what is kept for a text; undefined is asked for again. */
  constructor(private readonly make: (text: string) => T | undefined) {}

  /** The value of the text that lies between two indexes. */
  get(bytes: Buffer, from: number, to: number): T | undefined {
    let mixed = to - from;
    // Ids differ at their ends.
    for (let index = Math.max(from, to - MIXED_MAX); index < to; index += 1)
      mixed = (Math.imul(mixed, 31) + (bytes[index] as number)) | 0;
    const slot = (mixed ^ (mixed >>> 13)) & (SIZE - 1);
    const known = this.texts[slot];
    if (known !== undefined && isThere(known, bytes, from, to)) return this.values[slot];
    const text = bytes.toString('utf8', from, to);
    const value = this.make(text);
    this.texts[slot] = value === undefined ? undefined : text;
    this.values[slot] = value;
    return value;
  }
}

/** Whether a text lies between two indexes. Text of other characters than ASCII is never recognised, and made again. */
function isThere(text: string, bytes: Buffer, from: number, to: number): boolean {
  if (text.length !== to - from) return false;
  for (let index = 0; index < text.length; index += 1) {
    if (text.charCodeAt(index) !== bytes[from + index]) return false;
  }
  return true;
}
