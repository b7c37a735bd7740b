/** What a filling says in numbers: tables, and a summary in the units of moulders. */
import type { Filling } from './filling';
import type { Mould } from './mould';

/** The main results, flat, so that the runs of a design can stand in one table. */
export function summaryOf(mould: Mould, filling: Filling) {
  const { stride, dx, dy } = mould;
  const highest = filling.moments.reduce((most, { pressure }) => Math.max(most, pressure), 0);
  const isFull = filling.shortShot === null;
  const percent = significant(filling.filled * 100);
  return {
    outcome: outcomeOf(mould, filling, percent),
    filled: isFull,
    filledPercent: isFull ? 100 : percent,
    fillTimeSeconds: isFull ? significant(filling.time) : null,
    endedAfterSeconds: significant(filling.time),
    maximumPressureMPa: significant(highest / 1e6),
    cavityVolumeCm3: significant(filling.volume * 1e6),
    lastFilledXMm: significant(((filling.lastCell % stride) - 0.5) * dx * 1e3),
    lastFilledYMm: significant((Math.floor(filling.lastCell / stride) - 0.5) * dy * 1e3),
  };
}

/** A short shot is an answer to the question that was asked, and no failure. */
function outcomeOf({ pressure, timeLimit }: Mould, { shortShot, time }: Filling, percent: number): string {
  switch (shortShot) {
    case null:
      return `The cavity was filled after ${significant(time)} s.`;
    case 'pressure':
      return `Short shot: ${percent} % were filled when the gate needed more than ${significant(pressure / 1e6)} MPa.`;
    case 'time':
      return `Short shot: ${percent} % were filled when the time of ${timeLimit} s was over.`;
  }
}

/** A row for each cell of the cavity; the time is empty where no melt came. */
export function fillTimeTable({ columns, rows, stride, dx, dy, thickness }: Mould, filling: Filling): string {
  const lines = ['x_mm,y_mm,thickness_mm,fill_time_s'];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const cell = (row + 1) * stride + column + 1;
      const gap = thickness[cell] as number;
      if (gap === 0) continue;
      const time = filling.filledAt[cell] as number;
      const values = [(column + 0.5) * dx * 1e3, (row + 0.5) * dy * 1e3, gap * 1e3].map(significant);
      lines.push(`${values.join(',')},${Number.isNaN(time) ? '' : significant(time)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** What the gate needed over time. */
export function pressureTable({ moments }: Filling): string {
  const rows = moments.map(({ time, pressure, flowRate, filled }) =>
    [time, pressure / 1e6, flowRate * 1e6, filled * 100].map(significant).join(','),
  );
  return `${['time_s,gate_pressure_MPa,flow_rate_cm3_per_s,filled_percent', ...rows].join('\n')}\n`;
}

function significant(value: number): number {
  return Number(value.toPrecision(6));
}
