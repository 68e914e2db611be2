import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module.js';
import { pruneAudit, pruneReport } from './audit/audit-retention.js';
import { checkBroker } from './broker-lint/check.js';
import { SigningKeysService } from './credentials/signing-keys.service.js';
import { CERT_HELP, runCert } from './cert-cli.js';
import { writeDocs } from './docs.js';
import { runStandaloneBroker } from './embedded/broker-standalone.js';
import { UnmanagedBroker } from './lifecycle/broker-control.js';
import { MIGRATIONS } from './migrations/migrations.js';
import { PKI_HELP, runPki } from './pki-cli.js';
import { AuthoritySuccessionService } from './pki/authority-succession.service.js';
import { CertificatesService } from './pki/certificates.service.js';
import { processEnvironment } from './platform/config/environment.js';
import { brokerSettingsOf, dataDirectoryOf, emqxApiOf, readConfig } from './platform/config/read-config.js';
import { DataKeys } from './platform/crypto/data-keys.js';
import { migrate } from './platform/database/migrate.js';
import { Pools } from './platform/database/pools.js';
import { logger } from './platform/telemetry/logger.js';
import { NestLogger } from './platform/telemetry/nest-logger.js';
import { openStore } from './runtime.js';
import { TenantsService } from './users/tenants.service.js';

const HELP = `portcullis <command>

  broker               the embedded MQTT 3.1.1 broker alone: asks the callbacks at INTERNAL_HOST:INTERNAL_PORT,
                       listens on MQTT_PORT of the loopback interface; needs MQTT_INTERNAL_AUTH_SECRET besides. The application
                       beside it has MQTT_URL=mqtt://127.0.0.1:… and MQTT_VERSION=3.1.1
  broker check         what the configuration of EMQX lets past Portcullis: of the one at EMQX_API_URL, or of a file;
                       [--file emqx.conf] [--json] [--waive id,...]; exit code 1 if there are errors
  migrate              bring the database of DATABASE_URL (or DATABASE_URL_MIGRATOR) to the newest schema
  keys rotate-signing  a new key for device tokens: published at once, signs in ten minutes; [--compromised]: signs at
                       once, and no token of an older key is good any more
  audit prune          drop the months of the security log before the newest N (the current one counts), as the role that
                       migrates; --keep-months N, and --really, without which it only says what it would drop
  secrets reseal       wrap every data key anew under the first of SECRETS_MASTER_KEYS, beside running instances that have it
                       too; may be broken off and begun again. Afterwards the older master keys may go
  docs [--check]       write docs/{errors,permissions,configuration}.md and docs/openapi.json, or compare them
${PKI_HELP}${CERT_HELP}  help                 this text
`;

/** Secrets of a development installation, where they are not in the environment. Read only: the data directory may be held. */
function generatedSecrets(env: ReturnType<typeof processEnvironment>): Record<string, string> {
  try {
    return JSON.parse(readFileSync(path.join(dataDirectoryOf(env), 'secrets.json'), 'utf8')) as Record<string, string>;
  } catch {
    return {};
  }
}

/** The code of the application itself, beside running instances: they hear of what changed. */
async function withApplication(env: ReturnType<typeof processEnvironment>, work: (app: INestApplicationContext) => Promise<number>): Promise<number> {
  const config = readConfig(env, generatedSecrets(env));
  logger.level = 'warn';
  const module = AppModule.forRoot({ config, store: await openStore(config), brokerControl: new UnmanagedBroker() });
  const app = await NestFactory.createApplicationContext(module, { logger: new NestLogger() });
  try {
    return await work(app);
  } finally {
    await app.close();
  }
}

async function rotateKeys(env: ReturnType<typeof processEnvironment>, [verb, ...flags]: string[]): Promise<number> {
  if (verb !== 'rotate-signing') {
    process.stderr.write(HELP);
    return 2;
  }
  return withApplication(env, async (app) => {
    const { kid, signsFrom } = await app.get(SigningKeysService).rotate({ compromised: flags.includes('--compromised') });
    process.stdout.write(`Key ${kid} signs device tokens from ${signsFrom.toISOString()}.\n`);
    return 0;
  });
}

/** Tells, and with `--really` drops, the months of the security log that are older than those to keep. */
async function pruneLog(env: ReturnType<typeof processEnvironment>, [verb, ...words]: string[]): Promise<number> {
  const { values } = parseArgs({ args: words, options: { 'keep-months': { type: 'string' }, really: { type: 'boolean' } } });
  const keep = values['keep-months'] ?? '';
  if (verb !== 'prune' || !/^[1-9]\d{0,3}$/.test(keep)) {
    process.stderr.write(`audit prune needs --keep-months, a whole number of at least 1.\n\n${HELP}`);
    return 2;
  }
  const config = readConfig(env, generatedSecrets(env));
  const really = values.really === true;
  process.stdout.write(pruneReport(await pruneAudit(config.database, Number(keep), really), really));
  return 0;
}

async function resealSecrets(env: ReturnType<typeof processEnvironment>, [verb]: string[]): Promise<number> {
  if (verb !== 'reseal') {
    process.stderr.write(HELP);
    return 2;
  }
  const config = readConfig(env, generatedSecrets(env));
  const pools = new Pools(config);
  try {
    const done = await new DataKeys(config, pools).rewrap((count, total) => process.stdout.write(`${count} of ${total}\n`));
    process.stdout.write(`${done} data keys wrapped anew; all are under the master key "${config.masterKeys[0]?.kid ?? ''}" now.\n`);
    return 0;
  } finally {
    await pools.onApplicationShutdown();
  }
}

async function main([command = 'help', ...rest]: string[]): Promise<number> {
  const env = processEnvironment();
  switch (command) {
    case 'broker': {
      const [verb, ...options] = rest;
      if (verb === 'check') return checkBroker(options, { emqx: () => emqxApiOf(env), print: (text) => process.stdout.write(text) });
      if (verb !== undefined) throw new Error(`broker ${verb} is no command.\n\n${HELP}`);
      await runStandaloneBroker({ host: '127.0.0.1', ...brokerSettingsOf(env, generatedSecrets(env)), logger });
      return 0;
    }
    case 'migrate': {
      const config = readConfig(env, generatedSecrets(env));
      const done = await migrate(config.database, MIGRATIONS);
      process.stdout.write(done.length === 0 ? 'The schema is the newest.\n' : `${done.join('\n')}\n`);
      return 0;
    }
    case 'keys':
      return rotateKeys(env, rest);
    case 'audit':
      return pruneLog(env, rest);
    case 'cert':
      return runCert(rest, (text) => process.stdout.write(text));
    case 'pki':
      return withApplication(env, (app) => runPki(rest, {
        succession: app.get(AuthoritySuccessionService),
        certificates: app.get(CertificatesService),
        tenants: app.get(TenantsService),
        print: (text) => process.stdout.write(text),
      }));
    case 'secrets':
      return resealSecrets(env, rest);
    case 'docs':
      return writeDocs(rest.includes('--check'));
    case 'help':
    case '--help':
      process.stdout.write(HELP);
      return 0;
    default:
      process.stderr.write(`Unknown command "${command}".\n\n${HELP}`);
      return 2;
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
