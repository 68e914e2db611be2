import { BooleanField, EnumField, IntegerField, IntegerListField, ObjectField, OpaqueField, TextField } from '../platform/http/fields.js';

export const EXPLAIN_ACTIONS = ['connect', 'publish', 'subscribe'] as const;

export class ExplainRequest {
  @EnumField(EXPLAIN_ACTIONS)
  action!: (typeof EXPLAIN_ACTIONS)[number];

  @TextField({ optional: true, max: 65_535, description: 'Topic of the publish, or filter of the subscription; not for `connect`.' })
  topic?: string;

  @OpaqueField({ optional: true, min: 1, max: 16_384, description: 'With `connect`: a client certificate in PEM, to be judged as at the mTLS listener. Left out, only the standing of device and tenant is told.' })
  certificate?: string;

  @IntegerField({ optional: true, min: 0, max: 2, description: '0 when left out.' })
  qos?: 0 | 1 | 2;

  @BooleanField({ optional: true, description: 'false when left out.' })
  retain?: boolean;
}

export class ExplainRule {
  @EnumField(['publish', 'subscribe', 'all'])
  action!: 'publish' | 'subscribe' | 'all';

  @TextField({ max: 65_535, description: 'Rendered: variables are filled in.' })
  topic!: string;

  @IntegerListField({ optional: true, min: 0, max: 2, maxItems: 3 })
  qos?: readonly number[];

  @BooleanField({ optional: true })
  retain?: boolean;
}

export class NearestRuleView {
  @ObjectField(() => ExplainRule)
  rule!: ExplainRule;

  @TextField({ max: 512, description: 'What parts the request from this rule.' })
  why!: string;
}

export class ExplainAnswer {
  @EnumField(['allow', 'deny'])
  result!: 'allow' | 'deny';

  @TextField({ max: 64, description: 'The reason that the broker’s door would count and audit; `ALLOWED` on allow.', example: 'TOPIC_NOT_GRANTED' })
  reason!: string;

  @TextField({ max: 512, description: 'The reason in words.' })
  meaning!: string;

  @ObjectField(() => ExplainRule, { optional: true, description: 'The rule that grants it.' })
  rule?: ExplainRule;

  @ObjectField(() => NearestRuleView, { optional: true, description: 'On deny: the rule that came closest.' })
  nearest?: NearestRuleView;
}
