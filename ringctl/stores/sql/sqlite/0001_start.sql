-- The first schema. Few indexes change while tasks run: every page a commit touches is written twice. Times are integer microseconds of the store's clock, booleans 0 or 1, states the words of
-- ringctl.core.states. Every index that serves a queue is partial, so that finished rows cost nothing.

create table counter (            -- one row per number that only rises: fence, wave, member, task
  name text primary key,
  value integer not null
) strict, without rowid;
insert into counter (name, value) values ('fence', 0), ('member', 0), ('task', 0), ('wave', 0);

create table node_session (
  id text primary key,            -- new at every process start, never a host name
  node text not null,
  started_us integer not null,
  lease_until_us integer not null,
  dead integer not null default 0,
  cleared integer not null default 0  -- dead, its grace over, and nothing of it left to rescue
) strict, without rowid;
create index session_alive on node_session (lease_until_us) where dead = 0;
create index session_dead on node_session (lease_until_us) where dead = 1 and cleared = 0;
create index session_cleared on node_session (lease_until_us) where cleared = 1;

create table bundle (
  digest text primary key,
  manifest text not null
) strict, without rowid;
create table blob (
  digest text primary key,
  content blob not null
) strict;
create table bundle_file (
  bundle text not null references bundle (digest),
  path text not null,
  blob text not null references blob (digest),
  primary key (bundle, path)
) strict, without rowid;

create table rollout (
  key integer primary key,
  id text not null unique,
  release text not null,
  component text not null,
  state text not null,
  is_open integer not null,
  version integer not null,
  policy text not null,
  holds text not null,
  drawn text not null,
  seed text not null,
  plan_digest text not null,
  fleet_digest text not null,
  accounts integer not null,
  created_us integer not null,
  ended_us integer,
  wake_at_us integer,
  actor text not null,
  origin text not null,
  origin_host text not null,
  journal_seq integer not null default 0,
  journal_hash text not null
) strict;
create index rollout_open on rollout (key) where is_open = 1;
create index rollout_component on rollout (component, state);

create table revision (
  rollout integer not null references rollout (key),
  number integer not null,
  digest text not null,
  author text not null,
  at_us integer not null,
  reason text not null,
  watcher text not null,
  actor text not null,
  change text not null,
  qualified_at_us integer,
  failed integer not null,
  document text not null,         -- the bundle as canonical JSON
  steps text not null,            -- its step ids in order, as JSON
  primary key (rollout, number)
) strict, without rowid;

create table ring (
  rollout integer not null references rollout (key),
  position integer not null,
  name text not null,
  primary key (rollout, position)
) strict, without rowid;

create table wave (
  id integer primary key,
  rollout integer not null references rollout (key),
  ring text not null,
  kind text not null,
  revision integer not null,
  accounts integer not null,
  state text not null,
  settle text not null,
  parallel integer not null,
  failures integer not null,
  largest real not null,
  opened_us integer,
  baking_us integer,
  ended_us integer,
  admitting integer not null,     -- 1 while a claim may begin; read by every claim in its own transaction
  approved integer not null,      -- the revision that may run here, 0 when none may
  -- what its looks have credited so far
  looks integer not null default 0,
  last_look_us integer,
  last_answer_us integer,
  bake_us integer not null default 0,
  baseline_us integer not null default 0,
  activity integer not null default 0
) strict;
create index wave_of on wave (rollout, id);

create table member (             -- an account's place in a rollout: frozen, but for the last four columns
  id integer primary key,
  rollout integer not null references rollout (key),
  account text not null,
  ring integer not null,          -- position in `ring`
  size real not null,
  decade integer not null,
  reserve integer not null,
  rank integer not null,          -- the unsigned rank less 2^63: same order, fits a signed column
  traits text not null,
  columns text not null,
  is_open integer not null default 1,   -- 0: done or skipped, nothing more to do
  drawn integer not null default 0,     -- the newest revision in which it was drawn into a wave
  touched_us integer,                   -- its first intent under any revision
  proven integer not null default 0,    -- the revision under which a worker did it (never a person's word)
  unique (rollout, account)
) strict;
create index member_draw on member (rollout, ring, size, rank, id);
create index member_control on member (rollout, rank) where touched_us is null;

create table ring_count (         -- open members by their newest drawing (`revision`, 0: never drawn),
  rollout integer not null,       -- as signed deltas per session: no hot row
  ring integer not null,
  reserve integer not null,
  revision integer not null,
  session text not null,
  members integer not null,
  primary key (rollout, ring, reserve, revision, session)
) strict, without rowid;

create table task (               -- one account under one revision
  id integer primary key,
  rollout integer not null references rollout (key),
  member integer not null references member (id),
  revision integer not null,
  wave integer references wave (id),
  state text not null,
  rank integer not null,
  claim text,
  fence integer not null default 0,
  attempt integer not null default 0,
  holder text references node_session (id),
  deadline_us integer,
  begun_us integer,
  ended_us integer,
  start_at text not null default '',
  resolving integer not null default 0,
  resolve_tried integer not null default 0,
  resolve_after_us integer not null default 0,
  cancel integer not null default 0,
  next_log integer not null default 1,
  reason text not null default '',
  unique (member, revision)
) strict;
create index task_wave on task (wave) where wave is not null;
create index task_ready on task (wave, rank) where state = 'pending';
create index task_held on task (holder) where state = 'running';
create index task_unknown on task (wave, resolve_after_us) where state = 'unknown';
create index task_undrawn on task (rollout) where wave is null;
create index task_notable on task (rollout, state) where state in ('failed', 'unknown');

create table effect (             -- one step of one task: intent and result
  task integer not null references task (id),
  seq integer not null,
  step text not null,
  digest text not null,
  idem_key text not null,
  state text not null,
  fence integer not null,
  claim text not null,
  first_us integer not null,      -- first intent ever; began_us is the latest one's
  began_us integer not null,
  ended_us integer,
  tries integer not null default 1,
  outcome text not null default '{}',
  primary key (task, step)
) strict, without rowid;

create table task_log (
  task integer not null references task (id),
  seq integer not null,
  fence integer not null,
  at_us integer not null,
  line text not null,
  primary key (task, seq)
) strict, without rowid;
create table late_log (           -- lines of stale holders: for forensics, never mixed in
  id integer primary key,
  task integer not null,
  claim text not null,
  at_us integer not null,
  line text not null
) strict;

create table progress (           -- signed deltas per wave and session: no hot row
  rollout integer not null,
  wave integer not null,
  session text not null,
  waiting integer not null,
  pending integer not null,
  running integer not null,
  done integer not null,
  failed integer not null,
  unknown integer not null,
  cancelled integer not null,
  skipped integer not null,
  primary key (rollout, wave, session)
) strict, without rowid;

create table done_size (          -- sizes of accounts done by workers, per decade; summed over sessions
  rollout integer not null,
  revision integer not null,
  decade integer not null,
  session text not null,
  members integer not null,
  largest real not null,
  primary key (rollout, revision, decade, session)
) strict, without rowid;

create table touched_size (       -- the largest account on which any step was begun, as each session saw it
  rollout integer not null,
  session text not null,
  largest real not null,
  primary key (rollout, session)
) strict, without rowid;

create table done_trait (
  rollout integer not null,
  revision integer not null,
  trait text not null,
  value text not null,
  primary key (rollout, revision, trait, value)
) strict, without rowid;

create table look (
  wave integer not null references wave (id),
  number integer not null,
  at_us integer not null,
  phase text not null,
  credit_us integer not null,
  activity integer not null,
  answered integer not null,
  primary key (wave, number)
) strict, without rowid;
create table judge (              -- the folded state of each check's judges: opaque text
  wave integer not null references wave (id),
  check_name text not null,
  state text not null,
  primary key (wave, check_name)
) strict, without rowid;
create table verdict (
  wave integer not null references wave (id),
  number integer not null,
  check_name text not null,
  verdict text not null,
  reason text not null,
  at_us integer not null,
  error text not null,
  failed integer not null,
  numbers text not null,
  primary key (wave, number, check_name)
) strict, without rowid;
create table latest_verdict (
  rollout integer not null,
  wave integer not null references wave (id),
  check_name text not null,
  verdict text not null,
  reason text not null,
  at_us integer not null,
  error text not null,
  failed integer not null,
  numbers text not null,
  primary key (rollout, wave, check_name)
) strict, without rowid;

create table drift (
  rollout integer not null references rollout (key),
  place text not null,
  files text not null,
  at_us integer not null,
  primary key (rollout, place)
) strict, without rowid;

create table journal (
  rollout integer not null references rollout (key),
  seq integer not null,
  at_us integer not null,
  kind text not null,
  actor text not null,
  payload text not null,
  prev text not null,
  hash text not null,
  primary key (rollout, seq)
) strict, without rowid;
create table outbox (             -- journal entries still to be told to notifiers
  id integer primary key,
  rollout integer not null,
  seq integer not null,
  sent_us integer
) strict;
create index outbox_unsent on outbox (id) where sent_us is null;
