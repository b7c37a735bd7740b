/**
 * The random numbers of one pixel: a pure function of picture position, frame, sample and dimension, so that an image
 * does not depend on which thread renders it. The first dimensions are a Sobol sequence, scrambled and shuffled by
 * hashing (Burley 2020): with 8 samples a pixel it leaves clearly less noise than independent numbers.
 */
export class Chance {
  private seed = 0;
  private sample = 0;
  private dimension = 0;
  /** The pair that {@link Chance.next} drew, each in [0, 1). */
  u = 0;
  v = 0;

  start(x: number, y: number, frame: number, sample: number): void {
    this.seed = hash(x ^ hash(y ^ hash(frame + 0x51633e2d)));
    this.sample = sample;
    this.dimension = 0;
  }

  next(): void {
    const seed = hash(this.seed ^ Math.imul(++this.dimension, 0x9e3779b1));
    if (this.dimension > STRATIFIED_PAIRS_MAX) {
      const mixed = hash(seed ^ Math.imul(this.sample + 1, 0x85ebca6b));
      this.u = fraction(mixed);
      this.v = fraction(hash(mixed ^ 0x68bc21eb));
      return;
    }
    const index = scramble(this.sample, seed) & 1023;
    this.u = fraction(scramble(reverse(index), hash(seed ^ 0x2c1b3c6d)));
    this.v = fraction(scramble(secondDimension(index), hash(seed ^ 0x297a2d39)));
  }
}

const STRATIFIED_PAIRS_MAX = 10;

function fraction(bits: number): number {
  return (bits >>> 0) / 4294967296;
}

/** A 32-bit integer hash with good avalanche. */
function hash(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return x ^ (x >>> 15);
}

/** Owen scrambling of a 32-bit fraction: a bit is flipped depending on the more significant bits only. */
function scramble(bits: number, seed: number): number {
  let x = reverse(bits);
  x = (x + seed) | 0;
  x ^= Math.imul(x, 0x6c50b47c);
  x ^= Math.imul(x, 0xb82f1e52);
  x ^= Math.imul(x, 0xc7afe638);
  x ^= Math.imul(x, 0x8d22f6e6);
  return reverse(x);
}

function reverse(bits: number): number {
  let x = bits;
  x = ((x >>> 1) & 0x55555555) | ((x & 0x55555555) << 1);
  x = ((x >>> 2) & 0x33333333) | ((x & 0x33333333) << 2);
  x = ((x >>> 4) & 0x0f0f0f0f) | ((x & 0x0f0f0f0f) << 4);
  x = ((x >>> 8) & 0x00ff00ff) | ((x & 0x00ff00ff) << 8);
  return (x >>> 16) | (x << 16);
}

/** The second Sobol dimension, whose direction numbers are the rows of Pascal's triangle modulo 2. */
function secondDimension(index: number): number {
  let result = 0;
  let direction = 0x80000000;
  for (let rest = index; rest !== 0; rest >>>= 1) {
    if (rest & 1) result ^= direction;
    direction ^= direction >>> 1;
  }
  return result;
}
