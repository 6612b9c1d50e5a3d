The counters, counted anew from the rows. These scan; only `verify` (tests, `db check --deep`) runs them.

-- name: recount_progress
select t.rollout, t.wave, t.state, count(*) from task t where t.wave is not null group by t.rollout, t.wave, t.state

-- name: all_progress
select rollout, wave, sum(waiting), sum(pending), sum(running), sum(done), sum(failed), sum(unknown), sum(cancelled),
       sum(skipped)
  from progress group by rollout, wave

-- name: unlike_sizes
-- what was kept of done accounts against the accounts: (rollout, revision, decade) that differ
select rollout, proven, decade, count(*), max(size) from member where proven > 0 group by rollout, proven, decade
except
select rollout, revision, decade, sum(members), max(largest) from done_size group by rollout, revision, decade

-- name: unlike_members
-- a member's own columns against its tasks: (member, what is wrong)
select m.id, 'is_open' from member m where m.is_open <>
       (not exists (select 1 from task t where t.member = m.id and t.state in ('done', 'skipped')))
union all
select m.id, 'drawn' from member m where m.drawn <>
       (select coalesce(max(t.revision), 0) from task t where t.member = m.id and t.wave is not null)
union all
select m.id, 'touched_us' from member m where (m.touched_us is not null) <>
       (exists (select 1 from task t join effect e on e.task = t.id where t.member = m.id))
union all
select member, 'more than one open task' from task where state in ('waiting', 'pending', 'running')
 group by member having count(*) > 1

-- name: unlike_tasks
-- a running task has a claim, no other has; fences are never issued twice; logs have no gap
select id, 'claim' from task where (state = 'running') <> (claim is not null) or (claim is not null and holder is null)
union all
select min(id), 'fence issued twice' from task where fence > 0 group by fence having count(*) > 1
union all
select t.id, 'log has a gap' from task t where t.next_log - 1 <>
       (select count(*) from task_log l where l.task = t.id)

-- name: rollout_heads
select key, id, journal_seq, journal_hash, (select count(*) from outbox o where o.rollout = key) from rollout
