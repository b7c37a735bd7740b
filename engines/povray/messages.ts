/**
 * What POV-Ray complains about, from its message files (`+GF`, `+GW`): blocks such as
 * `File: scene.pov  Line: 4` and `Parse Error: No matching }.`, long lines wrapped with a blank in front.
 */

/** The error as a sentence with its line, or nothing. `scene` is the place in `work/` of the file that is rendered. */
export function readFault(text: string, scene: string): string | undefined {
  const lines = unwrapped(text);
  const at = lines.findIndex((line) => ERROR.test(line));
  const [, sentence = ''] = ERROR.exec(lines[at] ?? '') ?? [];
  if (sentence === '') return undefined;
  const [, file = scene, line] =
    lines
      .slice(0, at)
      .map((one) => PLACE.exec(one))
      .findLast(Boolean) ?? [];
  if (line === undefined) return cut(sentence);
  return cut(`${file === scene ? '' : `${file.replace(/^scene\//, '')} `}line ${line}: ${sentence}`);
}

/** The warnings, at most twenty, each in one line. */
export function readWarnings(text: string): string[] {
  return unwrapped(text)
    .map((line) => WARNING.exec(line)?.[1] ?? '')
    .filter((line) => line !== '')
    .slice(0, WARNINGS_MAX)
    .map(cut);
}

const WARNINGS_MAX = 20;
const SENTENCE_MAX = 500;
const ERROR = /^(?:Parse Error|Render Error|Fatal error|Error)[^:]{0,40}: (.+)/;
const WARNING = /^(?:Possible Parse Error|[A-Za-z ]{0,30}Warning): (.+)/;
const PLACE = /^File: (.+?) {2}Line: (\d+)/;

function unwrapped(text: string): string[] {
  return text.replace(/\n (?=\S)/g, ' ').split('\n');
}

function cut(text: string): string {
  return text.length > SENTENCE_MAX ? `${text.slice(0, SENTENCE_MAX)} …` : text.trim();
}
