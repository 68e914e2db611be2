import { compileRules } from './topic.decision.js';
import type { TopicRequest } from './topic.decision.js';
import { nearestRule } from './topic-nearest.js';
import type { TopicRule } from './topic-rule.js';

const rules: TopicRule[] = [
  { action: 'publish', topic: 'd/1/telemetry' },
  { action: 'publish', topic: 'd/1/events/#', qos: [0, 1] },
  { action: 'publish', topic: 'd/1/state', retain: true },
  { action: 'subscribe', topic: 'd/1/commands' },
  { action: 'subscribe', topic: 'd/1/config/+/#' },
  { action: 'subscribe', topic: 'e/+' },
];
const compiled = compileRules(rules);

describe('the nearest rule of a refused request', () => {
  it.each<[request: TopicRequest, topic: string, why: string]>([
    [
      { action: 'publish', topic: 'd/1/events/x', qos: 2, retain: false },
      'd/1/events/#',
      'the rule grants QoS 0, 1; 2 was asked for',
    ],
    [{ action: 'publish', topic: 'd/1/events/x' }, 'd/1/events/#', 'the rule grants QoS 0, 1; none was given'],
    [{ action: 'publish', topic: 'd/1/state', retain: false }, 'd/1/state', 'the rule grants retained messages only'],
    [{ action: 'publish', topic: 'd/1/commands', qos: 0 }, 'd/1/commands', 'the rule grants subscribe only'],
    [{ action: 'subscribe', filter: 'd/1/telemetry', qos: 0 }, 'd/1/telemetry', 'the rule grants publish only'],
    [
      { action: 'publish', topic: 'd/1/telemetri', qos: 0 },
      'd/1/telemetry',
      'level 3 is "telemetry" in the rule and "telemetri" in the request',
    ],
    [
      { action: 'publish', topic: 'd/1/telemetry/x', qos: 0 },
      'd/1/telemetry',
      'the rule ends before level 4, "x" in the request',
    ],
    [
      { action: 'subscribe', filter: 'd/1/config', qos: 0 },
      'd/1/config/+/#',
      'the request ends before level 4, "+" in the rule',
    ],
    [
      { action: 'subscribe', filter: '$share/g/d/1/config/#', qos: 0 },
      'd/1/config/+/#',
      '"#" at level 4 of the request reaches beyond "+" in the rule',
    ],
    [
      { action: 'subscribe', filter: 'd/+/commands', qos: 0 },
      'd/1/commands',
      '"+" at level 2 of the request reaches beyond "1" in the rule',
    ],
    [{ action: 'subscribe', filter: 'e/+/#', qos: 0 }, 'e/+', 'the rule ends before level 3, "#" in the request'],
  ])('%j', (request, topic, why) => {
    const nearest = nearestRule(compiled, request);
    expect({ topic: nearest?.rule.topic, why: nearest?.why }).toEqual({ topic, why });
  });

  it.each<[what: string, request: TopicRequest]>([
    ['is granted', { action: 'publish', topic: 'd/1/telemetry' }],
    ['shares no level with any rule', { action: 'publish', topic: 'x/1/telemetry' }],
    ['is reserved', { action: 'publish', topic: '$SYS/x' }],
    ['is invalid', { action: 'subscribe', filter: 'd/#/x' }],
    ['has a reserved share group', { action: 'subscribe', filter: '$share/g/$SYS/#' }],
  ])('is none if the request %s', (_, request) => {
    expect(nearestRule(compiled, request)).toBeUndefined();
  });
});
