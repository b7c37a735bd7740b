/** What is wrong with the input file, in a sentence for its author. Reported as `failed`, exit code 2. */
export class InputFault extends Error {
  override readonly name = 'InputFault';
}
