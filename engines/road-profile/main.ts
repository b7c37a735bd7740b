/** The vertical alignment of a road that costs the least earthworks, by the protocol of `engines/README.md`. */
import { readFileSync } from 'node:fs';
import { runEngine, writeResult } from '../protocol';
import { type Alignment, align, type Limits } from './alignment';
import { checkAlignment, type Earthworks, earthworksOf } from './earthworks';
import { readGround } from './ground';
import { drawProfile } from './picture';

const counters = { millimetres: 0, simplexIterations: 0, stations: 0 };
let fraction = 0;

void runEngine({ done: () => ({ counters: { ...counters }, fraction }), compute });

async function compute(): Promise<void> {
  const limits = JSON.parse(readFileSync('parameters.json', 'utf8')) as Limits;
  const ground = readGround(readFileSync('input', 'utf8'));
  fraction = 0.1;
  const alignment = await align(ground, limits, (count) => {
    counters.simplexIterations += count;
  });
  fraction = 0.9;
  checkAlignment(alignment, limits);
  const earthworks = earthworksOf(alignment, limits);
  writeResult('profile.csv', 'text/csv', tableOf(alignment, earthworks));
  writeResult('profile.svg', 'image/svg+xml', drawProfile(alignment, earthworks, limits));
  writeResult('summary.json', 'application/json', `${JSON.stringify(summaryOf(alignment, earthworks), null, 2)}\n`);
  counters.millimetres = ground.lengthMillimetres;
  counters.stations = alignment.chainages.length;
}

function tableOf({ chainages, ground, design }: Alignment, { cut, fill, gradesPercent }: Earthworks): string {
  const head = 'chainage,ground,design,grade_percent,cut_height,fill_height,cut_volume,fill_volume,mass_haul';
  const rows = chainages.map((chainage, index) => {
    const height = (design[index] as number) - (ground[index] as number);
    const [cutTotal, fillTotal] = [cut[index] as number, fill[index] as number];
    const cells = [
      ...[chainage, ground[index] as number, design[index] as number].map((metres) => metres.toFixed(6)),
      (gradesPercent[index] as number).toFixed(6),
      ...[Math.max(0, -height), Math.max(0, height)].map((metres) => metres.toFixed(6)),
      ...[cutTotal, fillTotal, cutTotal - fillTotal].map((cubicMetres) => cubicMetres.toFixed(3)),
    ];
    return cells.map((cell) => cell.replace(/^-(0\.0+)$/, '$1')).join(',');
  });
  return `${[head, ...rows].join('\n')}\n`;
}

function summaryOf(alignment: Alignment, { cut, fill, cost, maximumGradePercent, minimumRadius }: Earthworks) {
  const rounded = (value: number) => Math.round(value * 1000) / 1000;
  const [cutTotal, fillTotal] = [cut.at(-1) as number, fill.at(-1) as number];
  return {
    length: rounded((alignment.chainages.at(-1) as number) - (alignment.chainages[0] as number)),
    stations: alignment.chainages.length,
    stationSpacing: alignment.spacing,
    cutCubicMetres: rounded(cutTotal),
    fillCubicMetres: rounded(fillTotal),
    balanceCubicMetres: rounded(cutTotal - fillTotal),
    cost: rounded(cost),
    maximumGradePercent: rounded(maximumGradePercent),
    minimumRadius: minimumRadius === undefined ? null : rounded(minimumRadius),
    optimal: true,
    optimalityGap: alignment.optimalityGap,
    simplexIterations: counters.simplexIterations,
  };
}
