/**
 * Makes `samples/filter.cir`: a pulse travels a ladder of sixty sections, clamped by diodes and with components that
 * differ by their tolerance, and a transistor amplifier lifts what arrives. `node dist/dev/samples/makeNetlist.js`.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SECTIONS = 60;
const SEED = 20;

/** The netlist's text; the same seed gives the same text. */
export function makeNetlist(seed: number): string {
  const random = randomOf(seed);
  const within = (value: number, tolerance: number, suffix: string) =>
    `${(value * (1 + tolerance * (2 * random() - 1))).toPrecision(4)}${suffix}`;
  const lines = [
    `Pulse line: ${SECTIONS} clamped sections and an amplifier`,
    `* Made by dev/samples/makeNetlist.ts with seed ${seed}. Components differ by their tolerance.`,
    'VCC vcc 0 DC 12',
    'VIN in 0 DC 0 AC 1 PULSE(0 1.2 20u 2u 2u 40u 400u)',
    'RIN in l0 1k',
    '',
    '* The line: series inductance with its loss, capacitance to ground, a clamp every fourth section.',
  ];
  for (let section = 1; section <= SECTIONS; section++) {
    const [from, middle, to] = [`l${section - 1}`, `m${section}`, `l${section}`];
    lines.push(`L${section} ${from} ${middle} ${within(1, 0.05, 'm')}`);
    lines.push(`R${section} ${middle} ${to} ${within(2.2, 0.05, '')}`);
    lines.push(`C${section} ${to} 0 ${within(1, 0.1, 'n')}`);
    if (section % 4 === 0) lines.push(`DP${section} ${to} clamp DSMALL`, `DN${section} 0 ${to} DSMALL`);
  }
  lines.push(
    '',
    '* The clamp level, and the end of the line in its own impedance.',
    'RC1 vcc clamp 11.3k',
    'RC2 clamp 0 1k',
    'CCL clamp 0 1u',
    `REND l${SECTIONS} 0 1k`,
    '',
    '* A common-emitter stage and a follower.',
    `CB1 l${SECTIONS} b1 220n`,
    'RB1 vcc b1 82k',
    'RB2 b1 0 18k',
    'RK1 vcc c1 3.3k',
    'RE1 e1 0 680',
    'Q1 c1 b1 e1 QSMALL',
    'RE2 out 0 2.2k',
    'Q2 vcc c1 out QSMALL',
    'CLOAD out 0 100p',
    '',
    '.model DSMALL D(IS=2.5n N=1.75 RS=0.6 CJO=4p TT=5n)',
    '.model QSMALL NPN(IS=10f BF=200 VAF=80 RB=20 CJE=8p CJC=4p TF=0.4n)',
    '.options reltol=1m',
    '',
    '.op',
    '.ac dec 200 1k 330k',
    '.tran 50n 2m 0 50n',
    `.print ac v(l${SECTIONS / 4}) v(l${SECTIONS}) v(out)`,
    `.print tran v(in) v(l${SECTIONS / 4}) v(l${SECTIONS / 2}) v(l${SECTIONS}) v(out)`,
    '.end',
    '',
  );
  return lines.join('\n');
}

/** A small generator of the multiply-with-carry kind: samples need repeatable numbers, not good ones. */
function randomOf(seed: number): () => number {
  let state = BigInt(seed) + 0x9e3779b97f4a7c15n;
  return () => {
    state = BigInt.asUintN(64, (state & 0xffffffffn) * 4294957665n + (state >> 32n));
    return Number(state & 0xffffffffn) / 2 ** 32;
  };
}

if (require.main === module) {
  writeFileSync(join(process.cwd(), 'samples', 'filter.cir'), makeNetlist(SEED));
}
