/** Draws a sized truss: thickness by area, colours by the force that governs, supports and loads. */
import type { Sizing } from './sizing';
import type { Truss, TrussFile } from './truss';

/** The picture as SVG text that needs nothing but itself. A truss in space is seen from above and aside. */
export function drawTruss({ file, members, scale }: Truss, { areas, forces, mass }: Sizing): string {
  const flat = new Map(Object.entries(file.nodes).map(([name, at]) => [name, flatten(at)] as const));
  const [xs, ys] = [[...flat.values()].map(([x]) => x), [...flat.values()].map(([, y]) => y)];
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const zoom = Math.min((WIDTH - 2 * MARGIN) / (right - left || 1), (HEIGHT - TOP - 2 * MARGIN) / (high - low || 1));
  const place = ([x, y]: Point): Point => [
    WIDTH / 2 + (x - (left + right) / 2) * zoom,
    (HEIGHT + TOP) / 2 - (y - (low + high) / 2) * zoom,
  ];
  const at = (name: string) => place(flat.get(name) as Point);
  const thickest = Math.max(...areas);
  const lines = members.map(({ from, to }, index) => {
    const area = areas[index] as number;
    const [[x1, y1], [x2, y2]] = [at(from), at(to)];
    const coordinates = `x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}"`;
    if (area <= 1e-6 * thickest) return { area, line: `<line ${coordinates} stroke="#dde3e8" stroke-width="0.7"/>` };
    // What decides the area: a member that is pulled in one case and pushed in another is colored by the harder one.
    const ofMember = forces.map((one) => one[index] as number);
    const pull = Math.max(0, ...ofMember) / file.material.tensileStress;
    const push = Math.max(0, ...ofMember.map((force) => -force)) / file.material.compressiveStress;
    const isBoth = Math.min(pull, push) > 0.5 * Math.max(pull, push);
    const color = isBoth ? BOTH : pull > push ? TENSION : COMPRESSION;
    const width = Math.max(1, THICKEST * Math.sqrt(area / thickest));
    return {
      area,
      line: `<line ${coordinates} stroke="${color}" stroke-width="${width.toFixed(2)}" stroke-linecap="round"/>`,
    };
  });
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="Helvetica, Arial, sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="40" y="32" font-size="17" font-weight="bold" fill="#1b2733">${escaped((file.title ?? 'Truss of least weight').slice(0, 80))}</text>`,
    `<text x="40" y="53" fill="#5b6b7a">${mass.toPrecision(4)} kg; ${members.length} members, ${file.loadCases.length} load case${file.loadCases.length === 1 ? '' : 's'}; the thickest member has ${thickest.toPrecision(4)} mm² (widths by the root of the area)</text>`,
    ...lines.sort((a, b) => a.area - b.area).map(({ line }) => line),
    ...Object.entries(file.supports).map(([name, axes]) => support(at(name), axes.join(''))),
    ...[...flat.keys()]
      .filter(() => flat.size <= 60)
      .map((name) => {
        const [x, y] = at(name);
        return `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="3" fill="#1b2733"/>`;
      }),
    ...arrows(file, at, scale),
    ...legend(),
    '</svg>',
  ].join('\n')}\n`;
}

type Point = readonly [number, number];

const WIDTH = 1000;
const HEIGHT = 760;
const TOP = 90;
const MARGIN = 90;
const THICKEST = 14;
const TENSION = '#0072b2';
const COMPRESSION = '#d55e00';
const BOTH = '#6a4c93';
const LOAD_COLORS = ['#009e73', '#cc79a7', '#e69f00', '#4a4a4a'];

/** An oblique view for space; z is up. */
function flatten([x = 0, y = 0, z]: readonly number[]): Point {
  return z === undefined ? [x, y] : [x * 0.87 - y * 0.5, z + x * 0.22 + y * 0.38];
}

function support([x, y]: Point, axes: string): string {
  const [a, b] = [x.toFixed(1), (y + 14).toFixed(1)];
  return `<path d="M${a} ${y.toFixed(1)}L${(x - 9).toFixed(1)} ${b}H${(x + 9).toFixed(1)}Z" fill="#ffffff" stroke="#1b2733" stroke-width="1.5"/><text x="${a}" y="${(y + 28).toFixed(1)}" text-anchor="middle" font-size="11" fill="#5b6b7a">${axes}</text>`;
}

/** One arrow for each load, to its node; a load that is the same in several cases is drawn once, in dark. */
function arrows({ loadCases }: TrussFile, at: (name: string) => Point, scale: number): string[] {
  const cases = new Map<string, number[]>();
  for (const [number, { loads }] of loadCases.entries()) {
    for (const load of Object.entries(loads)) {
      const key = JSON.stringify(load);
      cases.set(key, [...(cases.get(key) ?? []), number]);
    }
  }
  return [...cases].map(([key, numbers]) => {
    const [name, force] = JSON.parse(key) as [string, number[]];
    const color = numbers.length > 1 ? '#1b2733' : (LOAD_COLORS[(numbers[0] as number) % LOAD_COLORS.length] as string);
    return arrow(at(name), { along: flatten(force), force: Math.hypot(...force), scale, color });
  });
}

function arrow([x, y]: Point, load: { along: Point; force: number; scale: number; color: string }): string {
  const size = Math.hypot(...load.along);
  if (!(size > 0)) return '';
  const [ux, uy] = [load.along[0] / size, -load.along[1] / size];
  const length = 30 + 30 * Math.min(1, load.force / load.scale);
  const point = (along: number, beside: number) =>
    `${(x - ux * along - uy * beside).toFixed(1)} ${(y - uy * along + ux * beside).toFixed(1)}`;
  const anchor = Math.abs(ux) < 0.3 ? 'middle' : ux > 0 ? 'end' : 'start';
  const [tx, ty] = [x - ux * (length + 5), y - uy * (length + 5) + (uy > 0.3 ? -2 : 4)];
  return [
    `<path d="M${point(length, 0)}L${point(16, 0)}" stroke="${load.color}" stroke-width="2.2"/>`,
    `<path d="M${point(8, 0)}L${point(18, 5)} ${point(18, -5)}Z" fill="${load.color}"/>`,
    `<text x="${tx.toFixed(1)}" y="${ty.toFixed(1)}" text-anchor="${anchor}" font-size="11" fill="${load.color}">${Number(load.force.toPrecision(3))} kN</text>`,
  ].join('');
}

function legend(): string[] {
  const entries = [
    [TENSION, 'tension'],
    [COMPRESSION, 'compression'],
    [BOTH, 'both alike, by load case'],
    ['#dde3e8', 'not needed'],
    ['#009e73', 'load (a colour for each case)'],
  ] as const;
  const places = [0, 100, 230, 430, 550];
  return entries.map(([color, text], index) => {
    const x = 40 + (places[index] as number);
    return `<rect x="${x}" y="71" width="22" height="6" fill="${color}"/><text x="${x + 29}" y="79" fill="#1b2733">${text}</text>`;
  });
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (mark) => `&#${mark.charCodeAt(0)};`);
}
