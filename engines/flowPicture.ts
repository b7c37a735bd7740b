/** Draws a flow as a picture that needs nothing but itself: speed as colour, streamlines, axes and a legend with units. */
import { PNG } from 'pngjs';
import { type FlowField, speedMax, velocityAt } from './flowField';
import { streamlinesOf } from './streamlines';

/** The picture as SVG text. */
export function drawFlow(title: string, remark: string, field: FlowField): string {
  const scale = Math.min(PLOT_WIDTH / field.width, PLOT_HEIGHT / field.height);
  const width = field.width * scale;
  const height = field.height * scale;
  const total = { width: Math.max(LEFT + width + RIGHT, 560), height: TOP + height + BOTTOM };
  const fastest = speedMax(field);
  const at = (x: number, y: number): [number, number] => [
    LEFT + (x - field.left) * scale,
    TOP + height - (y - field.bottom) * scale,
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${tenth(total.width)} ${tenth(total.height)}" width="${tenth(total.width)}" height="${tenth(total.height)}" font-family="Helvetica, Arial, sans-serif" font-size="13">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="28" font-size="17" font-weight="bold" fill="${INK}">${escaped(shortened(title, 70))}</text>`,
    `<text x="${LEFT}" y="48" fill="${PALE}">${escaped(shortened(remark, 110))}</text>`,
    `<image x="${LEFT}" y="${TOP}" width="${tenth(width)}" height="${tenth(height)}" preserveAspectRatio="none" href="data:image/png;base64,${colours(field, fastest, width, height)}"/>`,
    ...streamlines(field, at),
    `<rect x="${LEFT}" y="${TOP}" width="${tenth(width)}" height="${tenth(height)}" fill="none" stroke="${INK}"/>`,
    ...axes(field, at, width, height),
    ...legend(fastest, LEFT + width + 30, height),
    '</svg>\n',
  ].join('\n');
}

const PLOT_WIDTH = 860;
const PLOT_HEIGHT = 600;
const LEFT = 76;
const RIGHT = 130;
const TOP = 66;
const BOTTOM = 60;
const INK = '#1b2733';
const PALE = '#5b6b7a';
const WALL = [120, 128, 136] as const;

/** From slow to fast, ever lighter, so that it can be read without seeing colours: the map "viridis" at ten points. */
const COLOURS = [
  [0x44, 0x01, 0x54],
  [0x48, 0x28, 0x78],
  [0x3e, 0x49, 0x89],
  [0x31, 0x68, 0x8e],
  [0x26, 0x82, 0x8e],
  [0x1f, 0x9e, 0x89],
  [0x35, 0xb7, 0x79],
  [0x6e, 0xce, 0x58],
  [0xb5, 0xde, 0x2b],
  [0xfd, 0xe7, 0x25],
] as const;

function colourOf(fraction: number): readonly [number, number, number] {
  const place = Math.min(Math.max(fraction, 0), 1) * (COLOURS.length - 1);
  const lower = Math.min(Math.floor(place), COLOURS.length - 2);
  const from = COLOURS[lower] as readonly number[];
  const to = COLOURS[lower + 1] as readonly number[];
  const mix = (k: number) =>
    Math.round((from[k] as number) + ((to[k] as number) - (from[k] as number)) * (place - lower));
  return [mix(0), mix(1), mix(2)];
}

/** The speed of each pixel as a picture within the picture. */
function colours(field: FlowField, fastest: number, width: number, height: number): string {
  const picture = new PNG({ width: Math.round(width), height: Math.round(height) });
  for (let row = 0; row < picture.height; row++) {
    for (let column = 0; column < picture.width; column++) {
      const x = field.left + ((column + 0.5) / picture.width) * field.width;
      const y = field.bottom + (1 - (row + 0.5) / picture.height) * field.height;
      const velocity = velocityAt(field, x, y);
      const colour = velocity ? colourOf(Math.hypot(...velocity) / fastest) : WALL;
      picture.data.set([...colour, 255], (row * picture.width + column) * 4);
    }
  }
  return PNG.sync.write(picture).toString('base64');
}

function streamlines(field: FlowField, at: (x: number, y: number) => [number, number]): string[] {
  const parts = ['<g fill="none" stroke="#ffffff" stroke-opacity="0.85" stroke-width="1.1">'];
  for (const line of streamlinesOf(field)) {
    const points = line.map(([x, y]) => at(x, y));
    parts.push(`<polyline points="${points.map(([x, y]) => `${tenth(x)},${tenth(y)}`).join(' ')}"/>`);
    const middle = Math.floor(points.length / 2);
    const [x, y] = points[middle] as [number, number];
    const [fromX, fromY] = points[middle - 1] as [number, number];
    const turn = (Math.atan2(y - fromY, x - fromX) * 180) / Math.PI;
    parts.push(
      `<path d="M-5,-3.4 L3.5,0 L-5,3.4 Z" transform="translate(${tenth(x)} ${tenth(y)}) rotate(${tenth(turn)})" fill="#ffffff" stroke="none"/>`,
    );
  }
  parts.push('</g>');
  return parts;
}

function axes(
  field: FlowField,
  at: (x: number, y: number) => [number, number],
  width: number,
  height: number,
): string[] {
  const parts: string[] = [];
  for (const x of ticksOf(field.left, field.left + field.width, width / 90)) {
    const [place] = at(x, field.bottom);
    const foot = TOP + height;
    parts.push(
      `<line x1="${tenth(place)}" y1="${tenth(foot)}" x2="${tenth(place)}" y2="${tenth(foot + 5)}" stroke="${INK}"/>`,
    );
    parts.push(
      `<text x="${tenth(place)}" y="${tenth(foot + 20)}" text-anchor="middle" fill="${INK}">${number(x)}</text>`,
    );
  }
  for (const y of ticksOf(field.bottom, field.bottom + field.height, height / 60)) {
    const [, place] = at(field.left, y);
    parts.push(`<line x1="${LEFT - 5}" y1="${tenth(place)}" x2="${LEFT}" y2="${tenth(place)}" stroke="${INK}"/>`);
    parts.push(`<text x="${LEFT - 9}" y="${tenth(place + 4)}" text-anchor="end" fill="${INK}">${number(y)}</text>`);
  }
  parts.push(
    `<text x="${tenth(LEFT + width / 2)}" y="${tenth(TOP + height + 44)}" text-anchor="middle" fill="${INK}">${field.axes[0]} (m)</text>`,
    `<text transform="translate(20 ${tenth(TOP + height / 2)}) rotate(-90)" text-anchor="middle" fill="${INK}">${field.axes[1]} (m)</text>`,
  );
  return parts;
}

function legend(fastest: number, x: number, height: number): string[] {
  const bar = Math.max(Math.min(height - 20, 300), 60);
  const top = TOP + 20;
  const stops = COLOURS.map(([r, g, b], k) => {
    const offset = 1 - k / (COLOURS.length - 1);
    return `<stop offset="${offset.toFixed(4)}" stop-color="rgb(${r},${g},${b})"/>`;
  }).reverse();
  const parts = [
    `<defs><linearGradient id="speed" x1="0" y1="0" x2="0" y2="1">${stops.join('')}</linearGradient></defs>`,
    `<text x="${tenth(x)}" y="${TOP + 8}" fill="${INK}">speed (m/s)</text>`,
    `<rect x="${tenth(x)}" y="${top}" width="18" height="${tenth(bar)}" fill="url(#speed)" stroke="${INK}"/>`,
  ];
  for (const value of ticksOf(0, fastest, bar / 40)) {
    const y = top + bar * (1 - value / fastest);
    parts.push(`<line x1="${tenth(x + 18)}" y1="${tenth(y)}" x2="${tenth(x + 23)}" y2="${tenth(y)}" stroke="${INK}"/>`);
    parts.push(`<text x="${tenth(x + 27)}" y="${tenth(y + 4)}" fill="${INK}">${number(value)}</text>`);
  }
  return parts;
}

/** Round values between two ends: one, two or five times a power of ten apart, about as many as asked for. */
export function ticksOf(low: number, high: number, count: number): number[] {
  const rough = (high - low) / Math.max(count, 1);
  if (!(rough > 0) || !Number.isFinite(rough)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10) * power;
  const ticks: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-6; k++) ticks.push(k * step);
  return ticks;
}

function number(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function tenth(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function shortened(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

/** Text for XML: without the characters that XML cannot hold. */
export function escaped(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cs}]/gu, ' ')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}
