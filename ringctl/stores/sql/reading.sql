Reading for people and for drawing. Streams are read in pages by key: no read stays open while others write.

-- name: candidate_page
select m.id, m.account, m.ring, m.size, m.decade, m.reserve, m.rank, m.traits, m.columns,
       (select t.state from task t where t.member = m.id order by t.revision desc limit 1),
       (select t.state from task t where t.member = m.id and t.begun_us is not null order by t.revision desc limit 1),
       (select e.step from task t join effect e on e.task = t.id where t.member = m.id
            and e.step not like 'close_window.%' -- closing is no step of the way: `from_step` never names it
         order by t.revision desc, e.seq desc limit 1)
  from member m
 where m.rollout = :rollout and m.is_open = 1 and m.ring = :ring
   and (m.size, m.rank, m.id) > (:size, :rank, :id) and m.drawn < :revision
 order by m.size, m.rank, m.id limit :limit

-- name: largest_done
select max(largest) from done_size where rollout = :rollout and revision = :revision

-- name: largest_touched
select max(largest) from touched_size where rollout = :rollout

-- name: touched_accounts
select revision, count(*) from task where rollout = :rollout and begun_us is not null group by revision

-- name: done_decades
select decade, sum(members) from done_size where rollout = :rollout and revision = :revision group by decade

-- name: done_traits
select trait, value from done_trait where rollout = :rollout and revision = :revision

-- name: journal_page
select seq, at_us, kind, actor, payload, prev, hash from journal
 where rollout = :rollout and seq > :after order by seq limit :limit

-- name: task_page
select m.id, m.account, m.ring, t.id, t.revision, t.wave, t.state, t.attempt, t.reason, t.begun_us
  from (select id, account, ring from member where rollout = :rollout and account > :after
         order by account limit :limit) m
  join task t on t.member = m.id order by m.account, t.revision

-- name: tasks_of_account
select m.id, m.account, m.ring, t.id, t.revision, t.wave, t.state, t.attempt, t.reason, t.begun_us
  from member m join task t on t.member = m.id
 where m.rollout = :rollout and m.account = :account order by t.revision

-- name: notable_tasks
select m.id, m.account, m.ring, t.id, t.revision, t.wave, t.state, t.attempt, t.reason, t.begun_us
  from task t join member m on m.id = t.member
 where t.rollout = :rollout and t.state in ('failed', 'unknown')
union all
select m.id, m.account, m.ring, t.id, t.revision, t.wave, t.state, t.attempt, t.reason, t.begun_us
  from task t join member m on m.id = t.member
 where t.rollout = :rollout and t.state = 'running' and t.holder > ''
 order by 2, 5

-- name: effects_of_task
select step, digest, state, idem_key, fence, began_us, ended_us, outcome from effect where task = :task order by seq

-- name: touched_page
select id, account from member where rollout = :rollout and touched_us is not null and account > :after
 order by account limit :limit

-- name: exposure_of_member
select t.id, t.revision, t.state, t.ended_us, e.step, e.state, e.first_us, e.ended_us
  from task t join effect e on e.task = t.id where t.member = :member order by e.first_us, t.revision, e.seq

-- name: log_page
select t.revision, l.seq, l.line from member m join task t on t.member = m.id join task_log l on l.task = t.id
 where m.rollout = :rollout and m.account = :account and (t.revision, l.seq) > (:revision, :seq)
 order by t.revision, l.seq limit :limit
