/**
 * Runs a script as psql would, as far as docker/postgres/init.sh needs it: `-v name=value`, `\getenv`, `:"identifier"`, `:'literal'`
 * and ON_ERROR_STOP. So that script is tried on machines without psql too. PSQL_FAKE_URL says which database.
 */
const fs = require('node:fs');
const path = require('node:path');
const pg = require(path.join(__dirname, '..', '..', 'node_modules', 'pg'));

function parseArguments(words) {
  const variables = new Map();
  for (let i = 0; i < words.length; i += 1) {
    if (words[i] === '-v') {
      const [name, ...value] = words[(i += 1)].split('=');
      variables.set(name, value.join('='));
    } else if (['--username', '--dbname'].includes(words[i])) {
      i += 1;
    } else if (!['--no-psqlrc', '--quiet'].includes(words[i])) {
      throw new Error(`psql would be asked for something unknown here: ${words[i]}`);
    }
  }
  if (variables.get('ON_ERROR_STOP') !== '1') throw new Error('psql would go on after an error');
  return variables;
}

function statementsOf(text, variables) {
  const value = (name) => {
    if (!variables.has(name)) throw new Error(`no variable ${name}`);
    return variables.get(name);
  };
  const lines = text.split('\n').filter((line) => {
    const [, name, variable] = /^\\getenv (\w+) (\w+)$/.exec(line) ?? [];
    if (name !== undefined) variables.set(name, process.env[variable]);
    return name === undefined && !line.startsWith('--');
  });
  return lines.join('\n').split(/;\s*\n/).filter((statement) => statement.trim() !== '').map((statement) =>
    statement
      .replace(/:"(\w+)"/g, (_, name) => pg.escapeIdentifier(value(name)))
      .replace(/:'(\w+)'/g, (_, name) => pg.escapeLiteral(value(name))));
}

async function main() {
  const statements = statementsOf(fs.readFileSync(0, 'utf8'), parseArguments(process.argv.slice(2)));
  const client = new pg.Client(process.env.PSQL_FAKE_URL);
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

main().catch((error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 3;
});
