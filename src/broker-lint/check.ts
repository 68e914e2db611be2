import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { FINDING_IDS, isFindingId, type Finding, type FindingId } from './finding.js';
import { blocking, lintText } from './lint.js';
import { lintRunning, type EmqxAccess } from './running-configuration.js';

export interface CheckSurroundings {
  /** The management API, where it is configured. */
  readonly emqx: () => EmqxAccess | undefined;
  readonly print: (text: string) => void;
}

/**
 * `portcullis broker check [--file emqx.conf] [--json] [--waive id,…]`.
 * @returns 0: no error that is not waived; 1: there is one.
 * @throws for an option that is not known and a file that cannot be read.
 */
export async function checkBroker(words: readonly string[], { emqx, print }: CheckSurroundings): Promise<number> {
  const { values } = parseArgs({
    args: [...words],
    options: { file: { type: 'string' }, json: { type: 'boolean' }, waive: { type: 'string' } },
  });
  const waived = waiver((values.waive ?? '').split(',').map((id) => id.trim()).filter((id) => id !== ''));
  const findings = values.file === undefined ? await online(emqx()) : lintText(await readFile(values.file, 'utf8'), false);
  const errors = blocking(findings, waived);
  print(values.json ? `${JSON.stringify({ clean: errors.length === 0, findings: marked(findings, waived) }, null, 2)}\n` : report(findings, waived));
  return errors.length === 0 ? 0 : 1;
}

/** @throws naming every id that is none. */
export function waiver(ids: readonly string[]): ReadonlySet<FindingId> {
  const strange = ids.filter((id) => !isFindingId(id));
  if (strange.length > 0) throw new Error(`No finding is called ${strange.join(', ')}. There are: ${FINDING_IDS.join(', ')}.`);
  return new Set(ids.filter(isFindingId));
}

async function online(emqx: EmqxAccess | undefined): Promise<Finding[]> {
  if (emqx === undefined) throw new Error('Give --file emqx.conf, or set EMQX_API_URL, EMQX_API_KEY and EMQX_API_SECRET.');
  return lintRunning(emqx);
}

function marked(findings: readonly Finding[], waived: ReadonlySet<FindingId>): object[] {
  return findings.map((finding) => ({ ...finding, waived: waived.has(finding.id) }));
}

function report(findings: readonly Finding[], waived: ReadonlySet<FindingId>): string {
  const lines = findings.map(({ id, severity, path, found, why, write }) => {
    const label = waived.has(id) ? 'waived' : severity;
    return `${label.padEnd(8)} ${id}\n  at     ${path || 'the broker'}: ${found}\n  why    ${why}\n  write  ${write}\n`;
  });
  const errors = blocking(findings, waived).length;
  const warnings = findings.filter(({ severity }) => severity === 'warning').length;
  return `${lines.join('\n')}${lines.length > 0 ? '\n' : ''}${errors} errors, ${warnings} warnings.\n`;
}
