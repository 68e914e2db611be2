import { Global, Module } from '@nestjs/common';
import { CertificateProof } from '../access/device-proof.js';
import { AuditModule } from '../audit/audit.module.js';
import { DevicesModule } from '../devices/devices.module.js';
import { UsersModule } from '../users/users.module.js';
import { AuthoritiesController } from './authorities.controller.js';
import { AuthoritiesRepository } from './authorities.repository.js';
import { AuthoritiesService } from './authorities.service.js';
import { AuthoritySuccessionService } from './authority-succession.service.js';
import { BrokerFiles } from './broker-files.js';
import { CertificateDrafts } from './certificate-drafts.js';
import { CertificateHolders, CertificateListing } from './certificate-holders.js';
import { CertificateMaterials } from './certificate-materials.js';
import { CertificateProofService } from './certificate-proof.service.js';
import { CertificateUse } from './certificate-use.js';
import { CertificatesController } from './certificates.controller.js';
import { CertificatesRepository } from './certificates.repository.js';
import { CertificatesService } from './certificates.service.js';
import { CrlKeeper } from './crl-keeper.js';
import { CrlsRepository } from './crls.repository.js';
import { CrlsService } from './crls.service.js';
import { ExpiryListeners } from './expiry-listeners.js';
import { ExpiryMonitor } from './expiry-monitor.js';
import { ExpiryRepository } from './expiry.repository.js';
import { OcspService } from './ocsp.service.js';
import { PkiGate } from './pki.gate.js';
import { PublicationsController } from './publications.controller.js';
import { PublicationsService } from './publications.service.js';
import { SealedSigner, Signer } from './signer.js';
import { TrustAnchors } from './trust-anchors.js';

/** Authorities, certificates, revocation. Global, so that the guard's room, a neighbour, is given the port `CertificateProof`. */
@Global()
@Module({
  imports: [AuditModule, DevicesModule, UsersModule],
  controllers: [CertificatesController, AuthoritiesController, PublicationsController],
  providers: [
    AuthoritiesRepository,
    AuthoritiesService,
    AuthoritySuccessionService,
    BrokerFiles,
    CertificatesRepository,
    CertificatesService,
    CertificateDrafts,
    CertificateHolders,
    CertificateListing,
    CertificateMaterials,
    CertificateUse,
    CrlsRepository,
    CrlsService,
    CrlKeeper,
    ExpiryListeners,
    ExpiryMonitor,
    ExpiryRepository,
    OcspService,
    PublicationsService,
    PkiGate,
    TrustAnchors,
    CertificateProofService,
    { provide: CertificateProof, useExisting: CertificateProofService },
    { provide: Signer, useClass: SealedSigner },
  ],
  exports: [CertificatesService, ExpiryListeners, AuthoritiesService, AuthoritySuccessionService, CrlsService, PublicationsService, PkiGate, CertificateProof],
})
export class PkiModule {}
