import { chooseRoute, type Route, taskQueueOf } from './route';

const POVRAY = { name: 'povray', programs: ['povray'] };
const SPICE = { name: 'spice' };
const NGSPICE = { name: 'ngspice', programs: ['ngspice'] };

describe('a job runs', () => {
  const offered: Route[] = [
    { runner: 'embedded', engine: 'spice' },
    { runner: 'sandbox', engine: 'spice' },
    { runner: 'external', engine: 'ngspice' },
    { runner: 'sandbox', engine: 'ngspice' },
  ];

  it('on the best engine that is offered, through the first runner that offers it', () => {
    expect(chooseRoute({ engines: [NGSPICE, SPICE], offers: offered })).toEqual({
      runner: 'sandbox',
      engine: 'ngspice',
    });
    expect(chooseRoute({ engines: [SPICE], offers: offered })).toEqual({ runner: 'sandbox', engine: 'spice' });
  });

  it('on the next engine when nobody offers the best', () => {
    const offers = offered.filter(({ engine }) => engine === 'spice');
    expect(chooseRoute({ engines: [NGSPICE, SPICE], offers })).toEqual({ runner: 'sandbox', engine: 'spice' });
  });

  it('through the runner that its submitter asks for, or not at all', () => {
    const engines = [NGSPICE, SPICE];
    expect(chooseRoute({ engines, offers: offered, wanted: 'external' })).toEqual({
      runner: 'external',
      engine: 'ngspice',
    });
    expect(chooseRoute({ engines, offers: offered, wanted: 'slurm' })).toBeUndefined();
  });

  it('on an engine that needs no program as soon as a compute worker comes', () => {
    expect(chooseRoute({ engines: [NGSPICE, SPICE], offers: [] })).toEqual({ runner: 'embedded', engine: 'spice' });
  });

  it('not at all when it needs a program that nobody has', () => {
    expect(chooseRoute({ engines: [POVRAY], offers: offered })).toBeUndefined();
  });
});

it('engines that drive a program have task queues of their own', () => {
  expect(taskQueueOf({ runner: 'embedded', engine: 'spice' })).toBe('holdfast-run-embedded');
  expect(taskQueueOf({ runner: 'sandbox', engine: 'povray' }, ['povray'])).toBe('holdfast-run-sandbox-povray');
});
