/**
 * That one operation alone has a key. In an export the keys are listed once more, ordered by subject: so a double one stands
 * beside its twin. That the list has exactly the keys of the operations is told by a sum over both, so that nothing has to be
 * remembered.
 */
import { hash } from 'node:crypto';
import { textOf } from './fields';
import { type Findings, Wrong } from './findings';

/** Digests are added up in this many numbers of six bytes each, which stay exact. */
const PARTS = 5;
const PART = 6;
const MODULUS = 2 ** (8 * PART);

/** A sum that does not depend on the order of what is added. */
class Sum {
  private readonly parts = new Float64Array(PARTS);

  add(subject: string, act: string): void {
    const digest = hash('sha256', `${subject}/${act}`, 'buffer');
    for (let part = 0; part < PARTS; part += 1) {
      this.parts[part] = ((this.parts[part] as number) + digest.readUIntBE(part * PART, PART)) % MODULUS;
    }
  }

  equals(other: Sum): boolean {
    return this.parts.every((part, index) => part === other.parts[index]);
  }
}

export class Keys {
  private readonly used = new Sum();
  private readonly listed = new Sum();
  private subject = '';
  private readonly acts = new Set<string>();

  /** The key of an operation. */
  addUsed(subject: string, act: string): void {
    this.used.add(subject, act);
  }

  /** A line of the list. */
  addListed(fields: readonly string[], findings: Findings): void {
    const [, subject = '', field = ''] = fields;
    const act = textOf(field);
    findings.check([], { table: 'operations', row: `${subject}/${act}`, subject, act }, () => {
      this.listed.add(subject, act);
      if (subject !== this.subject) {
        const before = this.subject;
        this.subject = subject;
        this.acts.clear();
        if (subject < before) throw new Wrong('the list of keys is not in order', `after ${before}`, subject);
      }
      if (this.acts.has(act)) throw new Wrong('two operations have one key');
      this.acts.add(act);
    });
  }

  compare(findings: Findings): void {
    if (this.used.equals(this.listed)) return;
    findings.add(
      [],
      { table: 'operations', row: 'the list of keys' },
      new Wrong('it has other keys than the operations'),
    );
  }
}
