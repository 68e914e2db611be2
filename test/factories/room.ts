import { randomBytes } from 'node:crypto';
import type { ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import type { Clock } from '../../src/platform/clock/clock.js';
import { SystemClock } from '../../src/platform/clock/clock.js';
import type { Config } from '../../src/platform/config/config.js';
import { readConfig } from '../../src/platform/config/read-config.js';
import type { EntityClass } from '../../src/platform/database/data-source.js';
import { PlatformModule } from '../../src/platform/platform.module.js';
import type { KeyValueStore } from '../../src/platform/redis/key-value.js';
import { MemoryStore } from '../../src/platform/redis/memory-store.js';
import { databaseConfig, type TestDatabase } from './database.js';

export interface RoomOptions {
  readonly database: TestDatabase;
  readonly imports: NonNullable<ModuleMetadata['imports']>;
  readonly entities: readonly EntityClass[];
  readonly clock?: Clock;
  readonly store?: KeyValueStore;
  readonly env?: Record<string, string>;
  /** Connections of the REST side, 6 unless told. */
  readonly poolSize?: number;
}

/** A configuration for tests: fresh secrets, a cloned database, everything else at its default. */
export function testConfig(database: TestDatabase, env: Record<string, string> = {}): Config {
  const secret = () => randomBytes(36).toString('base64url');
  const config = readConfig({
    DATABASE_URL: database.url,
    DATABASE_ROLE_PREFIX: database.config.rolePrefix,
    JWT_SECRET: secret(),
    MQTT_INTERNAL_AUTH_SECRET: secret(),
    ADMIN_KEY: secret(),
    SECRETS_MASTER_KEYS: `test:${randomBytes(32).toString('base64')}`,
    ...env,
  });
  return { ...config, database: { ...config.database, ...databaseConfig(database.url) } };
}

/** Some rooms on the ground floor over a real database, without HTTP. */
export async function openRooms(options: RoomOptions): Promise<TestingModule & { config: Config }> {
  const checked = testConfig(options.database, options.env);
  const config = { ...checked, database: { ...checked.database, poolSize: options.poolSize ?? checked.database.poolSize } };
  const clock = options.clock ?? new SystemClock();
  const store = options.store ?? new MemoryStore({ clock });
  const module = await Test.createTestingModule({
    imports: [PlatformModule.forRoot({ config, entities: options.entities, store, clock }), ...options.imports],
  }).compile();
  await module.init();
  return Object.assign(module, { config });
}
