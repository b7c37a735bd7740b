/**
 * Drives POV-Ray: a scene to PNG pictures, each by a run of its own in the sandbox. Counters: `pixels` done, `samples`
 * taken for them, `rays` (as POV-Ray says at the end of each picture).
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Program, startProgram } from '../program';
import { declareResult, InputFault, runEngine, Stopped, writeResult } from '../protocol';
import { encodePng, UNFINISHED } from '../render/picture';
import { readWorkFile } from '../workFile';
import { readFault, readWarnings } from './messages';
import { panoramaScenes } from './panorama';
import { type PovrayParameters, readParameters } from './parameters';
import { judgePicture } from './picture';
import { layOutScene, rewriteScene, type SceneFiles } from './sceneFiles';
import { readStateFile } from './stateFile';
import { type PictureStatistics, readStatistics } from './statistics';

/** One picture to make. */
interface Order {
  /** The result, without its ending. */
  readonly name: string;
  /** What POV-Ray calls it in `work/`, without its ending. */
  readonly file: string;
  readonly options: readonly string[];
}

const MESSAGES_BYTES_MAX = 256 * 1024;
const PICTURE_BYTES_MAX = 512 * 1024 * 1024;
/** Half the time that a stop may take. POV-Ray was measured to need 0.45 s. */
const STOP_PATIENCE_MS = 1500;

const parameters = readParameters(readFileSync('parameters.json', 'utf8'));
const { width, height } = parameters;
const samplesPerPixel = parameters.samplesPerSide ** 2;
const pixelsEach = width * height;
const pixelsTotal = pixelsEach * (parameters.panorama ? 6 : parameters.frames);
const whole = { pictures: 0, rays: 0 };
/** As the program says it: whole pictures and blocks, not the lines of progress that our own counters follow. */
const stated = { pixels: 0, samples: 0, rays: 0 };
let isStated = false;
let pixelsOfCurrent = 0;
let running: Program | undefined;
let isStopped = false;

void runEngine({
  done: () => {
    const pixels = whole.pictures * pixelsEach + pixelsOfCurrent;
    return {
      fraction: pixels / pixelsTotal,
      counters: { pixels, samples: pixels * samplesPerPixel, rays: whole.rays },
    };
  },
  compute,
  stop: () => {
    isStopped = true;
    running?.signal('SIGINT');
    // Whatever its parser is at: finished blocks are in the state file either way.
    setTimeout(() => running?.signal('SIGKILL'), STOP_PATIENCE_MS);
  },
  // Of a scene that failed POV-Ray states nothing.
  statistics: () => (isStated ? stated : undefined),
});

async function compute(): Promise<void> {
  mkdirSync('work', { recursive: true });
  const scene = await layOutScene('input');
  const warnings = new Set<string>();
  const secondsPerPicture: number[] = [];
  let last: PictureStatistics | undefined;
  const summary = (): void => {
    const { finiteObjects, lightSources } = last ?? {};
    const facts = { width, height, pictures: whole.pictures, samplesPerPixel, threads: parameters.threads };
    const text = { ...facts, ...stated, finiteObjects, lightSources, secondsPerPicture, warnings: [...warnings] };
    isStated = true;
    writeResult('render.json', 'application/json', `${JSON.stringify(text, undefined, 2)}\n`);
  };
  for (const order of ordersOf(parameters, scene)) {
    const startedAt = performance.now();
    // Unlike the others, these names are not known to the scene, which can write files of its own. A name that starts
    // like "false" would be taken for a switch.
    const report = `report-${randomUUID()}`;
    const finished = await render(scene, order, report);
    if (!finished) {
      keepPartial(order);
      summary();
      throw new Stopped();
    }
    for (const warning of finished.warnings) warnings.add(warning);
    last = finished.statistics;
    writeFileSync(join('out', `${order.name}.png`), finished.picture);
    declareResult(`${order.name}.png`, 'image/png');
    pixelsOfCurrent = 0;
    whole.pictures += 1;
    whole.rays += last.rays;
    stated.pixels += last.width * last.height;
    // POV-Ray counts samples where there are several a pixel.
    stated.samples += samplesPerPixel === 1 ? last.width * last.height : last.samples;
    stated.rays += last.rays;
    secondsPerPicture.push(Math.round(performance.now() - startedAt) / 1000);
  }
  summary();
}

/** By what signals a program ends that does something wrong itself: illegal instruction, abort, bus, arithmetic, address. */
const CRASHES: ReadonlySet<number> = new Set([4, 6, 7, 8, 11].map((signal) => 128 + signal));

function* ordersOf({ frames, panorama }: PovrayParameters, scene: SceneFiles): Generator<Order> {
  if (panorama) {
    for (const [index, text] of panoramaScenes(scene.text.toString('latin1')).entries()) {
      rewriteScene(scene, text);
      const name = `face-${index + 1}`;
      yield { name, file: name, options: [`+O${name}.png`] };
    }
    return;
  }
  if (frames === 1) {
    yield { name: 'image', file: 'image', options: ['+Oimage.png'] };
    return;
  }
  for (let frame = 1; frame <= frames; frame++) {
    // POV-Ray adds the frame's number, with as many digits as the last one has.
    const file = `frame-${String(frame).padStart(String(frames).length, '0')}`;
    const options = ['+Oframe-.png', '+KFI1', `+KFF${frames}`, `+SF${frame}`, `+EF${frame}`];
    yield { name: `frame-${String(frame).padStart(4, '0')}`, file, options };
  }
}

interface Finished {
  readonly picture: Buffer;
  readonly statistics: PictureStatistics;
  readonly warnings: readonly string[];
}

/**
 * Renders one picture; nothing after a stop.
 *
 * @throws InputFault with POV-Ray's own sentence when the scene is wrong.
 */
async function render(
  { main, libraries }: SceneFiles,
  { name, file, options }: Order,
  report: string,
): Promise<Finished | undefined> {
  if (isStopped) return undefined;
  const { samplesPerSide, threads } = parameters;
  const program = startProgram(
    'povray',
    [
      ...[`+I${main}`, '+FN8', `+W${width}`, `+H${height}`, `+WT${threads}`, '-D', '-P', '-C'],
      // Every pixel gets all its samples, so that their number is known before and the same on each machine.
      ...(samplesPerSide === 1 ? ['-A'] : ['+AM1', '+A0.0', `+R${samplesPerSide}`, '-J']),
      ...['-GA', `+GS${report}.statistics`, `+GF${report}.fault`, `+GW${report}.warnings`, 'File_Gamma=sRGB'],
      ...libraries.map((folder) => `+L${folder}`),
      ...options,
    ],
    { onLine: readProgress },
  );
  running = program;
  const end = await program.end;
  running = undefined;
  const text = (kind: string): string => takeWorkFile(`${report}.${kind}`, MESSAGES_BYTES_MAX)?.toString('utf8') ?? '';
  if (end.code !== 0 && isStopped) return undefined;
  const fault = readFault(text('fault'), main);
  if (end.code === 1 && fault !== undefined) throw new InputFault(fault);
  if (CRASHES.has(end.code ?? 0)) {
    throw new InputFault(`POV-Ray itself crashed on this scene, by signal ${(end.code ?? 128) - 128}.`);
  }
  if (end.code !== 0)
    throw new Error(`povray ended with ${end.code ?? end.signal}: ${fault ?? end.output.slice(-2000)}`);
  // Success is not an exit code: the picture is decoded, and POV-Ray must have said what it did for it.
  const statistics = readStatistics(text('statistics'));
  if (statistics?.width !== width || statistics.height !== height) {
    throw new Error('povray ended well and wrote no statistics of this picture');
  }
  const picture = takeWorkFile(`${file}.png`, PICTURE_BYTES_MAX);
  const judged = picture ? await judgePicture(picture, parameters) : { fault: 'was not written' };
  if (!picture || judged.fault !== undefined) throw new Error(`povray ended well, but its picture ${judged.fault}`);
  const warnings = readWarnings(text('warnings'));
  return { picture, statistics, warnings: judged.warning ? [...warnings, `${name}: ${judged.warning}`] : warnings };
}

/** Reads a file and removes it: an animation would fill the folder. */
function takeWorkFile(name: string, bytesMax: number): Buffer | undefined {
  const bytes = readWorkFile(name, bytesMax);
  rmSync(join('work', name), { force: true });
  return bytes;
}

/** POV-Ray names pixels of the picture at hand; borders that are done again are not counted twice. */
function readProgress(line: string): void {
  const [, pixels] = /^Rendered (\d+) of \d+ pixels/.exec(line) ?? [];
  if (pixels !== undefined) pixelsOfCurrent = Math.max(pixelsOfCurrent, Math.min(Number(pixels), pixelsEach));
}

/** What there is of the picture that was stopped. */
function keepPartial({ file }: Order): void {
  const partial = readStateFile(`${file}.pov-state`, { width, height, unfinished: UNFINISHED });
  if (!partial) return;
  pixelsOfCurrent = Math.max(pixelsOfCurrent, partial.pixels);
  stated.pixels += partial.pixels;
  stated.samples += partial.pixels * samplesPerPixel;
  writeFileSync(join('out', 'partial.png'), encodePng(partial.rgb, width, height));
  declareResult('partial.png', 'image/png');
}
