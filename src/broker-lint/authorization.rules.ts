import { ACL_FIELDS, ACL_PATH, asks, judgeCallback } from './callback.rules.js';
import type { Report } from './finding.js';
import { isObject, type HoconObject, type HoconValue } from './hocon.js';
import { durationOf, listOf, switchOf, textOf, valueAt } from './reading.js';

/** EMQX's own, unlike the one of an authenticator. */
const USUAL_TIMEOUT_MS = 30_000;
const MAX_CACHE_MS = 60_000;

/** Who may publish and subscribe where, after the list of the CONNECT. */
export function judgeAuthorization(config: HoconObject, report: Report): void {
  const noMatch = valueAt(config, 'authorization.no_match');
  if (noMatch !== 'deny') report('no-match', 'authorization.no_match', noMatch);
  const sources = valueAt(config, 'authorization.sources');
  if (sources === undefined) report('sources-missing', 'authorization.sources', undefined);
  else judgeSources(listOf(sources), report);
  judgeCaches(config, report);
}

function judgeSources(sources: readonly HoconValue[], report: Report): void {
  let asked = false;
  sources.forEach((source, index) => {
    const path = `authorization.sources.${index + 1}`;
    const on = isObject(source) && switchOf(source['enable'], true) !== false;
    const type = isObject(source) ? textOf(source['type']) : '';
    if (isObject(source) && type === 'http' && asks(source, ACL_PATH)) {
      asked ||= on;
      if (on) judgeCallback(source, path, ACL_FIELDS, USUAL_TIMEOUT_MS, report);
    } else if (on || !isObject(source)) {
      // A disabled source of another kind is never asked.
      report(type === 'file' ? 'source-file' : 'source-foreign', path, type);
    }
  });
  if (!asked) report('source-callback', 'authorization.sources', sources.length === 0 ? 'an empty list' : 'none that is enabled');
}

function judgeCaches(config: HoconObject, report: Report): void {
  const cache = valueAt(config, 'authorization.cache');
  if (isObject(cache) && switchOf(cache['enable'], true) !== false && cache['ttl'] !== undefined) {
    const ttl = durationOf(cache['ttl']);
    if (ttl === null || ttl > MAX_CACHE_MS) report('acl-cache', 'authorization.cache.ttl', cache['ttl']);
  }
  for (const path of ['authorization.node_cache', 'authentication_settings.node_cache']) {
    const node = valueAt(config, path);
    // On by default since EMQX 6.2: a block that does not say `enable` may be on.
    if (isObject(node) && switchOf(node['enable'], true) !== false) report('node-cache', `${path}.enable`, node['enable'], `${path}.enable = false`);
  }
}
