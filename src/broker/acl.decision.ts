import type { Facts } from '../devices/facts.js';
import { authorize, type TopicRefusal, type TopicRequest } from '../devices/topic.decision.js';
import type { Qos, TopicRule } from '../devices/topic-rule.js';
import { judgeStanding } from './connect.decision.js';
import { readSubject, type Subject } from './identity.js';
import type { AclQuestion } from './question.js';
import type { DoorReason } from './reasons.js';

export type AclVerdict =
  | { readonly allow: true; readonly rule: TopicRule }
  | { readonly allow: false; readonly reason: DoorReason | TopicRefusal };

export interface AclClaim {
  readonly subject: Subject;
  readonly request: TopicRequest;
}

/** Who asks for what; refuses what contradicts itself before anything is looked up. */
export function readAclClaim(question: AclQuestion): AclClaim | DoorReason {
  const subject = readSubject(question.clientid);
  if (subject === null) return 'CLIENTID_INVALID';
  if (question.username !== '' && question.username !== subject.name) return 'USERNAME_MISMATCH';
  if (question.device !== '' && question.device !== subject.name) return 'SUBJECT_MISMATCH';
  if (question.mountpoint !== '') return 'MOUNTPOINT_UNSUPPORTED';
  const qos = readQos(question.qos);
  const retain = readRetain(question.retain);
  if (qos === null || retain === null) return 'ACTION_INVALID';
  switch (question.action) {
    case 'publish':
      return { subject, request: { action: 'publish', topic: question.topic, qos, retain } };
    case 'subscribe':
      return { subject, request: { action: 'subscribe', filter: question.topic, qos } };
    default:
      return 'ACTION_INVALID';
  }
}

/** The verdict on a PUBLISH or SUBSCRIBE: the callback, the explain endpoint and the tests call this one. */
export function decideAcl(facts: Facts, stale: boolean, request: TopicRequest): AclVerdict {
  const standing = judgeStanding(facts, stale);
  if (standing !== null) return { allow: false, reason: standing };
  return authorize(facts.rules, request);
}

function readQos(text: string): Qos | undefined | null {
  switch (text) {
    case '':
      return undefined;
    case '0':
      return 0;
    case '1':
      return 1;
    case '2':
      return 2;
    default:
      return null;
  }
}

function readRetain(text: string): boolean | undefined | null {
  switch (text) {
    case '':
      return undefined;
    case 'true':
    case '1':
      return true;
    case 'false':
    case '0':
      return false;
    default:
      return null;
  }
}
