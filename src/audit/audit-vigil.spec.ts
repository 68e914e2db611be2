import type { ModuleRef } from '@nestjs/core';
import { Permission } from '../access/permission.js';
import type { Principal, TenantPrincipal } from '../access/principal.js';
import type { Transactions } from '../platform/database/transactions.js';
import { logger } from '../platform/telemetry/logger.js';
import { AuditLogService } from './audit-log.service.js';
import type { AuditLogRepository, AuditLogRow } from './audit-log.repository.js';
import type { AuditService } from './audit.service.js';
import { AuditVigil } from './audit-vigil.js';

const PRINCIPAL = { kind: 'user', id: 'p', tenantId: 't', permissions: new Set([Permission.AuditExport]) } as unknown as TenantPrincipal;

/** A port that answers as told, and counts. */
function standing(answers: (boolean | Error)[]) {
  const asked: Permission[] = [];
  const port = {
    stillMay: async (_: Principal, permission: Permission) => {
      asked.push(permission);
      const answer = answers.shift() ?? true;
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  const modules = { get: () => port } as unknown as ModuleRef;
  const vigil = (recheck: number) => new AuditVigil(modules, { poll: 1, recheck, heartbeat: 1 });
  return { asked, vigil };
}

beforeAll(() => {
  logger.level = 'silent';
});

describe('the eye on a long reader', () => {
  it('asks about every right, and not before the time has come', async () => {
    const now = standing([]);
    expect(await now.vigil(0).over(PRINCIPAL, [Permission.AuditRead, Permission.PlatformAuditRead])()).toBe(true);
    expect(now.asked).toEqual([Permission.AuditRead, Permission.PlatformAuditRead]);
    const later = standing([false]);
    expect(await later.vigil(60_000).over(PRINCIPAL, [Permission.AuditRead])()).toBe(true);
    expect(later.asked).toEqual([]);
  });

  it('says no for good once one right is gone', async () => {
    const { vigil } = standing([true, false, true, true]);
    const watch = vigil(0).over(PRINCIPAL, [Permission.AuditRead]);
    expect([await watch(), await watch(), await watch()]).toEqual([true, false, false]);
  });

  it('says no when it cannot find out', async () => {
    expect(await standing([new Error('the database is gone')]).vigil(0).over(PRINCIPAL, [Permission.AuditRead])()).toBe(false);
    const nobody = { get: () => { throw new Error('nobody implements the port'); } } as unknown as ModuleRef;
    expect(await new AuditVigil(nobody, { poll: 1, recheck: 0, heartbeat: 1 }).over(PRINCIPAL, [Permission.AuditRead])()).toBe(false);
  });
});

describe('a long export', () => {
  it('breaks off, rather than end, when its caller may export no more', async () => {
    const row = (id: string): AuditLogRow => ({
      id, occurred_at: '2026-04-01T00:00:00.000000Z', event_type: 'AUTH_SUCCESS', severity: 'INFO', device_id: null, user_id: null,
      actor_kind: 'system', actor_id: null, ip: null, request_id: null, details: {},
    });
    const repository = { find: async () => Array.from({ length: 500 }, (_, i) => row(String(i))) } as unknown as AuditLogRepository;
    const transactions = { run: async (_: unknown, work: (tx: object) => unknown) => work({}) } as unknown as Transactions;
    const audit = { record: async () => undefined } as unknown as AuditService;
    const { vigil } = standing([true, false]);
    const stream = await new AuditLogService(repository, transactions, audit, vigil(0)).export(PRINCIPAL, {});
    let lines = 0;
    const read = async () => {
      for await (const chunk of stream) lines += String(chunk).split('\n').length - 1;
    };
    await expect(read()).rejects.toThrow('lost the right');
    expect(lines).toBe(1_000);
  });
});
