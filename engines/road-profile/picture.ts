/** Draws ground and design with cut and fill between them, the grades of the design, and the mass haul beneath. */
import type { Alignment, Limits } from './alignment';
import type { Earthworks } from './earthworks';

/** The picture as SVG text that needs nothing but itself. */
export function drawProfile(alignment: Alignment, earthworks: Earthworks, limits: Limits): string {
  const { chainages, ground, design } = alignment;
  const x = scaleOf(chainages[0] as number, chainages.at(-1) as number, LEFT, RIGHT);
  const levels = axisOf([...ground, ...design]);
  const y = scaleOf(levels.low, levels.high, PROFILE.bottom, PROFILE.top);
  const haul = earthworks.cut.map((cut, index) => cut - (earthworks.fill[index] as number));
  const volumes = axisOf([0, ...haul]);
  const v = scaleOf(volumes.low, volumes.high, HAUL.bottom, HAUL.top);
  const line = (values: readonly number[], at: (value: number) => number) =>
    values.map((value, index) => `${x(chainages[index] as number).toFixed(1)},${at(value).toFixed(1)}`).join(' ');
  const metresAcross = Math.abs((chainages.at(-1) as number) - (chainages[0] as number)) / (RIGHT - LEFT);
  const exaggeration = metresAcross / ((levels.high - levels.low) / (PROFILE.bottom - PROFILE.top));
  const [cut, fill] = [earthworks.cut.at(-1) as number, earthworks.fill.at(-1) as number];
  const along = axisOf([chainages[0] as number, chainages.at(-1) as number], 10).ticks.filter(
    (tick) => tick >= (chainages[0] as number) && tick <= (chainages.at(-1) as number),
  );
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="Helvetica, Arial, sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="28" font-size="17" font-weight="bold" fill="#1b2733">Vertical alignment with the least earthworks</text>`,
    `<text x="${LEFT}" y="48" fill="#5b6b7a">cut ${cubic(cut)}, fill ${cubic(fill)}; grade at most ${limits.maximumGradePercent} %, curve radius at least ${limits.minimumCurveRadius.toLocaleString('en')} m; heights drawn ${exaggeration.toPrecision(2)} times too large</text>`,
    ...levels.ticks.map((tick) => across(y(tick), label(tick, levels.step))),
    ...volumes.ticks.map((tick) => across(v(tick), label(tick / 1000, volumes.step / 1000))),
    ...along.flatMap((tick) =>
      upright(x(tick), label(tick, along.length > 1 ? (along[1] as number) - (along[0] as number) : 1)),
    ),
    ...bands(alignment, x, y),
    `<polyline points="${line(ground, y)}" fill="none" stroke="#7a5c3a" stroke-width="1.5"/>`,
    `<polyline points="${line(design, y)}" fill="none" stroke="#1b2733" stroke-width="2.2"/>`,
    ...grades(alignment, earthworks, x, y),
    ...limits.controlPoints.map(({ chainage, level }) => mark(x(chainage), y(level))),
    `<polyline points="${line(haul, v)}" fill="none" stroke="#6a4c93" stroke-width="2"/>`,
    `<line x1="${LEFT}" x2="${RIGHT}" y1="${v(0).toFixed(1)}" y2="${v(0).toFixed(1)}" stroke="#1b2733"/>`,
    turned((PROFILE.top + PROFILE.bottom) / 2, 'level in m'),
    turned((HAUL.top + HAUL.bottom) / 2, 'mass haul in 1000 m³'),
    `<text x="${(LEFT + RIGHT) / 2}" y="${HEIGHT - 14}" text-anchor="middle" fill="#1b2733">chainage in m; the mass haul is the cut less the fill so far</text>`,
    ...legend(limits.controlPoints.length > 0),
    '</svg>',
  ].join('\n')}\n`;
}

const WIDTH = 1200;
const HEIGHT = 720;
const LEFT = 84;
const RIGHT = 1170;
const PROFILE = { top: 100, bottom: 440 };
const HAUL = { top: 490, bottom: 650 };
/** Told apart also by people who see few colours. */
const CUT = '#d55e00';
const FILL = '#56b4e9';

type Scale = (value: number) => number;

function scaleOf(from: number, to: number, first: number, last: number): Scale {
  return (value) => first + ((value - from) / (to - from)) * (last - first);
}

/** Round ticks that enclose the values. */
function axisOf(values: readonly number[], count = 6) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const raw = Math.max(most - least, 1e-3 * Math.max(1, Math.abs(most))) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5].find((factor) => factor * power >= raw) ?? 10) * power;
  const [low, high] = [
    Math.floor(least / step) * step,
    Math.max(Math.ceil(most / step), Math.floor(least / step) + 1) * step,
  ];
  return {
    step,
    low,
    high,
    ticks: Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => low + i * step),
  };
}

function label(value: number, step: number): string {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return value
    .toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
    .replace(/^-0$/, '0');
}

function cubic(volume: number): string {
  return `${Math.round(volume).toLocaleString('en')} m³`;
}

function across(y: number, text: string): string {
  return `<line x1="${LEFT}" x2="${RIGHT}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}" stroke="#e3e8ec"/><text x="${LEFT - 8}" y="${(y + 4).toFixed(1)}" text-anchor="end" fill="#5b6b7a">${text}</text>`;
}

function upright(x: number, text: string): string[] {
  const at = x.toFixed(1);
  return [
    ...[PROFILE, HAUL].map(
      ({ top, bottom }) => `<line x1="${at}" x2="${at}" y1="${top}" y2="${bottom}" stroke="#eef1f4"/>`,
    ),
    `<text x="${at}" y="${HAUL.bottom + 20}" text-anchor="middle" fill="#5b6b7a">${text}</text>`,
  ];
}

function turned(y: number, text: string): string {
  return `<text transform="translate(24 ${y}) rotate(-90)" text-anchor="middle" fill="#1b2733">${text}</text>`;
}

/** The area between ground and design, interval by interval, parted where they cross. */
function bands({ chainages, ground, design }: Alignment, x: Scale, y: Scale): string[] {
  const paths: Record<string, string[]> = { [CUT]: [], [FILL]: [] };
  for (let index = 1; index < chainages.length; index++) {
    const at = (step: number) => ({
      x: chainages[index - 1 + step] as number,
      ground: ground[index - 1 + step] as number,
      design: design[index - 1 + step] as number,
    });
    const [from, to] = [at(0), at(1)];
    const [before, after] = [from.design - from.ground, to.design - to.ground];
    const part = before / (before - after);
    const crossing = {
      x: from.x + part * (to.x - from.x),
      ground: from.ground + part * (to.ground - from.ground),
      design: from.ground + part * (to.ground - from.ground),
    };
    const pieces =
      before * after < 0
        ? ([
            [from, crossing],
            [crossing, to],
          ] as const)
        : ([[from, to]] as const);
    for (const [first, last] of pieces) {
      const height = first.design - first.ground + last.design - last.ground;
      if (Math.abs(height) < 1e-6) continue;
      const corner = (a: number, b: number) => `${x(a).toFixed(2)} ${y(b).toFixed(2)}`;
      paths[height < 0 ? CUT : FILL]?.push(
        `M${corner(first.x, first.ground)}L${corner(last.x, last.ground)} ${corner(last.x, last.design)} ${corner(first.x, first.design)}Z`,
      );
    }
  }
  return Object.entries(paths).map(
    ([color, pieces]) => `<path d="${pieces.join('')}" fill="${color}" fill-opacity="0.55"/>`,
  );
}

/** The grade above the road, at places far enough apart to be read. */
function grades({ chainages, design, ground }: Alignment, { gradesPercent }: Earthworks, x: Scale, y: Scale): string[] {
  const every = Math.max(1, Math.round((chainages.length - 1) / GRADES));
  const found: string[] = [];
  for (let index = Math.floor(every / 2); index < chainages.length - 1; index += every) {
    const around = [
      ...design.slice(Math.max(0, index - every / 3), index + every / 3),
      ...ground.slice(Math.max(0, index - every / 3), index + every / 3),
    ];
    const top = y(Math.max(...around, design[index] as number)) - 10;
    const grade = gradesPercent[index] as number;
    const text = `${grade > 0.005 ? '+' : ''}${grade.toFixed(2).replace('-0.00', '0.00').replace('-', '−')} %`;
    found.push(
      `<text x="${x(chainages[index] as number).toFixed(1)}" y="${top.toFixed(1)}" text-anchor="middle" font-size="12" fill="#1b2733" stroke="#ffffff" stroke-width="3" paint-order="stroke">${text}</text>`,
    );
  }
  return found;
}

const GRADES = 14;

function mark(x: number, y: number): string {
  return `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="5" fill="#ffffff" stroke="#cc79a7" stroke-width="2.5"/>`;
}

function legend(hasControls: boolean): string[] {
  const entries = [
    ['#7a5c3a', 'ground', 3],
    ['#1b2733', 'design, with grades', 3],
    [CUT, 'cut', 12],
    [FILL, 'fill', 12],
    ['#6a4c93', 'mass haul', 3],
    ...(hasControls ? ([['#cc79a7', 'control point', 12]] as const) : []),
  ] as const;
  return entries.map(([color, text, height], index) => {
    const x = LEFT + index * 165;
    return `<rect x="${x}" y="${76 - height / 2}" width="22" height="${height}" fill="${color}" fill-opacity="${color === CUT || color === FILL ? 0.55 : 1}"/><text x="${x + 30}" y="80" fill="#1b2733">${text}</text>`;
  });
}
