import type { ObjectKind } from '../access/decision.js';
import type { BindingRole } from '../access/permission.js';

/** A role that a member has on one group, and on what lies in it, or on one device. */
export interface RoleBinding {
  readonly id: string;
  readonly userId: string;
  readonly role: BindingRole;
  readonly groupId: string | null;
  readonly deviceId: string | null;
  readonly createdBy: string;
  readonly createdAt: Date;
  /** From then on it gives nothing. */
  readonly expiresAt: Date | null;
}

/** A live binding that reaches an object. */
export interface Reach {
  readonly bindingId: string;
  readonly userId: string;
  readonly role: BindingRole;
  /** The object that is reached. */
  readonly objectId: string;
  /** What the role is bound to: the object itself, or a group above it. */
  readonly boundTo: { readonly kind: ObjectKind; readonly id: string };
  /** Groups from the object upwards to what the role is bound to; empty where that is the device itself. */
  readonly path: readonly string[];
}

/** Whose live bindings narrow a list, and which roles of them count. */
export interface Viewer {
  readonly userId: string;
  readonly roles: readonly BindingRole[];
  readonly at: Date;
}
