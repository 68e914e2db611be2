import { judgeAuthentication } from './authentication.rules.js';
import { judgeAuthorization } from './authorization.rules.js';
import { judgeFeatures } from './feature.rules.js';
import { finding, shown, type Finding, type FindingId } from './finding.js';
import { readHocon, type HoconObject } from './hocon.js';

/**
 * Every setting that lets traffic past Portcullis, errors first. Pure.
 * @param complete the whole running configuration, with defaults filled in; of a file what is missing has EMQX's default.
 */
export function lint(config: HoconObject, complete: boolean): Finding[] {
  const findings: Finding[] = [];
  const report = (id: FindingId, path: string, found: Parameters<typeof shown>[0], write?: string): void => {
    findings.push(finding(id, path, shown(found), write));
  };
  judgeAuthorization(config, report);
  judgeAuthentication(config, complete, report);
  judgeFeatures(config, complete, report);
  return sorted(findings);
}

/** The same for text: what could not be understood is a finding. */
export function lintText(text: string, complete: boolean): Finding[] {
  const { value, problems } = readHocon(text);
  const unjudged = problems.map(({ line, what }) => finding('unjudged', `line ${line}`, what));
  return sorted([...unjudged, ...lint(value, complete)]);
}

/** Errors that nobody waived: what keeps a production process from being ready. */
export function blocking(findings: readonly Finding[], waived: ReadonlySet<FindingId>): Finding[] {
  return findings.filter(({ id, severity }) => severity === 'error' && !waived.has(id));
}

function sorted(findings: readonly Finding[]): Finding[] {
  return [...findings.filter(({ severity }) => severity === 'error'), ...findings.filter(({ severity }) => severity === 'warning')];
}
