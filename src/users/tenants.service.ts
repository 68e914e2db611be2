import { Injectable } from '@nestjs/common';
import { Pools } from '../platform/database/pools.js';
import { isCanonicalUuid } from '../platform/http/uuid-param.js';

export interface Tenant {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  readonly status: 'ACTIVE' | 'FROZEN';
}

/** Slug of the tenant that a fresh installation has. */
const DEFAULT_SLUG = 'default';

/** Tenants as the installation sees them, read by the reader role: nothing here is bound to one tenant. */
@Injectable()
export class TenantsService {
  private defaultId: Promise<string> | undefined;

  constructor(private readonly pools: Pools) {}

  /** Id of `default`; it never changes, so it is read once. */
  defaultTenantId(): Promise<string> {
    this.defaultId ??= this.readDefault().catch((error: unknown) => {
      this.defaultId = undefined;
      throw error;
    });
    return this.defaultId;
  }

  async find(id: string): Promise<Tenant | null> {
    const { rows } = await this.pools.reader.query<Tenant>('SELECT id, slug, name, status FROM tenants WHERE id = $1', [id]);
    return rows[0] ?? null;
  }

  /** @param name slug or id */
  async findByName(name: string): Promise<Tenant | null> {
    const { rows } = await this.pools.reader.query<Tenant>(
      'SELECT id, slug, name, status FROM tenants WHERE slug = $1 OR id = $2',
      [name, isCanonicalUuid(name) ? name : null],
    );
    return rows.find(({ id }) => id === name) ?? rows[0] ?? null;
  }

  private async readDefault(): Promise<string> {
    const { rows } = await this.pools.reader.query<{ id: string }>('SELECT id FROM tenants WHERE slug = $1', [DEFAULT_SLUG]);
    const id = rows[0]?.id;
    if (id === undefined) throw new Error(`there is no tenant "${DEFAULT_SLUG}": the migrations create it`);
    return id;
  }
}
