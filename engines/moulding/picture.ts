/** Draws when each place of a plate was filled: bands of equal time, isochrones between them, the gates, and a legend in s. */
import type { Filling } from './filling';
import type { Mould } from './mould';

/** The picture as SVG text. */
export function drawFillTime(mould: Mould, filling: Filling, heading: string): string {
  const [width, height] = [mould.columns * mould.dx, mould.rows * mould.dy];
  const scale = Math.min(PLATE_WIDTH / width, PLATE_HEIGHT / height);
  const [wide, high] = [width * scale, height * scale];
  const last = filling.time;
  const total = { width: Math.max(LEFT + wide + LEGEND, 640), height: TOP + high + BOTTOM };
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${rounded(total.width)} ${rounded(total.height)}" width="${rounded(total.width)}" height="${rounded(total.height)}" font-family="Helvetica, Arial, sans-serif" font-size="13">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="28" font-size="17" font-weight="bold" fill="#1b2733">${escaped(mould.title)}: fill time</text>`,
    `<text x="${LEFT}" y="48" fill="#5b6b7a">${escaped(heading)}</text>`,
    `<g transform="translate(${LEFT} ${TOP})">`,
    ...drawBands(mould, filling, scale),
    ...drawIsochrones(mould, filling, scale),
    `<rect width="${rounded(wide)}" height="${rounded(high)}" fill="none" stroke="#1b2733" stroke-width="1.5"/>`,
    ...drawRulers(width, height, scale),
    ...mould.gatePlaces.map(({ x, y }) => marker(x * scale, high - y * scale)),
    '</g>',
    ...drawLegend(last, filling.shortShot !== null, LEFT + wide + 40),
    '</svg>\n',
  ];
  return parts.join('\n');
}

const PLATE_WIDTH = 720;
const PLATE_HEIGHT = 520;
const LEFT = 64;
const TOP = 72;
const BOTTOM = 60;
const LEGEND = 190;
/** From early to late, told apart also by people who see few colours and in black and white. */
const BANDS = [
  '#fde725',
  '#b5de2b',
  '#6ece58',
  '#35b779',
  '#1f9e89',
  '#26828e',
  '#31688e',
  '#3e4989',
  '#482878',
  '#440154',
];
const UNFILLED = '#d9d9d9';
const HOLE = '#ffffff';

/** Runs of cells of one colour in a row are one rectangle. */
function drawBands({ columns, rows, stride, dx, dy, thickness }: Mould, filling: Filling, scale: number): string[] {
  const colorAt = (cell: number) => {
    const time = filling.filledAt[cell] as number;
    if (thickness[cell] === 0) return HOLE;
    if (Number.isNaN(time)) return UNFILLED;
    return BANDS[Math.min(BANDS.length - 1, Math.floor((time / filling.time) * BANDS.length))] as string;
  };
  const parts: string[] = ['<g shape-rendering="crispEdges">'];
  for (let row = 0; row < rows; row++) {
    for (let from = 0, to = 0; from < columns; from = to) {
      const color = colorAt((row + 1) * stride + from + 1);
      for (to = from + 1; to < columns && colorAt((row + 1) * stride + to + 1) === color; ) to++;
      const place = `x="${rounded(from * dx * scale)}" y="${rounded((rows - row - 1) * dy * scale)}"`;
      parts.push(
        `<rect ${place} width="${rounded((to - from) * dx * scale)}" height="${rounded(dy * scale)}" fill="${color}"/>`,
      );
    }
  }
  return [...parts, '</g>'];
}

/** Lines of equal time between the centres of cells, by marching squares. */
function drawIsochrones({ columns, rows, stride, dx, dy }: Mould, filling: Filling, scale: number): string[] {
  const lines: string[] = [];
  for (let band = 1; band < BANDS.length; band++) {
    const level = (filling.time * band) / BANDS.length;
    for (let row = 0; row < rows - 1; row++) {
      for (let column = 0; column < columns - 1; column++) {
        const corner = (right: number, up: number) => ({
          x: (column + right + 0.5) * dx * scale,
          y: (rows - row - up - 0.5) * dy * scale,
          time: filling.filledAt[(row + up + 1) * stride + column + right + 1] as number,
        });
        const around = [corner(0, 0), corner(1, 0), corner(1, 1), corner(0, 1)];
        const crossings = around.flatMap((one, index) => {
          const other = around[(index + 1) % 4] as typeof one;
          if (!(one.time < level !== other.time < level) || Number.isNaN(one.time + other.time)) return [];
          const part = (level - one.time) / (other.time - one.time);
          return [`${rounded(one.x + part * (other.x - one.x))} ${rounded(one.y + part * (other.y - one.y))}`];
        });
        for (let index = 0; index + 1 < crossings.length; index += 2)
          lines.push(`M${crossings[index]}L${crossings[index + 1]}`);
      }
    }
  }
  return lines.length === 0
    ? []
    : [`<path d="${lines.join('')}" fill="none" stroke="#ffffff" stroke-width="1.2" stroke-opacity="0.85"/>`];
}

function drawRulers(width: number, height: number, scale: number): string[] {
  const parts: string[] = [];
  const bottom = height * scale;
  for (const [value, at] of ticksOf(width * 1e3)) {
    const x = rounded(at * width * scale);
    parts.push(
      `<path d="M${x} ${rounded(bottom)}v6" stroke="#1b2733"/><text x="${x}" y="${rounded(bottom + 21)}" text-anchor="middle">${value}</text>`,
    );
  }
  for (const [value, at] of ticksOf(height * 1e3)) {
    const y = rounded(bottom - at * bottom);
    parts.push(
      `<path d="M0 ${y}h-6" stroke="#1b2733"/><text x="-10" y="${rounded(y + 4)}" text-anchor="end">${value}</text>`,
    );
  }
  parts.push(`<text x="${rounded((width * scale) / 2)}" y="${rounded(bottom + 42)}" text-anchor="middle">mm</text>`);
  return parts;
}

/** Round values from zero up to a length, and where they are on it. */
function ticksOf(length: number): [number, number][] {
  const rough = length / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= rough) ?? rough;
  const count = Math.floor(length / step + 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => [
    Number((index * step).toPrecision(6)),
    (index * step) / length,
  ]);
}

function marker(x: number, y: number): string {
  return `<circle cx="${rounded(x)}" cy="${rounded(y)}" r="8" fill="#d7191c" stroke="#ffffff" stroke-width="2"/><circle cx="${rounded(x)}" cy="${rounded(y)}" r="2.5" fill="#ffffff"/>`;
}

function drawLegend(last: number, isShort: boolean, x: number): string[] {
  const parts = [
    `<g transform="translate(${rounded(x)} ${TOP})">`,
    `<text y="-8" font-weight="bold">filled after, s</text>`,
  ];
  for (const [index, color] of BANDS.entries()) {
    parts.push(`<rect y="${index * 22}" width="22" height="22" fill="${color}"/>`);
    parts.push(
      `<text x="30" y="${index * 22 + 16}">${(last * (index / BANDS.length)).toPrecision(3)} to ${(last * ((index + 1) / BANDS.length)).toPrecision(3)}</text>`,
    );
  }
  let y = BANDS.length * 22 + 24;
  if (isShort) {
    parts.push(
      `<rect y="${y - 16}" width="22" height="22" fill="${UNFILLED}"/><text x="30" y="${y}">not filled</text>`,
    );
    y += 34;
  }
  parts.push(marker(11, y - 4), `<text x="30" y="${y}">gate</text>`, '</g>');
  return parts;
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

function escaped(text: string): string {
  return text.slice(0, 110).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}
