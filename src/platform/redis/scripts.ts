import type { Redis } from 'ioredis';
import { WINDOW_CAP } from './key-value.js';

/**
 * The Redis form of the operations that need more than one command. Each touches exactly one key, so
 * they run on a cluster as they are. `now` is empty in service: the scripts then take the time of
 * Redis, so that the clocks of several instances need not agree. Tests pass it, to compare with the
 * TypeScript form. Numbers are written with %.0f: Lua's own form turns 13 digits and more to 1e+12.
 */
const NOW = `
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
`;

/**
 * A stored versioned value is "<version>:v<value>", a tombstone "<version>:t". Sixteen digits hold every safe integer.
 * A tombstone is written even when Redis is full: it weighs nothing, and without it the outdated value would be read on. Redis
 * refuses only a script's first write for want of memory, and DEL never.
 */
const WRITE_IF_NEWER = `
local head = redis.call('GETRANGE', KEYS[1], 0, 17)
if head ~= '' then
  local digits, kind = string.match(head, '^(%d+):([vt])')
  local stored, offered = tonumber(digits), tonumber(ARGV[1])
  if stored > offered then return 0 end
  if stored == offered and kind == 't' and ARGV[2] == 'v' then return 0 end
end
if ARGV[2] == 't' then redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2] .. ARGV[3], 'PX', ARGV[4])
return 1
`;

/** ARGV: interval, burst, cost, '1' to keep what was spent, now. Answers allowed, retryAfter, remaining. */
const GCRA = `${NOW}
local interval, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = clock(ARGV[5])
local tolerance = interval * burst
local stored = tonumber(redis.call('GET', KEYS[1]) or '') or now
local before = math.min(math.max(stored, now), now + tolerance)
local after = math.max(before + cost * interval, now)
local allowAt = after - tolerance
local function left(tat) return math.floor((now + tolerance - tat) / interval) end
local function keep(tat)
  if ARGV[4] == '1' then
    redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', string.format('%.0f', tat - now))
  end
end
if now < allowAt then
  if before < stored then keep(before) end
  return {0, allowAt - now, left(before)}
end
if ARGV[4] ~= '1' then return {1, 0, left(before)} end
if after > now then
  keep(after)
else
  redis.call('DEL', KEYS[1])
end
return {1, 0, left(after)}
`;

/** ARGV: window, now. */
const COUNT_IN_WINDOW = `${NOW}
local window, now = tonumber(ARGV[1]), clock(ARGV[2])
redis.call('RPUSH', KEYS[1], string.format('%.0f', now))
while redis.call('LLEN', KEYS[1]) > ${WINDOW_CAP} do redis.call('LPOP', KEYS[1]) end
while true do
  local oldest = redis.call('LINDEX', KEYS[1], 0)
  if not oldest or tonumber(oldest) > now - window then break end
  redis.call('LPOP', KEYS[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('LLEN', KEYS[1])
`;

/** ARGV: owner, ttl. */
const LEASE = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`;

/** ARGV: owner. */
const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
`;

/**
 * A hash: mark, owner, the end of the lease; owner is empty once settled. ARGV: mark, owner, lease, ttl, now.
 * Answers 0 claimed, 1 held, 2 done, 3 other.
 */
const CLAIM = `${NOW}
local now = clock(ARGV[5])
local held = redis.call('HMGET', KEYS[1], 'mark', 'owner', 'lease')
if held[1] then
  if held[1] ~= ARGV[1] then return 3 end
  if held[2] == '' then return 2 end
  if held[2] ~= ARGV[2] and tonumber(held[3]) > now then return 1 end
end
redis.call('HSET', KEYS[1], 'mark', ARGV[1], 'owner', ARGV[2], 'lease', string.format('%.0f', now + tonumber(ARGV[3])))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 0
`;

/** ARGV: mark, ttl. */
const SETTLE = `
local mark = redis.call('HGET', KEYS[1], 'mark')
if mark and mark ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'mark', ARGV[1], 'owner', '', 'lease', '0')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
`;

/** The commands that `defineScripts` adds. */
export interface ScriptCommands {
  pcWriteIfNewer(key: string, version: number, kind: 'v' | 't', value: string, ttlMs: number): Promise<number>;
  pcGcra(
    key: string,
    intervalMs: number,
    burst: number,
    cost: number,
    keep: '0' | '1',
    now: number | '',
  ): Promise<[number, number, number]>;
  pcCountInWindow(key: string, windowMs: number, now: number | ''): Promise<number>;
  pcLease(key: string, owner: string, ttlMs: number): Promise<number>;
  pcRelease(key: string, owner: string): Promise<number>;
  pcClaim(key: string, mark: string, owner: string, leaseMs: number, ttlMs: number, now: number | ''): Promise<number>;
  pcSettle(key: string, mark: string, ttlMs: number): Promise<number>;
}

/** Teaches a connection the scripts; they travel by hash and are sent again where Redis has forgotten them. */
export function defineScripts(redis: Redis): Redis & ScriptCommands {
  redis.defineCommand('pcWriteIfNewer', { numberOfKeys: 1, lua: WRITE_IF_NEWER });
  redis.defineCommand('pcGcra', { numberOfKeys: 1, lua: GCRA });
  redis.defineCommand('pcCountInWindow', { numberOfKeys: 1, lua: COUNT_IN_WINDOW });
  redis.defineCommand('pcLease', { numberOfKeys: 1, lua: LEASE });
  redis.defineCommand('pcRelease', { numberOfKeys: 1, lua: RELEASE });
  redis.defineCommand('pcClaim', { numberOfKeys: 1, lua: CLAIM });
  redis.defineCommand('pcSettle', { numberOfKeys: 1, lua: SETTLE });
  return redis as Redis & ScriptCommands;
}
