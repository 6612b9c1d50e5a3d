What workers do for every task: one statement each, so that a process that is stopped in it holds no lock, and many
tasks in one go where their steps are fenced by a ledger. The rules are those of claims.sql, and the suite holds both.
`:now` is null, but for tests that bring a clock of their own. `state || ''` keeps the planner from walking the index
of everything that runs where it has the task's key.

-- name: lock_admitting_wave
-- the first half of a claim; what is free is counted by the next statement, which sees all claims before this lock
select rollout, parallel, failures from wave where id = :wave and admitting = 1 and approved = :revision
   and exists (select 1 from node_session where id = :session and dead = 0 for share)
   for no key update

-- name: claim_tasks
-- `any (array (...))`: the plan stays an index walk, whatever the limit (a join would read the whole table)
with flight as materialized (
  select coalesce(sum(running), 0) as running, coalesce(sum(failed + unknown), 0) as lost
    from progress where rollout = :rollout and wave = :wave
), taken as (
  update task set state = 'running', claim = replace(gen_random_uuid()::text, '-', ''),
         fence = :epoch + nextval('fence'), attempt = attempt + 1, holder = :session,
         deadline_us = null, cancel = 0, ended_us = null, reason = ''
   where id = any (array (
           select id from task where wave = :wave and state = 'pending' order by rank
            limit (select greatest(0, least(:limit, :parallel - running, :failures + 1 - lost - running)) from flight)
              for update skip locked))
     and state = 'pending'
  returning id, claim, fence, attempt, start_at, resolving, member, rank
), counted as (
  insert into progress (rollout, wave, session, waiting, pending, running, done, failed, unknown, cancelled, skipped)
  select :rollout, :wave, :session, 0, -count(*), count(*), 0, 0, 0, 0, 0 from taken having count(*) > 0
  on conflict (rollout, wave, session) do update set
         pending = progress.pending + excluded.pending, running = progress.running + excluded.running
)
select t.id, t.claim, t.fence, t.attempt, t.start_at, t.resolving, m.id, m.account, m.size, m.traits, m.columns
  from taken t join member m on m.id = t.member order by t.rank

-- name: intend_tasks
with clock as materialized (
  select coalesce(:now, (extract(epoch from clock_timestamp()) * 1000000)::bigint) as now
), given as materialized (
  select * from json_to_recordset(:given::json)
         as g (task bigint, claim text, fence bigint, step text, digest text, key text, deadline bigint)
), held as (
  update task t set deadline_us = clock.now + g.deadline, begun_us = coalesce(t.begun_us, clock.now)
    from given g, clock
   where t.id = g.task and t.claim = g.claim and t.state || '' = 'running' and t.cancel = 0
  returning t.id, t.member, t.rollout, t.holder, t.begun_us = clock.now as first, g.claim, g.fence, g.step, g.digest, g.key
), touched as (
  update member m set touched_us = clock.now from held h, clock
   where m.id = h.member and h.first and m.touched_us is null
), sized as (
  insert into touched_size (rollout, session, largest)
  select rollout, holder, :size from held where claim = :largest
  on conflict (rollout, session) do update set largest = greatest(touched_size.largest, excluded.largest)
), noted as (
  insert into effect (task, seq, step, digest, idem_key, state, fence, claim, first_us, began_us)
  select h.id, (select coalesce(max(e.seq), 0) + 1 from effect e where e.task = h.id), h.step, h.digest, h.key,
         'intent', h.fence, h.claim, clock.now, clock.now
    from held h, clock
  on conflict (task, step) do update set digest = excluded.digest, idem_key = excluded.idem_key, state = 'intent',
         fence = excluded.fence, claim = excluded.claim, began_us = excluded.began_us, ended_us = null,
         tries = effect.tries + case when effect.claim = excluded.claim and effect.state = 'intent' then 0 else 1 end, outcome = '{}'
   where effect.state <> 'done'
  returning task
)
select h.claim, exists (select 1 from noted n where n.task = h.id) from held h

-- name: finish_tasks
with clock as materialized (
  select coalesce(:now, (extract(epoch from clock_timestamp()) * 1000000)::bigint) as now
), given as materialized (
  select * from json_to_recordset(:given::json)
         as g (task bigint, claim text, fence bigint, state text, reason text, step text, result text, outcome text,
               lines text[], traits text[], trait_values text[])
), held as (
  update task t set state = g.state, claim = null, deadline_us = null, ended_us = clock.now, reason = g.reason,
         resolve_after_us = clock.now, resolving = 0, next_log = t.next_log + cardinality(g.lines)
    from given g, clock
   where t.id = g.task and t.claim = g.claim and t.state || '' = 'running'
  returning t.id, t.rollout, t.wave, t.member, t.revision, t.holder, t.next_log - cardinality(g.lines) as line,
            g.claim, g.fence, g.state, g.step, g.result, g.outcome
), ended as (
  update effect e set state = h.result, ended_us = clock.now, outcome = h.outcome from held h, clock
   where e.task = h.id and e.step = h.step and h.step <> ''
  returning e.task
), said as materialized (
  select g.task, s.number - 1 as number, s.line
    from given g, unnest(g.lines) with ordinality as s (line, number)
), logged as (
  insert into task_log (task, seq, fence, at_us, line)
  select s.task, h.line + s.number, h.fence, clock.now, s.line from said s join held h on h.id = s.task, clock
), late as (
  insert into late_log (task, claim, at_us, line)
  select s.task, g.claim, clock.now, s.line from said s join given g on g.task = s.task, clock
   where not exists (select 1 from held h where h.id = s.task)
     -- sent again after a lost answer: they are there already
     and not exists (select 1 from task t where t.id = g.task and t.fence = g.fence and t.claim is null
                        and t.state = g.state)
), closed as (
  update member m set is_open = 0, proven = h.revision from held h
   where m.id = h.member and m.is_open = 1 and h.state = 'done'
  returning m.rollout, m.decade, m.size, h.revision, h.holder
), counted as (
  insert into progress (rollout, wave, session, waiting, pending, running, done, failed, unknown, cancelled, skipped)
  select rollout, wave, holder || :slot, 0, 0, -count(*), count(*) filter (where state = 'done'),
         count(*) filter (where state = 'failed'), count(*) filter (where state = 'unknown'), 0, 0
    from held group by rollout, wave, holder
  on conflict (rollout, wave, session) do update set running = progress.running + excluded.running,
         done = progress.done + excluded.done, failed = progress.failed + excluded.failed,
         unknown = progress.unknown + excluded.unknown
), met as (
  insert into done_trait (rollout, revision, trait, value)
  select distinct h.rollout, h.revision, m.trait, m.value
    from given g join held h on h.id = g.task, unnest(g.traits, g.trait_values) as m (trait, value)
   where h.state = 'done'
  on conflict (rollout, revision, trait, value) do nothing
), done_sizes as (
  insert into done_size (rollout, revision, decade, session, members, largest)
  select rollout, revision, decade, holder || :slot, count(*), max(size) from closed
   group by rollout, revision, decade, holder
  on conflict (rollout, revision, decade, session) do update set members = done_size.members + excluded.members,
         largest = greatest(done_size.largest, excluded.largest)
)
select h.claim, h.step = '' or exists (select 1 from ended e where e.task = h.id) from held h

-- name: ended_by
-- after a lost answer: the claims that this very statement had ended before
select g.claim from json_to_recordset(:given::json) as g (task bigint, claim text, fence bigint, state text)
  join task t on t.id = g.task and t.fence = g.fence and t.state = g.state and t.claim is null

-- name: result_saved
-- after a lost answer: whether the result had been saved
select 1 from effect where task = :task and step = :step and claim = :claim and state = :state and ended_us is not null

-- name: save_results
with clock as materialized (
  select coalesce(:now, (extract(epoch from clock_timestamp()) * 1000000)::bigint) as now
), held as (
  update task t set deadline_us = null, next_log = t.next_log + json_array_length(:lines::json)
   where t.id = :task and t.claim = :claim and t.state || '' = 'running'
     -- sent again after a lost answer: it is there already
     and not exists (select 1 from effect e where e.task = t.id and e.step = :step and e.claim = :claim
                        and e.ended_us is not null)
  returning t.id, t.next_log - json_array_length(:lines::json) as line
), ended as (
  update effect e set state = :state, ended_us = clock.now, outcome = :outcome from held h, clock
   where e.task = h.id and e.step = :step
  returning e.task
), logged as (
  insert into task_log (task, seq, fence, at_us, line)
  select h.id, h.line + s.number - 1, :fence, clock.now, s.line
    from held h, clock, json_array_elements_text(:lines::json) with ordinality as s (line, number)
), late as (
  insert into late_log (task, claim, at_us, line)
  select :task, :claim, clock.now, s.line from clock, json_array_elements_text(:lines::json) as s (line)
   where not exists (select 1 from held)
     and not exists (select 1 from effect e where e.task = :task and e.step = :step and e.claim = :claim
                        and e.ended_us is not null)
)
select exists (select 1 from ended) from held

-- name: renew_and_report
with clock as materialized (
  select coalesce(:now, (extract(epoch from clock_timestamp()) * 1000000)::bigint) as now
), renewed as (
  update node_session set lease_until_us = clock.now + :lease from clock where id = :id and dead = 0
  returning drained_by <> '' as draining
)
select r.draining, t.id, t.claim, w.settle, t.cancel, (select max(number) from migration)
  from renewed r left join (task t join wave w on w.id = t.wave) on t.holder = :id and t.state = 'running'
 order by t.id

-- name: anything_to_rescue
with clock as materialized (
  select coalesce(:now, (extract(epoch from clock_timestamp()) * 1000000)::bigint) as now
)
select 1 from clock
 where exists (select 1 from node_session s where s.dead = 0 and s.lease_until_us < clock.now)
    or exists (select 1 from node_session s where s.dead = 1 and s.cleared = 0 and s.lease_until_us <= clock.now - :grace)
    or exists (select 1 from task t where t.state = 'running' and t.holder > '' and t.deadline_us < clock.now)
