/** Reads a `.mould.json` into a grid of cells to fill, in SI units; for one run of a design of experiments where it has one. */
import { InputFault } from '../protocol';

/** How a gate feeds a cell: the flow is `shape` times the cell's conductance times the fall of pressure. */
export interface GateLink {
  readonly cell: number;
  readonly shape: number;
}

/** A cavity cut into `columns` x `rows` cells, with a rim of cells without thickness around it. */
export interface Mould {
  readonly title: string;
  readonly columns: number;
  readonly rows: number;
  /** Cells of a row with its rim: the step from a cell to the one above it. */
  readonly stride: number;
  /** Size of a cell in m. */
  readonly dx: number;
  readonly dy: number;
  /** In m, by cell; zero where there is no cavity. */
  readonly thickness: Float64Array;
  readonly gates: readonly GateLink[];
  /** In m from the lower left corner of the plate, for drawing. */
  readonly gatePlaces: readonly { readonly x: number; readonly y: number }[];
  /** Viscosity in Pa s is `consistency` times the shear rate to the power of `exponent - 1`; 1 is Newtonian. */
  readonly consistency: number;
  readonly exponent: number;
  /** In m³/s; null when the pressure is given. */
  readonly flowRate: number | null;
  /** In Pa: what the gate is held at, or may need at most. */
  readonly pressure: number;
  /** In s. */
  readonly timeLimit: number;
}

/** The values that one run of a design of experiments sets, by the path of their field. */
export type Factors = Readonly<Record<string, number>>;

/** A file for one run. */
export interface RunOfFile {
  readonly file: Json;
  readonly factors: Factors;
  /** Whether the file is a design of experiments. */
  readonly isDesign: boolean;
}

type Json = { readonly [name: string]: unknown };

/** The file as it is for a run, numbered from 1. @throws InputFault for a file without that run. */
export function fileOfRun(text: string, run: number): RunOfFile {
  const { designOfExperiments, ...file } = parse(text);
  if (designOfExperiments === undefined) return { file, factors: {}, isDesign: false };
  const { factors, runs } = designOfExperiments as {
    factors: { field: string; levels?: number[] }[];
    runs?: number[][];
  };
  const values = runs ? runs[run - 1] : factorialPoint(factors, run - 1);
  if (!values) throw new InputFault(`the design of experiments has no run ${run}`);
  const set = Object.fromEntries(factors.map(({ field }, index) => [field, values[index] as number]));
  const changed = structuredClone(file);
  for (const [field, value] of Object.entries(set)) setField(changed, field, value);
  return { file: changed, factors: set, isDesign: true };
}

/** The full factorial in the order of its table: the last factor changes from run to run. */
function factorialPoint(factors: readonly { levels?: number[] }[], index: number): number[] | undefined {
  const values: number[] = [];
  let rest = index;
  for (const { levels = [] } of [...factors].reverse()) {
    values.unshift(levels[rest % levels.length] as number);
    rest = Math.floor(rest / levels.length);
  }
  return rest === 0 ? values : undefined;
}

function setField(file: Json, field: string, value: number): void {
  const path = field.split('.');
  const last = path.pop() ?? '';
  let inside: unknown = file;
  for (const name of path) inside = Object.hasOwn(Object(inside), name) ? (inside as Json)[name] : undefined;
  if (!inside || typeof inside !== 'object' || !Object.hasOwn(inside, last)) {
    throw new InputFault(`designOfExperiments: there is no field ${field}`);
  }
  (inside as Record<string, unknown>)[last] = value;
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw new InputFault(`the file is not JSON: ${(error as Error).message}`);
  }
}

const MM = 1e-3;

/** Cuts the cavity into cells. @throws InputFault with a sentence for what cannot be moulded. */
export function mouldOf(file: Json): Mould {
  const plate = file.plate as { width: number; height: number; thickness: number | number[][] };
  const width = within(plate.width, 'plate.width', 1, 5_000, 'mm') * MM;
  const height = within(plate.height, 'plate.height', 1, 5_000, 'mm') * MM;
  const cells = within((file.cells as number) ?? 60, 'cells', 5, 100, 'cells along the longer side');
  const size = Math.max(width, height) / cells;
  const columns = Math.max(1, Math.round(width / size));
  const rows = Math.max(1, Math.round(height / size));
  const [dx, dy] = [width / columns, height / rows];
  const stride = columns + 2;
  const grid = { columns, rows, stride, dx, dy };
  const thickness = thicknessOf(plate.thickness, (file.regions as Region[]) ?? [], grid);
  const { links, places } = gatesOf(file.gates as Gate[], thickness, grid);
  mustBeReached(thickness, links, stride);
  const material = file.material as { viscosity?: number; consistency?: number; exponent?: number };
  const injection = file.injection as {
    flowRate?: number;
    pressure?: number;
    pressureLimit?: number;
    timeLimit?: number;
  };
  const isFlow = injection.flowRate !== undefined;
  return {
    ...grid,
    title: String(file.title ?? 'Plate'),
    thickness,
    gates: links,
    gatePlaces: places,
    consistency: within(material.viscosity ?? material.consistency, 'material: the viscosity', 1e-3, 1e7, 'Pa s'),
    exponent: material.viscosity === undefined ? within(material.exponent, 'material.exponent', 0.2, 1, '') : 1,
    flowRate: isFlow ? within(injection.flowRate, 'injection.flowRate', 1e-4, 1e5, 'cm³/s') * 1e-6 : null,
    pressure: isFlow
      ? within(injection.pressureLimit ?? 200, 'injection.pressureLimit', 1e-3, 1_000, 'MPa') * 1e6
      : within(injection.pressure, 'injection.pressure', 1e-3, 1_000, 'MPa') * 1e6,
    timeLimit: within(injection.timeLimit ?? 60, 'injection.timeLimit', 1e-3, 3_600, 's'),
  };
}

interface Grid {
  readonly columns: number;
  readonly rows: number;
  readonly stride: number;
  readonly dx: number;
  readonly dy: number;
}

interface Region {
  readonly kind: 'rib' | 'hole';
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly thickness?: number;
}

type Gate =
  | { readonly edge: 'left' | 'right' | 'top' | 'bottom' }
  | { readonly x: number; readonly y: number; readonly diameter: number };

/** A map is stretched over the plate, its first row at the top; ribs and holes are laid over it in their order. */
function thicknessOf(plate: number | number[][], regions: readonly Region[], grid: Grid): Float64Array {
  const { columns, rows, stride, dx, dy } = grid;
  const thickness = new Float64Array(stride * (rows + 2));
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const cell = (row + 1) * stride + column + 1;
      thickness[cell] =
        within(mapped(plate, (column + 0.5) / columns, (row + 0.5) / rows), 'plate.thickness', 0.05, 50, 'mm') * MM;
      const [x, y] = [((column + 0.5) * dx) / MM, ((row + 0.5) * dy) / MM];
      for (const [index, region] of regions.entries()) {
        if (Math.abs(x - region.x - region.width / 2) > region.width / 2) continue;
        if (Math.abs(y - region.y - region.height / 2) > region.height / 2) continue;
        const rib = () => within(region.thickness, `regions.${index}.thickness`, 0.05, 50, 'mm') * MM;
        thickness[cell] = region.kind === 'hole' ? 0 : rib();
      }
    }
  }
  return thickness;
}

function mapped(plate: number | number[][], right: number, up: number): number | undefined {
  if (!Array.isArray(plate)) return plate;
  const row = plate[Math.min(plate.length - 1, Math.floor((1 - up) * plate.length))];
  return row?.[Math.min(row.length - 1, Math.floor(right * row.length))];
}

/** A cell's pressure stands for the one at 0.198 of its size from a point source in it (D. W. Peaceman, SPE Journal, 1978). */
const PEACEMAN = 0.198;

/**
 * An edge gate feeds the cells along its edge over half a cell. A pin gate smaller than a cell feeds it as a well does; a
 * larger one feeds all cells that it covers.
 */
function gatesOf(gates: readonly Gate[], thickness: Float64Array, grid: Grid) {
  const { columns, rows, stride, dx, dy } = grid;
  const links: GateLink[] = [];
  const places: { x: number; y: number }[] = [];
  for (const [index, gate] of gates.entries()) {
    const before = links.length;
    const add = (column: number, row: number, shape: number) => {
      const cell = (row + 1) * stride + column + 1;
      if ((thickness[cell] ?? 0) > 0) links.push({ cell, shape });
    };
    if ('edge' in gate) {
      const isUpright = gate.edge === 'left' || gate.edge === 'right';
      const count = isUpright ? rows : columns;
      const [far, x] = [isUpright ? columns - 1 : rows - 1, (columns * dx) / 2];
      const at = gate.edge === 'left' || gate.edge === 'bottom' ? 0 : far;
      for (let along = 0; along < count; along++) {
        if (isUpright) add(at, along, (2 * dy) / dx);
        else add(along, at, (2 * dx) / dy);
      }
      const y = (rows * dy) / 2;
      places.push(isUpright ? { x: at === 0 ? 0 : columns * dx, y } : { x, y: at === 0 ? 0 : rows * dy });
    } else {
      const x = within(gate.x, `gates.${index}.x`, 0, (columns * dx) / MM, 'mm') * MM;
      const y = within(gate.y, `gates.${index}.y`, 0, (rows * dy) / MM, 'mm') * MM;
      const radius = (within(gate.diameter, `gates.${index}.diameter`, 0.1, 100, 'mm') * MM) / 2;
      const size = Math.sqrt(dx * dy);
      if (radius < size / 2) {
        const resistance = Math.max(Math.log((PEACEMAN * size) / radius) / (2 * Math.PI), 1e-3);
        add(Math.min(columns - 1, Math.floor(x / dx)), Math.min(rows - 1, Math.floor(y / dy)), 1 / resistance);
      } else {
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < columns; column++) {
            if (Math.hypot((column + 0.5) * dx - x, (row + 0.5) * dy - y) <= radius) add(column, row, 1e3);
          }
        }
      }
      places.push({ x, y });
    }
    if (links.length === before)
      throw new InputFault(`gates.${index}: the gate lies in a hole; move it into the cavity`);
  }
  return { links, places };
}

function mustBeReached(thickness: Float64Array, gates: readonly GateLink[], stride: number): void {
  const reached = new Set(gates.map(({ cell }) => cell));
  for (const cell of reached) {
    for (const next of [cell - 1, cell + 1, cell - stride, cell + stride]) {
      if ((thickness[next] ?? 0) > 0) reached.add(next);
    }
  }
  const all = thickness.reduce((count, one) => count + (one > 0 ? 1 : 0), 0);
  if (reached.size < all) {
    throw new InputFault('holes cut a part of the plate off from every gate; add a gate there or move the holes');
  }
}

function within(value: number | undefined, name: string, low: number, high: number, unit: string): number {
  if (typeof value === 'number' && value >= low && value <= high) return value;
  throw new InputFault(`${name} is ${value ?? 'missing'}; it is from ${low} to ${high} ${unit}`.trimEnd());
}
