/**
 * Makes `samples/valley.csv`: the ground along a road of about 5.2 km that leaves a plateau, crosses the valley of a brook
 * and climbs over a saddle, surveyed every 20 m or so. `node dist/dev/samples/makeValley.js`.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SEED = 20;
const LENGTH = 5236;

/** The table's text; the same seed gives the same text. */
export function makeValley(seed: number): string {
  const random = randomOf(seed);
  const waves = Array.from({ length: 9 }, (_, index) => ({
    length: 900 / 1.45 ** index,
    height: 3.2 / 1.5 ** index,
    phase: 2 * Math.PI * random(),
  }));
  const groundAt = (chainage: number) => {
    const plateau = 412 - 22 / (1 + Math.exp(-(chainage - 900) / 170));
    const valley = -31 * Math.exp(-(((chainage - 2150) / 520) ** 2));
    const brook = -2.4 * Math.exp(-(((chainage - 2190) / 14) ** 2));
    const saddle = 26 * Math.exp(-(((chainage - 3900) / 560) ** 2));
    const relief = waves.reduce((sum, { length, height, phase }) => {
      return sum + height * Math.sin((2 * Math.PI * chainage) / length + phase);
    }, 0);
    return plateau + valley + brook + saddle + relief;
  };
  const lines = ['chainage,level'];
  for (let chainage = 0; chainage < LENGTH; chainage += 16 + 8 * random()) {
    lines.push(`${chainage.toFixed(2)},${groundAt(chainage).toFixed(2)}`);
  }
  lines.push(`${LENGTH.toFixed(2)},${groundAt(LENGTH).toFixed(2)}`);
  return `${lines.join('\n')}\n`;
}

/** A seeded generator of numbers in [0, 1). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

if (require.main === module) writeFileSync(join('samples', 'valley.csv'), makeValley(SEED));
