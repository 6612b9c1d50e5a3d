PostgreSQL's own: locks where a decision is made on what was read, its clock, its transactions' ends.

Writing transactions are READ COMMITTED and lock what they rely on, always in the order rollout, wave, task. The waits
are bounded by the connection's settings (stores/postgres.py): a holder that stalls inside a transaction loses it.

-- name: now
select (extract(epoch from clock_timestamp()) * 1000000)::bigint

-- name: begin_write
begin

-- name: begin_read
begin isolation level repeatable read read only; set local statement_timeout = '60s'

-- name: begin_migration
begin; set local statement_timeout = 0; set local lock_timeout = '60s';
set local idle_in_transaction_session_timeout = '60s'; select pg_advisory_xact_lock(7423061);
do $$ begin if to_regnamespace('ringctl') is null then create schema ringctl; end if; end $$

-- name: may_use_schema
select 1 where coalesce(has_schema_privilege(to_regnamespace('ringctl'), 'usage'), true)

-- name: commit
commit

-- name: migration_table
create table if not exists migration (
  number integer primary key, name text not null, checksum text not null, applied_us bigint not null
)

-- name: reach_table
create table if not exists migration_reach (number integer primary key, works_with integer not null)

-- name: has_migration_table
select 1 where to_regclass('migration') is not null

-- name: has_reach_table
select 1 where to_regclass('migration_reach') is not null

-- name: applied_migrations
select number, name, checksum from migration order by number

-- name: add_migration
insert into migration (number, name, checksum, applied_us) values (:number, :name, :checksum, :now)

-- name: next_fences
select :epoch + nextval('fence') from generate_series(1, :count)

-- name: next_members
select :epoch + nextval('member_id') from generate_series(1, :count)

-- name: next_tasks
select :epoch + nextval('task_id') from generate_series(1, :count)

-- name: session_alive
-- shared with the node's other threads; `kill_sessions` waits for it
select 1 from node_session where id = :id and dead = 0 for share

-- name: admitting_wave
-- The wave's row, locked for the claiming transaction: after a hold, pause or amendment has committed no claim can
-- begin, and two claims never both count the same free places (I8).
select rollout, parallel, failures from wave where id = :wave and admitting = 1 and approved = :revision
   for no key update

-- name: lock_wave
select 1 from wave where id = :wave for no key update

-- name: lock_rollout
-- every apply takes this lock first: while it is held no wave of the rollout changes and no journal entry is added
select 1 from rollout where key = :rollout for no key update

-- name: lock_rollout_of_task
select 1 from rollout where key = (select rollout from task where id = :task) for no key update

-- name: lock_member
select 1 from member m join task t on t.member = m.id where m.rollout = :rollout and m.account = :account
   for update of m, t

-- name: lock_starts
-- one start at a time looks for accounts that another rollout holds
select pg_advisory_xact_lock(7423062)

-- name: pending_tasks
select t.id, t.attempt, t.start_at, t.resolving, m.id, m.account, m.size, m.traits, m.columns
  from task t join member m on m.id = t.member
 where t.wave = :wave and t.state = 'pending' order by t.rank limit :limit for update of t skip locked

-- name: unknown_tasks
select t.id, t.attempt, t.start_at, 1, m.id, m.account, m.size, m.traits, m.columns
  from task t join member m on m.id = t.member
 where t.wave = :wave and t.state = 'unknown' and t.resolve_after_us <= :now and t.resolve_tried < :tries
   and exists (select 1 from effect e where e.task = t.id and e.state in ('intent', 'unknown'))
 order by t.resolve_after_us, t.rank limit :limit for update of t skip locked

-- name: add_outbox
-- with the commit the nodes that listen are told: a hint, they look by themselves too
insert into outbox (rollout, seq) select :rollout, :seq from (select pg_notify('ringctl', '')) as told

-- name: put_latest_verdict
insert into latest_verdict (rollout, wave, check_name, verdict, reason, at_us, error, failed, numbers)
values (:rollout, :wave, :check_name, :verdict, :reason, :at_us, :error, :failed, :numbers)
on conflict (rollout, wave, check_name) do update set verdict = excluded.verdict, reason = excluded.reason,
       at_us = excluded.at_us, error = excluded.error, numbers = excluded.numbers,
       failed = greatest(latest_verdict.failed, excluded.failed)

-- name: untouched_among
select m.account from json_array_elements_text(cast(:accounts as json)) with ordinality as one (account, place)
  join member m on m.rollout = :rollout and m.account = one.account
 where m.touched_us is null order by one.place

-- name: unlike_members
select m.id, 'is_open' from member m where m.is_open <>
       (not exists (select 1 from task t where t.member = m.id and t.state in ('done', 'skipped')))::int
union all
select m.id, 'drawn' from member m where m.drawn <>
       (select coalesce(max(t.revision), 0) from task t where t.member = m.id and t.wave is not null)
union all
select m.id, 'touched_us' from member m where (m.touched_us is not null) <>
       (exists (select 1 from task t join effect e on e.task = t.id where t.member = m.id))
union all
select member, 'more than one open task' from task where state in ('waiting', 'pending', 'running')
 group by member having count(*) > 1

-- name: add_reach
insert into migration_reach (number, works_with) values (:number, :works_with)

-- name: all_reaches
select number, works_with from migration_reach
