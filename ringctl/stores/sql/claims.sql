Sessions, claims, effects. Every write of a holder names `state = 'running' and claim = :claim`: a column that
each statement needs, not a lock that a change can leave out.

-- name: add_session
insert into node_session (id, node, started_us, lease_until_us) values (:id, :node, :now, :lease_until)

-- name: renew_session
update node_session set lease_until_us = :lease_until where id = :id and dead = 0 returning drained_by <> ''

-- name: session_alive
select 1 from node_session where id = :id and dead = 0

-- name: held_tasks
select t.id, t.claim, w.settle, t.cancel from task t join wave w on w.id = t.wave
 where t.holder = :holder and t.state = 'running' order by t.id

-- name: end_session
update node_session set dead = 1, ended = 1, lease_until_us = :now where id = :id and dead = 0

-- name: drain_session
update node_session set drained_by = :by where id = :id and dead = 0 and drained_by = ''

-- name: recent_sessions
-- three partial indexes, one each: no walk over all sessions that ever were
select s.id, s.node, s.started_us, s.lease_until_us, s.dead, s.ended, s.drained_by,
       (select count(*) from task t where t.holder = s.id and t.state = 'running')
  from node_session s where s.dead = 0
union all
select s.id, s.node, s.started_us, s.lease_until_us, s.dead, s.ended, s.drained_by,
       (select count(*) from task t where t.holder = s.id and t.state = 'running')
  from node_session s where s.dead = 1 and s.cleared = 0 and s.lease_until_us > :since
union all
select s.id, s.node, s.started_us, s.lease_until_us, s.dead, s.ended, s.drained_by,
       (select count(*) from task t where t.holder = s.id and t.state = 'running')
  from node_session s where s.cleared = 1 and s.lease_until_us > :since
 order by 3, 1

-- name: alive_sessions
select count(*) from node_session where dead = 0 and lease_until_us > :now

-- name: admitting_wave
-- read inside the claiming transaction: after a hold, pause or amendment has committed no claim can begin
select rollout, parallel, failures from wave where id = :wave and admitting = 1 and approved = :revision

-- name: wave_in_flight
select coalesce(sum(running), 0), coalesce(sum(failed + unknown), 0) from progress
 where rollout = :rollout and wave = :wave

-- name: pending_tasks
select t.id, t.attempt, t.start_at, t.resolving, m.id, m.account, m.size, m.traits, m.columns
  from task t join member m on m.id = t.member
 where t.wave = :wave and t.state = 'pending' order by t.rank limit :limit

-- name: take_task
update task set state = 'running', claim = :claim, fence = :fence, attempt = attempt + 1, holder = :holder,
       deadline_us = null, cancel = 0, ended_us = null, reason = ''
 where id = :id and state = 'pending'

-- name: waves_with_unknown
select p.wave, w.parallel, w.revision from progress p join wave w on w.id = p.wave
 where p.rollout = :rollout group by p.wave, w.parallel, w.revision having sum(p.unknown) > 0 order by p.wave

-- name: unknown_tasks
select t.id, t.attempt, t.start_at, 1, m.id, m.account, m.size, m.traits, m.columns
  from task t join member m on m.id = t.member
 where t.wave = :wave and t.state = 'unknown' and t.resolve_after_us <= :now and t.resolve_tried < :tries
   and exists (select 1 from effect e where e.task = t.id and e.state in ('intent', 'unknown'))
 order by t.resolve_after_us, t.rank limit :limit

-- name: take_unknown
update task set state = 'running', claim = :claim, fence = :fence, attempt = attempt + 1, holder = :holder,
       deadline_us = null, cancel = 0, ended_us = null, resolving = 1, resolve_tried = resolve_tried + 1
 where id = :id and state = 'unknown'

-- name: effects_of_member
-- the account's tasks in this rollout, and in ended ones of the component that did not succeed (12.1);
-- `cross join` fixes the order of the joins in SQLite: from the one account outwards, each by its key
select t.id, e.step, e.digest, e.state, e.idem_key, e.fence, e.began_us, e.ended_us, e.outcome
  from member mine
 cross join rollout here
 cross join rollout r
 cross join member m
 cross join task t
 cross join effect e
 where here.key = mine.rollout and r.component = here.component
   and (r.key = here.key or r.state in ('aborted', 'partial', 'superseded'))
   and m.rollout = r.key and m.account = mine.account and t.member = m.id and e.task = t.id
   and mine.id = :member order by r.key, t.revision, e.seq

-- name: unfinished_history
select 1 from rollout here join rollout r on r.component = here.component
 where here.key = :rollout and r.key <> here.key and r.state in ('aborted', 'partial', 'superseded') limit 1

-- name: begin_step
update task set deadline_us = :now + :deadline, begun_us = coalesce(begun_us, :now)
 where id = :task and state = 'running' and claim = :claim and cancel = 0 returning member, begun_us

-- name: touch_member
update member set touched_us = :now where id = :id and touched_us is null

-- name: add_intent
-- a step that took effect is never begun again under the same task
insert into effect (task, seq, step, digest, idem_key, state, fence, claim, first_us, began_us)
values (:task, (select coalesce(max(seq), 0) + 1 from effect where task = :task), :step, :digest, :key, 'intent',
        :fence, :claim, :now, :now)
on conflict (task, step) do update set digest = excluded.digest, idem_key = excluded.idem_key, state = 'intent',
       fence = excluded.fence, claim = excluded.claim, began_us = excluded.began_us, ended_us = null,
       tries = effect.tries + 1, outcome = '{}'
 where effect.state <> 'done'

-- name: end_step
-- a resolution is over when no other step of the task is open
update task set deadline_us = null, resolve_tried = case when resolving = 1 and :settled = 1 and not exists (
         select 1 from effect e where e.task = task.id and e.step <> :step and e.state in ('intent', 'unknown'))
       then 0 else resolve_tried end,
       resolving = case when resolving = 1 and :settled = 1 and not exists (
         select 1 from effect e where e.task = task.id and e.step <> :step and e.state in ('intent', 'unknown'))
       then 0 else resolving end
 where id = :task and state = 'running' and claim = :claim

-- name: end_effect
update effect set state = :state, ended_us = :now, outcome = :outcome where task = :task and step = :step

-- name: task_to_return
select w.state, r.is_open,
       exists (select 1 from effect e where e.task = t.id and e.state <> 'failed'),
       exists (select 1 from effect e where e.task = t.id and e.state in ('intent', 'unknown'))
  from task t join wave w on w.id = t.wave join rollout r on r.key = t.rollout
 where t.id = :task

-- name: finish_task
-- the holder stays as the last one; the claim is gone
update task set state = :state, claim = null, deadline_us = null, ended_us = :now, reason = :reason,
       resolve_after_us = :now, resolve_tried = case when resolving = 1 and :state = 'unknown' then 1000 else resolve_tried end,
       resolving = :resolving
 where id = :task and state = 'running' and claim = :claim
returning rollout, member, holder

-- name: close_member
update member set is_open = 0, proven = :proven where id = :id and is_open = 1
returning decade, size

-- name: add_done_size
insert into done_size (rollout, revision, decade, session, members, largest)
values (:rollout, :revision, :decade, :session, 1, :size)
on conflict (rollout, revision, decade, session) do update set members = done_size.members + 1,
       largest = case when done_size.largest < excluded.largest then excluded.largest else done_size.largest end

-- name: put_touched_size
insert into touched_size (rollout, session, largest)
select t.rollout, t.holder, :size from task t where t.id = :task
on conflict (rollout, session) do update set
       largest = case when touched_size.largest < excluded.largest then excluded.largest else touched_size.largest end

-- name: add_done_trait
insert into done_trait (rollout, revision, trait, value) values (:rollout, :revision, :trait, :value)
on conflict (rollout, revision, trait, value) do nothing

-- name: take_log_numbers
update task set next_log = next_log + :count where id = :task and state = 'running' and claim = :claim
returning next_log - :count

-- name: add_log_line
insert into task_log (task, seq, fence, at_us, line) values (:task, :seq, :fence, :at_us, :line)

-- name: add_late_line
insert into late_log (task, claim, at_us, line) values (:task, :claim, :at_us, :line)

-- name: anything_to_rescue
select 1 where exists (select 1 from node_session where dead = 0 and lease_until_us < :now)
            or exists (select 1 from node_session where dead = 1 and cleared = 0 and lease_until_us <= :now - :grace)
            or exists (select 1 from task where state = 'running' and holder > '' and deadline_us < :now)

-- name: kill_sessions
update node_session set dead = 1 where dead = 0 and lease_until_us < :now

-- name: dead_sessions
select id, lease_until_us from node_session where dead = 1 and cleared = 0 and lease_until_us <= :before
 order by lease_until_us limit :limit

-- name: clear_session
update node_session set cleared = 1 where id = :id

-- name: orphans_of
select t.id, t.claim, t.holder, s.lease_until_us from task t join node_session s on s.id = t.holder
 where t.holder = :holder and t.state = 'running' limit :limit

-- name: overdue_tasks
-- O(in flight): an index of deadlines would be written twice for every step
select t.id, t.claim, t.holder, s.lease_until_us from task t join node_session s on s.id = t.holder
 where t.state = 'running' and t.holder > '' and t.deadline_us < :now order by t.deadline_us limit :limit

-- name: orphan
-- re-read in the rescuing transaction; the UPDATE checks once more
select t.rollout, t.wave, t.revision, m.account, w.state, r.is_open, t.deaths,
       exists (select 1 from effect e where e.task = t.id and e.state in ('intent', 'unknown')),
       exists (select 1 from effect e where e.task = t.id and e.state <> 'failed')
  from task t join wave w on w.id = t.wave join rollout r on r.key = t.rollout join member m on m.id = t.member
 where t.id = :task

-- name: rescue_task
update task set state = :state, claim = null, deadline_us = null, resolving = 0, reason = :reason,
       deaths = deaths + :died, resolve_tried = case when :parked = 1 then 1000 else resolve_tried end,
       resolve_after_us = :resolve_after, ended_us = case when :state = 'pending' then null else :now end
 where id = :task and state = 'running' and claim = :claim

-- name: doubt_effects
update effect set state = 'unknown' where task = :task and state = 'intent'

-- name: task_to_resolve
select t.id, t.state, t.wave, t.member, t.revision, w.state, r.is_open
  from member m join task t on t.member = m.id left join wave w on w.id = t.wave join rollout r on r.key = m.rollout
 where m.rollout = :rollout and m.account = :account order by t.revision desc limit 1

-- name: resolve_task
update task set state = :state, reason = :reason, resolve_tried = 0, deaths = 0,
       resolving = case when :state = 'pending' and exists (
         select 1 from effect e where e.task = task.id and e.state in ('intent', 'unknown')) then 1 else 0 end,
       ended_us = case when :state = 'pending' then null else :now end
 where id = :task and state = :before

-- name: settle_effects
update effect set state = :state, ended_us = :now, outcome = :outcome where task = :task and state in ('intent', 'unknown')

-- name: rollout_id
select id from rollout where key = :key

-- name: add_tally
insert into tally (name, session, value) values (:name, :session, :count)
on conflict (name, session) do update set value = tally.value + excluded.value

-- name: all_tallies
select name, sum(value) from tally group by name order by name
