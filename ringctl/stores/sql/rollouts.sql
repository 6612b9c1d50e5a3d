Rollouts and what is saved with them. The rollout's row carries the head of its journal.

-- name: count_up
update counter set value = value + :count where name = :name returning value

-- name: rollout_key
select key from rollout where id = :id

-- name: rollout_row
select key, id, release, component, state, version, policy, holds, drawn, seed, plan_digest, fleet_digest,
       accounts, created_us, ended_us, actor, origin, origin_host
  from rollout where id = :id

-- name: add_rollout
insert into rollout (id, release, component, state, is_open, version, policy, holds, drawn, seed, plan_digest,
                     fleet_digest, accounts, created_us, ended_us, wake_at_us, actor, origin, origin_host, journal_hash)
values (:id, :release, :component, :state, :is_open, :version, :policy, :holds, :drawn, :seed, :plan_digest,
        :fleet_digest, :accounts, :created_us, :ended_us, null, :actor, :origin, :origin_host, :journal_hash)
returning key

-- name: save_rollout
-- the compare-and-set: nothing changes unless the version is the one that was read
update rollout set release = :release, component = :component, state = :state, is_open = :is_open,
       version = version + 1, policy = :policy, holds = :holds, drawn = :drawn, accounts = :accounts,
       ended_us = :ended_us, wake_at_us = :wake_at_us, plan_digest = :plan_digest,
       origin = :origin, origin_host = :origin_host
 where key = :key and version = :expected

-- name: all_rollouts
select id, release, component, state, version, created_us, wake_at_us from rollout order by created_us desc, key desc

-- name: open_rollouts
select id, release, component, state, version, created_us, wake_at_us from rollout
 where is_open = 1 order by created_us desc, key desc

-- name: served_rollouts
-- the open ones, and ended ones of which a node may still settle an account by asking
select id from rollout where is_open = 1
union
select r.id from task t join rollout r on r.key = t.rollout
 where t.state = 'unknown' and t.wave > 0 and t.resolve_tried < :tries and r.is_open = 0
   and exists (select 1 from effect e where e.task = t.id and e.state in ('intent', 'unknown'))
 order by 1

-- name: rollout_of_shared_account
-- driven by the other open rollouts, each account looked up by its unique key: nothing when there is no other
select r.id, min(theirs.account), count(*)
  from rollout r
  join member mine on mine.rollout = :rollout
  join member theirs on theirs.rollout = r.key and theirs.account = mine.account
 where r.is_open = 1 and r.key <> :rollout
 group by r.id limit 1

-- name: unsettled_elsewhere
-- what runs and what is unknown, each by its own index
select r.id, min(theirs.account), count(*)
  from (select member, rollout from task where state = 'running' and holder > ''
        union all select member, rollout from task where state = 'unknown' and wave > 0) t
  join member theirs on theirs.id = t.member
  join rollout r on r.key = t.rollout
  join member mine on mine.rollout = :rollout and mine.account = theirs.account
 where t.rollout <> :rollout
 group by r.id limit 1

-- name: revisions_of
-- the bundle as it was put into the store, else (a store without bytes: tests) its document
select r.number, r.digest, r.author, r.at_us, r.reason, r.watcher, r.actor, r.change, r.qualified_at_us, r.failed,
       coalesce(b.manifest, r.document)
  from revision r left join bundle b on b.digest = r.digest where r.rollout = :rollout order by r.number

-- name: revision_steps
select number, steps from revision where rollout = :rollout order by number

-- name: save_revision
insert into revision (rollout, number, digest, author, at_us, reason, watcher, actor, change, qualified_at_us, failed,
                      document, steps)
values (:rollout, :number, :digest, :author, :at_us, :reason, :watcher, :actor, :change, :qualified_at_us, :failed,
        :document, :steps)
on conflict (rollout, number) do update set watcher = excluded.watcher, change = excluded.change,
       qualified_at_us = excluded.qualified_at_us, failed = excluded.failed

-- name: count_revisions
select count(*) from revision where rollout = :rollout

-- name: add_ring
insert into ring (rollout, position, name) values (:rollout, :position, :name)

-- name: rings_of
select position, name from ring where rollout = :rollout order by position

-- name: waves_of
select id, ring, kind, revision, accounts, state, settle, parallel, failures, largest, opened_us, baking_us, ended_us,
       admitting, approved
  from wave where rollout = :rollout order by id

-- name: save_wave
insert into wave (id, rollout, ring, kind, revision, accounts, state, settle, parallel, failures, largest, opened_us,
                  baking_us, ended_us, admitting, approved)
values (:id, :rollout, :ring, :kind, :revision, :accounts, :state, :settle, :parallel, :failures, :largest, :opened_us,
        :baking_us, :ended_us, :admitting, :approved)
on conflict (id) do update set state = excluded.state, settle = excluded.settle, parallel = excluded.parallel,
       failures = excluded.failures, opened_us = excluded.opened_us, baking_us = excluded.baking_us,
       ended_us = excluded.ended_us, admitting = excluded.admitting, approved = excluded.approved

-- name: reset_bake
-- accounts were given back to the wave: what was credited after its last account no longer counts
update wave set bake_us = 0, activity = 0 where id = :wave

-- name: add_member
insert into member (id, rollout, account, ring, size, decade, reserve, rank, traits, columns, drawn)
values (:id, :rollout, :account, :ring, :size, :decade, :reserve, :rank, :traits, :columns, :drawn)

-- name: member_to_draw
select m.id, m.rank, m.is_open, m.drawn, t.id, t.state, t.revision, t.wave
  from member m left join task t on t.member = m.id and t.revision = (
       select max(revision) from task where member = m.id)
 where m.rollout = :rollout and m.account = :account

-- name: draw_member
update member set drawn = :revision where id = :id and is_open = 1

-- name: add_task
insert into task (id, rollout, member, revision, wave, state, rank, start_at)
values (:id, :rollout, :member, :revision, :wave, 'waiting', :rank, :start_at)

-- name: place_task
-- `coalesce`: by its key, never by the index of all that are not drawn yet
update task set wave = :wave, start_at = :start_at where id = :id and state = 'waiting' and coalesce(wave, 0) = 0

-- name: overtaken_tasks
select id, wave, state from task
 where member = :member and revision < :revision and state in ('waiting', 'unknown', 'failed')

-- name: cancel_overtaken
update task set state = 'cancelled', resolving = 0, ended_us = :now, reason = :reason
 where id = :id and state in ('waiting', 'unknown', 'failed')

-- name: open_wave_tasks
update task set state = 'pending' where wave = :wave and state = 'waiting'

-- name: idle_of_wave
-- 1: it stands half way (a step of it took effect, or nobody knows): such a task is never called cancelled
-- (a scalar, not `exists`: the planner would read all effects for that)
select state, begun_us is not null and coalesce((
         select 1 from effect e where e.task = task.id and e.state <> 'failed' limit 1), 0) = 1 as half, count(*)
  from task where wave = :wave and state in ('waiting', 'pending') group by state, half

-- name: cancel_idle_of_wave
update task set ended_us = :now, reason = :reason,
       state = case when begun_us is not null and coalesce((
         select 1 from effect e where e.task = task.id and e.state <> 'failed' limit 1), 0) = 1
         then 'unknown' else 'cancelled' end
 where wave = :wave and state in ('waiting', 'pending')

-- name: waves_with_idle
select wave from progress where rollout = :rollout group by wave having sum(waiting + pending) > 0 order by wave

-- name: cancel_undrawn
update task set state = 'cancelled', ended_us = :now, reason = :reason
 where rollout = :rollout and wave is null and state = 'waiting'

-- name: cancel_running_of_wave
update task set cancel = 1 where wave = :wave and state = 'running'

-- name: add_progress
insert into progress (rollout, wave, session, waiting, pending, running, done, failed, unknown, cancelled, skipped)
values (:rollout, :wave, :session, :waiting, :pending, :running, :done, :failed, :unknown, :cancelled, :skipped)
on conflict (rollout, wave, session) do update set
       waiting = progress.waiting + excluded.waiting, pending = progress.pending + excluded.pending,
       running = progress.running + excluded.running, done = progress.done + excluded.done,
       failed = progress.failed + excluded.failed, unknown = progress.unknown + excluded.unknown,
       cancelled = progress.cancelled + excluded.cancelled, skipped = progress.skipped + excluded.skipped

-- name: journal_head
select journal_seq, journal_hash from rollout where key = :rollout

-- name: set_journal_head
update rollout set journal_seq = :seq, journal_hash = :hash where key = :rollout and journal_seq = :seq - 1

-- name: add_entry
insert into journal (rollout, seq, at_us, kind, actor, payload, prev, hash)
values (:rollout, :seq, :at_us, :kind, :actor, :payload, :prev, :hash)

-- name: add_outbox
insert into outbox (rollout, seq) values (:rollout, :seq)

-- name: clear_drift
delete from drift where rollout = :rollout

-- name: has_bundle
select 1 from bundle where digest = :digest

-- name: add_bundle
insert into bundle (digest, manifest) values (:digest, :manifest) on conflict (digest) do nothing

-- name: add_blob
insert into blob (digest, content) values (:digest, :content) on conflict (digest) do nothing

-- name: add_bundle_file
insert into bundle_file (bundle, path, blob) values (:bundle, :path, :blob) on conflict (bundle, path) do nothing

-- name: bundle_manifest
select manifest from bundle where digest = :digest

-- name: bundle_files
select f.path, b.content from bundle_file f join blob b on b.digest = f.blob where f.bundle = :digest order by f.path
