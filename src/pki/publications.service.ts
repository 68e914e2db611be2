import { Injectable } from '@nestjs/common';
import { platformError } from '../platform/problem/platform.errors.js';
import { TenantsService } from '../users/tenants.service.js';
import { AuthoritiesService } from './authorities.service.js';
import type { Authority } from './authority.js';
import { CrlsService, type ServedCrl } from './crls.service.js';
import { toPem } from './der.js';
import { OCSP_MALFORMED } from './ocsp.js';
import { OcspService } from './ocsp.service.js';
import { TrustAnchors } from './trust-anchors.js';

/** RFC 6960 §A.1 gives GET up to 255 bytes; a question of several certificates with a nonce still fits. */
const MAX_OCSP_BYTES = 4_096;

/** Papers of authorities, for everybody. */
@Injectable()
export class PublicationsService {
  constructor(
    private readonly tenants: TenantsService,
    private readonly authorities: AuthoritiesService,
    private readonly anchors: TrustAnchors,
    private readonly crls: CrlsService,
    private readonly answers: OcspService,
  ) {}

  /** Id of the authority that issues for `default` now. */
  async defaultAuthority(): Promise<string> {
    const { authority } = await this.authorities.issuing(await this.tenants.defaultTenantId());
    return authority.id;
  }

  /** PEM of the root that the current issuing authority of `default` rests on. */
  async root(): Promise<string> {
    const chain = await this.anchors.chainOf((await this.anchors.get(await this.defaultAuthority()))?.authority ?? (await this.authorities.root()));
    return toPem('CERTIFICATE', chain.at(-1) ?? Buffer.alloc(0));
  }

  /** PEM of every authority that a client's certificate may rest on. */
  async trusted(): Promise<string[]> {
    return (await this.anchors.all()).map(({ authority }) => toPem('CERTIFICATE', authority.certificate));
  }

  /** PEM @throws NOT_FOUND */
  async certificate(id: string): Promise<string> {
    return toPem('CERTIFICATE', (await this.known(id)).certificate);
  }

  /** PEM, the authority first, then upwards. @throws NOT_FOUND */
  async chain(id: string): Promise<string> {
    const chain = await this.anchors.chainOf(await this.known(id));
    return chain.map((der) => toPem('CERTIFICATE', der)).join('');
  }

  /** @throws NOT_FOUND */
  async crl(id: string): Promise<ServedCrl> {
    const crl = await this.crls.current(id, (await this.known(id)).tenantId);
    if (crl === null) throw platformError('NOT_FOUND');
    return crl;
  }

  /** DER; a question that cannot be read is answered with `malformedRequest`. @throws NOT_FOUND */
  async ocsp(id: string, body: unknown): Promise<Buffer> {
    const { tenantId } = await this.known(id);
    if (!Buffer.isBuffer(body) || body.length > MAX_OCSP_BYTES) return OCSP_MALFORMED;
    return this.answers.answer(id, tenantId, body);
  }

  private async known(id: string): Promise<Authority> {
    const anchor = await this.anchors.get(id);
    if (anchor === undefined) throw platformError('NOT_FOUND');
    return anchor.authority;
  }
}
