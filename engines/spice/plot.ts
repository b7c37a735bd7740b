/** Draws waveforms as a picture that needs nothing but itself: axes with units, at most eight traces, a legend. */
import type { RawPlot, Vector } from './rawfile';

/** The picture as SVG text, or undefined when there is nothing to draw. `vectors` are the traces, sweep left out. */
export function drawPlot(title: string, plot: RawPlot, vectors: readonly Vector[]): string | undefined {
  const sweep = plot.vectors[0];
  if (!sweep || plot.points < 2 || vectors.length === 0) return undefined;
  const x = axisOf(sweep);
  const panels = panelsOf(vectors.slice(0, TRACES_MAX));
  const height = TOP + panels.length * (PANEL_HEIGHT + PANEL_GAP) + BOTTOM - PANEL_GAP;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="Helvetica, Arial, sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="28" font-size="17" font-weight="bold" fill="#1b2733">${escaped(shortened(title, 80))}</text>`,
    `<text x="${LEFT}" y="48" fill="#5b6b7a">${escaped(plot.name)}, ${plot.points.toLocaleString('en')} points</text>`,
  ];
  const across = scaleOf(sweep.real, x.isLog, LEFT, WIDTH - RIGHT);
  for (const [index, panel] of panels.entries()) {
    const top = TOP + index * (PANEL_HEIGHT + PANEL_GAP);
    parts.push(drawPanel(panel, sweep.real, across, top, x.unit));
  }
  const bottom = height - BOTTOM;
  parts.push(
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${bottom + 44}" text-anchor="middle" fill="#1b2733">${escaped(x.title)}</text>`,
  );
  parts.push(...drawLegend(vectors.slice(0, TRACES_MAX)));
  parts.push('</svg>\n');
  return parts.join('\n');
}

interface Trace {
  readonly name: string;
  readonly color: string;
  readonly values: Float64Array;
}

interface Panel {
  readonly title: string;
  readonly unit: string;
  readonly isLog: boolean;
  readonly traces: readonly Trace[];
}

interface Scale {
  readonly isLog: boolean;
  readonly low: number;
  readonly high: number;
  at(value: number): number;
}

const WIDTH = 960;
const LEFT = 84;
const RIGHT = 150;
const TOP = 66;
const BOTTOM = 60;
const PANEL_HEIGHT = 300;
const PANEL_GAP = 44;
const TRACES_MAX = 8;
/** Told apart also by people who see few colours. */
const COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#6a4c93', '#4a4a4a'];

/** Voltages and currents have axes of their own; complex vectors are drawn as magnitude and phase. */
function panelsOf(vectors: readonly Vector[]): Panel[] {
  const colored = vectors.map((vector, index) => ({ vector, color: COLORS[index % COLORS.length] ?? '#000000' }));
  if (vectors.some(({ imaginary }) => imaginary)) {
    const trace = (of: (re: number, im: number) => number) =>
      colored.map(({ vector: { name, real, imaginary }, color }) => ({
        name,
        color,
        values: real.map((re, point) => of(re, imaginary?.[point] ?? 0)),
      }));
    const magnitudes = trace((re, im) => Math.max(20 * Math.log10(Math.hypot(re, im)), DECIBELS_MIN));
    const phases = trace((re, im) => Math.atan2(im, re)).map((one) => ({ ...one, values: unwrapped(one.values) }));
    return [
      { title: 'magnitude', unit: 'dB', isLog: false, traces: magnitudes },
      { title: 'phase', unit: '°', isLog: false, traces: phases },
    ];
  }
  const panels = new Map<string, Panel & { traces: Trace[] }>();
  for (const { vector, color } of colored) {
    const { title, unit, isLog } = quantityOf(vector);
    const panel = panels.get(unit) ?? { title, unit, isLog, traces: [] };
    panels.set(unit, panel);
    panel.traces.push({ name: vector.name, color, values: vector.real });
  }
  return [...panels.values()];
}

const DECIBELS_MIN = -300;

function quantityOf({ type, name }: Vector): { title: string; unit: string; isLog: boolean } {
  if (type === 'voltage') return { title: 'voltage', unit: 'V', isLog: false };
  if (type === 'current') return { title: 'current', unit: 'A', isLog: false };
  if (type === 'voltage-density' || name.includes('noise_spectrum')) {
    return { title: 'noise density', unit: 'V/√Hz', isLog: true };
  }
  return { title: type === 'notype' ? 'value' : type, unit: '', isLog: false };
}

/** In degrees, without the jumps of a whole turn. */
function unwrapped(radians: Float64Array): Float64Array {
  let turns = 0;
  return radians.map((angle, point) => {
    const before = radians[point - 1];
    if (before !== undefined && Math.abs(angle - before) > Math.PI) turns -= Math.sign(angle - before);
    return (angle / Math.PI) * 180 + turns * 360;
  });
}

function axisOf({ type, name, real }: Vector): { title: string; unit: string; isLog: boolean } {
  if (type === 'time') return { title: 'time', unit: 's', isLog: false };
  if (type === 'frequency') {
    // Points of a logarithmic sweep lie in the same ratio to each other.
    const [first = 0, second = 0, third = 0] = real;
    const isLog = first > 0 && Math.abs(third / second / (second / first) - 1) < 1e-6;
    return { title: 'frequency', unit: 'Hz', isLog };
  }
  return { title: name.includes('temp') ? 'temperature' : 'sweep', unit: type === 'current' ? 'A' : 'V', isLog: false };
}

function scaleOf(values: Iterable<number>, isLog: boolean, from: number, to: number): Scale {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value) || (isLog && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) [low, high] = isLog ? [1, 10] : [0, 1];
  if (low === high)
    [low, high] = isLog ? [low / 10, high * 10] : [low - (Math.abs(low) || 1), high + (Math.abs(high) || 1)];
  const place = (value: number) => (isLog ? Math.log10(Math.max(value, low)) : value);
  const [start, length] = [place(low), place(high) - place(low)];
  return { isLog, low, high, at: (value) => from + ((place(value) - start) / length) * (to - from) };
}

/** Widened to whole ticks, so that no trace runs along the frame. */
function roomyScaleOf(traces: readonly Trace[], isLog: boolean, from: number, to: number): Scale {
  const joined = function* () {
    for (const { values } of traces) yield* values;
  };
  const tight = scaleOf(joined(), isLog, from, to);
  if (isLog) {
    const decades = (value: number, round: (x: number) => number) => 10 ** round(Math.log10(value));
    return scaleOf([decades(tight.low, Math.floor), decades(tight.high, Math.ceil)], true, from, to);
  }
  const step = stepOf(tight.high - tight.low);
  return scaleOf([Math.floor(tight.low / step) * step, Math.ceil(tight.high / step) * step], false, from, to);
}

function drawPanel(panel: Panel, sweep: Float64Array, across: Scale, top: number, sweepUnit: string): string {
  const bottom = top + PANEL_HEIGHT;
  const right = WIDTH - RIGHT;
  const up = roomyScaleOf(panel.traces, panel.isLog, bottom, top);
  const parts = ['<g stroke="#dde3e8" stroke-width="1">'];
  const labels: string[] = [];
  for (const value of ticksOf(across)) {
    const x = round(across.at(value));
    parts.push(`<line x1="${x}" y1="${top}" x2="${x}" y2="${bottom}"/>`);
    labels.push(`<text x="${x}" y="${bottom + 20}" text-anchor="middle">${withPrefix(value, sweepUnit)}</text>`);
  }
  for (const value of ticksOf(up)) {
    const y = round(up.at(value));
    parts.push(`<line x1="${LEFT}" y1="${y}" x2="${right}" y2="${y}"/>`);
    labels.push(
      `<text x="${LEFT - 8}" y="${y + 4}" text-anchor="end">${escaped(withPrefix(value, panel.unit))}</text>`,
    );
  }
  parts.push('</g>', '<g fill="#3b4a57">', ...labels, '</g>');
  const middle = (top + bottom) / 2;
  parts.push(
    `<text x="18" y="${middle}" text-anchor="middle" transform="rotate(-90 18 ${middle})" fill="#1b2733">${escaped(panel.title)}</text>`,
    `<rect x="${LEFT}" y="${top}" width="${right - LEFT}" height="${PANEL_HEIGHT}" fill="none" stroke="#8796a3"/>`,
  );
  for (const { values, color } of panel.traces) {
    for (const points of linesOf(sweep, values, across, up)) {
      parts.push(
        `<polyline fill="none" stroke="${color}" stroke-width="1.6" stroke-linejoin="round" points="${points}"/>`,
      );
    }
  }
  return parts.join('\n');
}

/**
 * One line a sweep: a nested DC sweep starts again at the left. Where many points share a column of the picture, the
 * first, lowest, highest and last of them draw the same line.
 */
function linesOf(sweep: Float64Array, values: Float64Array, across: Scale, up: Scale): string[] {
  const lines: string[] = [];
  const forward = Math.sign((sweep[1] ?? 0) - (sweep[0] ?? 0));
  let line: string[] = [];
  let column: { x: number; places: [number, number][] } | undefined;
  const closeColumn = () => {
    if (!column) return;
    const { places } = column;
    const heights = places.map(([, y]) => y);
    const kept = new Set([
      0,
      heights.indexOf(Math.min(...heights)),
      heights.indexOf(Math.max(...heights)),
      places.length - 1,
    ]);
    for (const [index, [x, y]] of places.entries()) if (kept.has(index)) line.push(`${round(x)},${round(y)}`);
    column = undefined;
  };
  const closeLine = () => {
    closeColumn();
    if (line.length > 1) lines.push(line.join(' '));
    line = [];
  };
  for (const [point, value] of values.entries()) {
    const position = sweep[point] ?? 0;
    const turnsBack = point > 0 && Math.sign(position - (sweep[point - 1] ?? 0)) === -forward;
    if (turnsBack || !Number.isFinite(value)) closeLine();
    if (!Number.isFinite(value)) continue;
    const x = across.at(position);
    if (column && (column.x !== Math.floor(x) || column.places.length >= COLUMN_POINTS_MAX)) closeColumn();
    column ??= { x: Math.floor(x), places: [] };
    column.places.push([x, up.at(value)]);
  }
  closeLine();
  return lines;
}

const COLUMN_POINTS_MAX = 10_000;

function drawLegend(vectors: readonly Vector[]): string[] {
  return vectors.flatMap(({ name }, index) => {
    const y = TOP + 12 + index * 22;
    const x = WIDTH - RIGHT + 16;
    return [
      `<line x1="${x}" y1="${y}" x2="${x + 22}" y2="${y}" stroke="${COLORS[index % COLORS.length]}" stroke-width="3"/>`,
      `<text x="${x + 30}" y="${y + 4}" fill="#1b2733">${escaped(shortened(name, 14))}</text>`,
    ];
  });
}

function ticksOf({ isLog, low, high }: Scale): number[] {
  const ticks: number[] = [];
  if (isLog) {
    const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
    const every = Math.max(1, Math.ceil((last - first) / 10));
    for (let decade = first; decade <= last; decade += every) ticks.push(10 ** decade);
    return ticks;
  }
  const step = stepOf(high - low);
  const first = Math.ceil(low / step - 1e-9);
  for (let index = first; index * step <= high + step * 1e-9; index++) ticks.push(index * step);
  return ticks;
}

/** 1, 2 or 5 times a power of ten, for five to ten ticks. */
function stepOf(length: number): number {
  const power = 10 ** Math.floor(Math.log10(length / 5));
  const ratio = length / 5 / power;
  return power * (ratio >= 5 ? 5 : ratio >= 2 ? 2 : 1);
}

const PREFIXES: readonly (readonly [number, string])[] = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
  [1, ''],
  [1e-3, 'm'],
  [1e-6, 'µ'],
  [1e-9, 'n'],
  [1e-12, 'p'],
  [1e-15, 'f'],
];

/** `0.0002` seconds are written `200 µs`. */
function withPrefix(value: number, unit: string): string {
  const size = Math.abs(value);
  if (size === 0 || unit === 'dB' || unit === '°' || unit === '')
    return `${Number(value.toPrecision(6))} ${unit}`.trim();
  const [scale, prefix] = PREFIXES.find(([least]) => size >= least * 0.999999) ?? [1e-15, 'f'];
  return `${Number((value / scale).toPrecision(4))} ${prefix}${unit}`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function shortened(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function escaped(text: string): string {
  // Control characters are not allowed in XML at all, however they are written.
  return [...text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')]
    .filter((character) => character >= ' ' && character !== '\uFFFE' && character !== '\uFFFF')
    .join('');
}
