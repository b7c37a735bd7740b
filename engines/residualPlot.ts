/** Draws how a computation settles: residuals over steps, on a scale of powers of ten. */
import { escaped, ticksOf } from './flowPicture';

/** One curve, a value a step; zero and what is not finite is left out. */
export interface ResidualCurve {
  readonly name: string;
  readonly steps: readonly number[];
  readonly values: readonly number[];
}

/** The picture as SVG text, or undefined when there is nothing to draw. */
export function drawResiduals(title: string, label: string, curves: readonly ResidualCurve[]): string | undefined {
  const drawn = curves.map(({ name, steps, values }) => ({
    name,
    points: steps
      .map((step, k) => [step, values[k] ?? 0] as const)
      .filter(([, value]) => value > 0 && Number.isFinite(value))
      .filter((_, k, all) => all.length <= POINTS_MAX || k % Math.ceil(all.length / POINTS_MAX) === 0),
  }));
  const all = drawn.flatMap(({ points }) => points);
  if (all.length < 2) return undefined;
  let [low, high, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1];
  for (const [step, value] of all) {
    low = Math.min(low, Math.floor(Math.log10(value)));
    high = Math.max(high, Math.ceil(Math.log10(value)));
    last = Math.max(last, step);
  }
  if (low === high) high++;
  const x = (step: number) => (LEFT + (step / last) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const y = (power: number) => (TOP + ((high - power) / (high - low)) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="Helvetica, Arial, sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="28" font-size="17" font-weight="bold" fill="${INK}">${escaped(title.slice(0, 80))}</text>`,
  ];
  for (const power of ticksOf(low, high, 9).filter(Number.isInteger)) {
    parts.push(`<line x1="${LEFT}" y1="${y(power)}" x2="${WIDTH - RIGHT}" y2="${y(power)}" stroke="#dde3e8"/>`);
    parts.push(`<text x="${LEFT - 8}" y="${y(power)}" dy="4" text-anchor="end" fill="${INK}">1e${power}</text>`);
  }
  for (const step of ticksOf(0, last, 8)) {
    parts.push(`<text x="${x(step)}" y="${HEIGHT - BOTTOM + 20}" text-anchor="middle" fill="${INK}">${step}</text>`);
  }
  for (const [k, { name, points }] of drawn.entries()) {
    const colour = CURVE_COLOURS[k % CURVE_COLOURS.length] as string;
    const line = points.map(([step, value]) => `${x(step)},${y(Math.log10(value))}`).join(' ');
    parts.push(`<polyline points="${line}" fill="none" stroke="${colour}" stroke-width="1.5"/>`);
    parts.push(
      `<line x1="${WIDTH - RIGHT + 14}" y1="${TOP + 10 + k * 22}" x2="${WIDTH - RIGHT + 34}" y2="${TOP + 10 + k * 22}" stroke="${colour}" stroke-width="3"/>`,
    );
    parts.push(`<text x="${WIDTH - RIGHT + 40}" y="${TOP + 14 + k * 22}" fill="${INK}">${escaped(name)}</text>`);
  }
  parts.push(
    `<rect x="${LEFT}" y="${TOP}" width="${WIDTH - LEFT - RIGHT}" height="${HEIGHT - TOP - BOTTOM}" fill="none" stroke="${INK}"/>`,
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 14}" text-anchor="middle" fill="${INK}">step</text>`,
    `<text transform="translate(18 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle" fill="${INK}">${escaped(label)}</text>`,
    '</svg>\n',
  );
  return parts.join('\n');
}

const WIDTH = 900;
const HEIGHT = 420;
const LEFT = 84;
const RIGHT = 150;
const TOP = 48;
const BOTTOM = 54;
const POINTS_MAX = 1_200;
const INK = '#1b2733';
/** Told apart also by people who see few colours. */
const CURVE_COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#6a4c93', '#4a4a4a'];
