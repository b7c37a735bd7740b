/** Draws a deformed model as a picture that needs nothing but itself: isometric, coloured by von Mises stress. */
import { diagonalOf, type Model } from './model';
import { type Face, outerFaces } from './outerFaces';

const WIDTH = 960;
const HEIGHT = 640;
/** Where the model is drawn: left, top, right, bottom. */
const FRAME = { left: 40, top: 84, right: 800, bottom: 570 } as const;
const LEGEND = { left: 836, top: 130, width: 22, height: 380 } as const;
/** The largest displacement is drawn at about this part of the model's size. */
const DRAWN_DISPLACEMENT = 0.08;
/** From dark to light, so that it can be read without colours too. */
const COLORS = [
  [43, 26, 98],
  [36, 82, 145],
  [26, 140, 140],
  [94, 190, 104],
  [246, 226, 82],
] as const;
const SHADES = 24;
/** Neighbouring faces that turn by more than this meet in an edge of the body: cosine of 30°. */
const EDGE_COSINE = 0.866;

type Point = readonly [number, number, number];

/** The picture as SVG text. `equivalent` is the stress of each element. */
export function drawDeformed(model: Model, displacements: Float64Array, equivalent: readonly number[]): string {
  const faces = outerFaces(model.elements);
  const largest = largestLength(displacements);
  const scale = largest === 0 ? 1 : roundScale((DRAWN_DISPLACEMENT * diagonalOf(model)) / largest);
  const placed = (factor: number) => (node: number) =>
    [0, 1, 2].map(
      (axis) => (model.coordinates[3 * node + axis] ?? 0) + factor * (displacements[3 * node + axis] ?? 0),
    ) as unknown as Point;
  const [before, after] = [placed(0), placed(scale)];
  const inFrame = fitted(
    faces.flatMap(({ nodes }) => nodes.flatMap((node) => [projected(before(node)), projected(after(node))])),
  );
  const low = equivalent.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const high = equivalent.reduce((most, value) => Math.max(most, value), 0);
  const shade = (value: number) => (high > low ? Math.round(((value - low) / (high - low)) * (SHADES - 1)) : 0);

  const seen = faces
    .filter(({ nodes }) => facesViewer(nodes.map(after)))
    .map((face) => ({ face, depth: depthOf(face.nodes.map(after)) }))
    .sort((one, other) => one.depth - other.depth);
  const outline =
    seen.length > OUTLINED_FACES_MAX
      ? 'stroke-width="0.4"'
      : 'stroke="#10202e" stroke-opacity="0.35" stroke-width="0.6"';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="Helvetica, Arial, sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="40" y="32" font-size="17" font-weight="bold" fill="#1b2733">${escaped(model.title || 'Deformed shape')}</text>`,
    `<text x="40" y="54" fill="#5b6b7a">Displacements drawn ${grouped(scale)} times as large; the largest is ${short(largest)}. Dashed: the shape without load.</text>`,
    `<g stroke-linejoin="round" ${outline}>`,
    ...seen.map(({ face }) => {
      const color = colorAt(shade(equivalent[face.element] ?? 0) / (SHADES - 1));
      const own = seen.length > OUTLINED_FACES_MAX ? ` stroke="${color}"` : '';
      return `<path d="${pathOf(face.nodes.map((node) => inFrame(projected(after(node)))))}Z" fill="${color}"${own}/>`;
    }),
    '</g>',
    '<g stroke="#8796a3" stroke-width="1" stroke-dasharray="4 3" fill="none">',
    ...edgesOf(faces, before).map(
      (edge) => `<path d="${pathOf(edge.map((node) => inFrame(projected(before(node)))))}"/>`,
    ),
    '</g>',
    ...drawLegend(low, high),
    ...drawAxes(),
    '</svg>\n',
  ].join('\n');
}

/** Outlines of more faces than these would be all that is seen. */
const OUTLINED_FACES_MAX = 12_000;

/** Towards the viewer, and what is right and up in the picture. */
const TOWARDS = [1 / Math.sqrt(3), -1 / Math.sqrt(3), 1 / Math.sqrt(3)] as const;
const RIGHT = [1 / Math.sqrt(2), 1 / Math.sqrt(2), 0] as const;
const UP = [-1 / Math.sqrt(6), 1 / Math.sqrt(6), 2 / Math.sqrt(6)] as const;

function dot(one: Point, other: Point): number {
  return one[0] * other[0] + one[1] * other[1] + one[2] * other[2];
}

function projected(point: Point): readonly [number, number] {
  return [dot(point, RIGHT), -dot(point, UP)];
}

function depthOf(points: readonly Point[]): number {
  return points.reduce((sum, point) => sum + dot(point, TOWARDS), 0) / points.length;
}

/** Of the diagonals; the third corner of a triangle stands for a fourth. */
function normalOf([a = [0, 0, 0], b = a, c = b, d = c]: readonly Point[]): Point {
  const one = [c[0] - a[0], c[1] - a[1], c[2] - a[2]] as const;
  const other = [d[0] - b[0], d[1] - b[1], d[2] - b[2]] as const;
  const cross: Point = [
    one[1] * other[2] - one[2] * other[1],
    one[2] * other[0] - one[0] * other[2],
    one[0] * other[1] - one[1] * other[0],
  ];
  const length = Math.hypot(...cross) || 1;
  return [cross[0] / length, cross[1] / length, cross[2] / length];
}

function facesViewer(points: readonly Point[]): boolean {
  return dot(normalOf(points), TOWARDS) > 0;
}

/** Edges of the body, each as two nodes: where outer faces meet at an angle. */
function edgesOf(faces: readonly Face[], at: (node: number) => Point): (readonly [number, number])[] {
  const edges = new Map<string, { ends: readonly [number, number]; normals: Point[] }>();
  for (const { nodes } of faces) {
    const normal = normalOf(nodes.map(at));
    for (const [place, node] of nodes.entries()) {
      const next = nodes[(place + 1) % nodes.length] ?? node;
      const key = node < next ? `${node} ${next}` : `${next} ${node}`;
      const edge = edges.get(key) ?? { ends: [node, next], normals: [] };
      edge.normals.push(normal);
      edges.set(key, edge);
    }
  }
  return [...edges.values()]
    .filter(({ normals: [one, other] }) => one && other && dot(one, other) < EDGE_COSINE)
    .map(({ ends }) => ends);
}

/** Moves and sizes points so that all of them fill the frame. */
function fitted(
  points: readonly (readonly [number, number])[],
): (point: readonly [number, number]) => [number, number] {
  const low = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY] as [number, number];
  const high = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY] as [number, number];
  for (const [x, y] of points) {
    low[0] = Math.min(low[0], x);
    low[1] = Math.min(low[1], y);
    high[0] = Math.max(high[0], x);
    high[1] = Math.max(high[1], y);
  }
  const width = high[0] - low[0] || 1;
  const height = high[1] - low[1] || 1;
  const size = Math.min((FRAME.right - FRAME.left) / width, (FRAME.bottom - FRAME.top) / height);
  const left = (FRAME.left + FRAME.right - size * width) / 2;
  const top = (FRAME.top + FRAME.bottom - size * height) / 2;
  return ([x, y]) => [left + size * (x - low[0]), top + size * (y - low[1])];
}

function pathOf(points: readonly (readonly [number, number])[]): string {
  return `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join('L')}`;
}

function drawLegend(low: number, high: number): string[] {
  const { left, top, width, height } = LEGEND;
  const step = height / SHADES;
  const bands = Array.from({ length: SHADES }, (_, place) => {
    const y = top + height - (place + 1) * step;
    return `<rect x="${left}" y="${y.toFixed(2)}" width="${width}" height="${(step + 0.3).toFixed(2)}" fill="${colorAt(place / (SHADES - 1))}"/>`;
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].flatMap((part) => {
    const y = (top + height * (1 - part)).toFixed(1);
    return [
      `<path d="M${left + width} ${y}h6" stroke="#3b4a57"/>`,
      `<text x="${left + width + 10}" y="${Number(y) + 4}" fill="#3b4a57">${short(low + part * (high - low))}</text>`,
    ];
  });
  return [
    `<text x="${left}" y="${top - 32}" fill="#1b2733" font-weight="bold">von Mises</text>`,
    `<text x="${left}" y="${top - 14}" fill="#5b6b7a">units of the input</text>`,
    ...bands,
    ...ticks,
  ];
}

function drawAxes(): string[] {
  const [x, y] = [70, 596];
  return [
    ['x', [1, 0, 0]],
    ['y', [0, 1, 0]],
    ['z', [0, 0, 1]],
  ].flatMap(([name, axis]) => {
    const [right, down] = projected(axis as unknown as Point);
    return [
      `<path d="M${x} ${y}l${(30 * right).toFixed(1)} ${(30 * down).toFixed(1)}" stroke="#1b2733" stroke-width="1.4"/>`,
      `<text x="${(x + 40 * right).toFixed(1)}" y="${(y + 40 * down + 4).toFixed(1)}" text-anchor="middle" fill="#1b2733">${name}</text>`,
    ];
  });
}

function colorAt(part: number): string {
  const at = part * (COLORS.length - 1);
  const from = COLORS[Math.floor(at)] ?? COLORS[0];
  const to = COLORS[Math.min(Math.floor(at) + 1, COLORS.length - 1)] ?? from;
  const mixed = from.map((value, place) => Math.round(value + ((to[place] ?? value) - value) * (at - Math.floor(at))));
  return `#${mixed.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}

function largestLength(displacements: Float64Array): number {
  let most = 0;
  for (let place = 0; place < displacements.length; place += 3) {
    most = Math.max(most, Math.hypot(...displacements.subarray(place, place + 3)));
  }
  return most;
}

/** 1, 2 or 5 times a power of ten, not above. */
function roundScale(scale: number): number {
  const power = 10 ** Math.floor(Math.log10(scale));
  const first = scale / power;
  return (first >= 5 ? 5 : first >= 2 ? 2 : 1) * power;
}

function grouped(value: number): string {
  return value >= 1e6 || value < 0.001 ? value.toExponential(0) : Number(value.toPrecision(6)).toLocaleString('en');
}

function short(value: number): string {
  const size = Math.abs(value);
  return size !== 0 && (size >= 1e6 || size < 1e-3) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

function escaped(text: string): string {
  // Control characters are not allowed in XML at all, however they are written.
  return [...text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')]
    .filter((character) => character >= ' ' && character !== '\uFFFE' && character !== '\uFFFF')
    .join('');
}
