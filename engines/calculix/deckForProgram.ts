/** The deck that CalculiX gets: the submitter's, with our own wishes for output in place of theirs. */

/** Output that a deck asks for: the results are the same for every deck. */
const OUTPUT =
  /^\s*\*\s*(node|el|contact|section|face|radiation)\s*(file|print|output)|^\s*\*\s*elementoutput|^\s*\*\s*element\s+output/i;
const END_OF_STEP = /^\s*\*\s*end\s*step/i;
const OWN_OUTPUT = ['*NODE FILE', 'U, RF', '*EL FILE', 'S'];

/** Lines keep what they say; only whole blocks of output wishes are left out. */
export function deckForProgram(text: string): string {
  const kept: string[] = [];
  let isLeftOut = false;
  for (const line of text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)) {
    if (/^\s*\*(?!\*)/.test(line)) {
      isLeftOut = OUTPUT.test(line);
      if (END_OF_STEP.test(line)) kept.push(...OWN_OUTPUT);
    }
    if (!isLeftOut) kept.push(line);
  }
  return `${kept.join('\n')}\n`;
}
