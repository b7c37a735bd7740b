/** The lightest areas of the members of a truss, by the protocol of `engines/README.md`. */
import { readFileSync } from 'node:fs';
import { runEngine, writeResult } from '../protocol';
import { drawTruss } from './picture';
import { type Sizing, size } from './sizing';
import { type Truss, type TrussFile, trussOf } from './truss';

const counters = { optimizations: 0, simplexIterations: 0, members: 0 };
let fraction = 0;

void runEngine({ done: () => ({ counters: { ...counters }, fraction }), compute });

async function compute(): Promise<void> {
  const truss = trussOf(JSON.parse(readFileSync('input', 'utf8')) as TrussFile);
  fraction = 0.1;
  const sizing = await size(truss);
  fraction = 0.9;
  counters.simplexIterations = sizing.simplexIterations;
  writeResult('members.csv', 'text/csv', tableOf(truss, sizing));
  writeResult('truss.svg', 'image/svg+xml', drawTruss(truss, sizing));
  const { areas, forces: _, ...figures } = sizing;
  const summary = {
    title: truss.file.title ?? null,
    nodes: Object.keys(truss.file.nodes).length,
    members: areas.length,
    membersUsed: areas.filter((area) => area > USED * Math.max(...areas)).length,
    loadCases: truss.loads.length,
    optimal: true,
    volumeCubicMetres: figures.volume,
    massKilograms: figures.mass,
    equilibriumResidualKilonewtons: figures.equilibriumResidual,
    optimalityGap: figures.optimalityGap,
    simplexIterations: figures.simplexIterations,
  };
  writeResult('summary.json', 'application/json', `${JSON.stringify(summary, null, 2)}\n`);
  counters.members = areas.length;
  counters.optimizations = 1;
}

/** A member thinner than this part of the thickest is there for rounding errors only. */
const USED = 1e-6;

function tableOf({ members, file }: Truss, { areas, forces }: Sizing): string {
  const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const cases = file.loadCases.map(({ name }) => quoted(`force ${name} (kN)`));
  const head = ['from', 'to', 'length (m)', 'area (mm²)', 'mass (kg)', ...cases].join(',');
  const rows = members.map(({ from, to, length }, index) => {
    const area = areas[index] as number;
    const mass = (area / 1e6) * length * file.material.density;
    const numbers = [length, area, mass, ...forces.map((ofCase) => ofCase[index] as number)];
    return [quoted(from), quoted(to), ...numbers.map((number) => number.toFixed(4).replace(/^-(0\.0+)$/, '$1'))].join(
      ',',
    );
  });
  return `${[head, ...rows].join('\n')}\n`;
}
