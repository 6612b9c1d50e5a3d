Looks of waves, verdicts, folded judge states, drift, and the aggregates that `decide` sees.

-- name: progress_of_rollout
select wave, sum(waiting), sum(pending), sum(running), sum(done), sum(failed), sum(unknown), sum(cancelled),
       sum(skipped)
  from progress where rollout = :rollout group by wave

-- name: settling_of_wave
-- unknown tasks that a node may still settle by itself: the ones that `unknown_tasks` would hand out, now or later
-- (`resolve_after_us >= 0` always holds: it leads to the index of unknown tasks)
select count(*) from task t
 where t.wave = :wave and t.state = 'unknown' and t.resolve_after_us >= 0 and t.resolve_tried < :tries
   and exists (select 1 from effect e where e.task = t.id and e.state in ('intent', 'unknown'))

-- name: credits_of_rollout
select id, bake_us, baseline_us, activity, last_look_us, last_answer_us from wave where rollout = :rollout

-- name: verdicts_of_rollout
select wave, check_name, verdict, reason, at_us, error, failed, numbers from latest_verdict where rollout = :rollout

-- name: drift_of_rollout
select place, files, at_us from drift where rollout = :rollout order by at_us, place limit 1

-- name: put_drift
insert into drift (rollout, place, files, at_us) values (:rollout, :place, :files, :now)
on conflict (rollout, place) do update set files = excluded.files

-- name: end_drift
-- an empty place stands for all of them
delete from drift where rollout = :rollout and (place = :place or :place = '')

-- name: count_look
-- the compare-and-set: the look's number is the wave's looks so far + 1
update wave set looks = :number, last_look_us = :at_us,
       last_answer_us = case when :answered = 1 then :at_us else last_answer_us end,
       bake_us = bake_us + :bake, baseline_us = baseline_us + :baseline, activity = activity + :active
 where id = :wave and looks = :number - 1 returning rollout

-- name: add_look
insert into look (wave, number, at_us, phase, credit_us, activity, answered)
values (:wave, :number, :at_us, :phase, :credit_us, :activity, :answered)

-- name: put_judge
insert into judge (wave, check_name, state) values (:wave, :check_name, :state)
on conflict (wave, check_name) do update set state = excluded.state

-- name: add_verdict
insert into verdict (wave, number, check_name, verdict, reason, at_us, error, failed, numbers)
values (:wave, :number, :check_name, :verdict, :reason, :at_us, :error, :failed, :numbers)

-- name: put_latest_verdict
insert into latest_verdict (rollout, wave, check_name, verdict, reason, at_us, error, failed, numbers)
values (:rollout, :wave, :check_name, :verdict, :reason, :at_us, :error, :failed, :numbers)
on conflict (rollout, wave, check_name) do update set verdict = excluded.verdict, reason = excluded.reason,
       at_us = excluded.at_us, error = excluded.error, numbers = excluded.numbers,
       failed = max(latest_verdict.failed, excluded.failed)

-- name: wave_looks
select looks, last_look_us from wave where id = :wave

-- name: judges_of_wave
select check_name, state from judge where wave = :wave

-- name: accounts_of_wave
-- 1 at the end: nothing of it is measured (a person settled it, or it never began and never will)
select m.account, t.begun_us, case when t.state = 'done' then t.ended_us end,
       case when t.state in ('skipped', 'cancelled') or (t.state = 'done' and m.proven = 0)
              or (t.state = 'failed' and t.begun_us is null) then 1 else 0 end
  from task t join member m on m.id = t.member where t.wave = :wave order by t.rank

-- name: untouched_page
-- without the wave's own accounts, and those of waves at work: they are touched next
-- (a scalar, not `exists`: the planner would read all tasks for that)
select m.account, m.ring, m.size, m.decade, m.reserve, m.rank, m.traits
  from member m
 where m.rollout = :rollout and m.touched_us is null and m.rank >= :rank
   and coalesce((select 1 from task t join wave w on w.id = t.wave
                  where t.member = m.id and (w.id = :wave or w.state in ('open', 'baking')) limit 1), 0) = 0
 order by m.rank limit :limit

-- name: untouched_among
select m.account from json_each(:accounts) one cross join member m
 where m.rollout = :rollout and m.account = one.value and m.touched_us is null order by one.key

-- name: strata_of_wave
select m.traits, m.decade, count(*) from task t join member m on m.id = t.member
 where t.wave = :wave group by m.traits, m.decade

-- name: verdict_page
select w.id, w.ring, w.kind, w.revision, v.number, l.phase, v.at_us, v.check_name, v.verdict, v.reason, v.error,
       v.failed, v.numbers
  from verdict v join wave w on w.id = v.wave join look l on l.wave = v.wave and l.number = v.number
 where v.wave = :wave and (v.number, v.check_name) > (:number, :check_name)
 order by v.number, v.check_name limit :limit

-- name: wave_ids
select id from wave where rollout = :rollout order by id

-- name: step_measures
select m.account, sum(case when e.state = 'done' then e.ended_us - e.began_us else 0 end),
       sum(case when e.state = 'failed' then 1 else 0 end), sum(e.tries - 1),
       sum(case when e.state = 'failed' and e.outcome like '%"duplicate_key":%' then 1 else 0 end)
  from task t join effect e on e.task = t.id join member m on m.id = t.member
 where t.wave = :wave and t.begun_us is not null
   -- what nobody saw end, and what a person settled, measures nothing
   and t.state <> 'unknown' and not (t.state = 'done' and m.proven = 0) group by m.account

-- name: step_times
-- steps done, and steps that a living node runs now; what was settled by asking or by a person has no length
select m.account, e.step, m.decade, m.size, e.began_us, case when e.state = 'done' then e.ended_us end
  from task t join member m on m.id = t.member join effect e on e.task = t.id
  left join node_session s on s.id = t.holder
 where t.wave = :wave and t.begun_us is not null and e.step not like 'close_window%'
   and ((e.state = 'done' and e.outcome not like '%"resolved":%' and e.outcome not like '%"by":%'
         and e.outcome not like '%"already":%')
     or (e.state = 'intent' and t.state = 'running' and s.dead = 0 and s.lease_until_us > :now))
 order by m.account, e.seq

-- name: step_classes
-- once in a wave's life: what each step took by decade in the revision's other waves
select e.step, m.decade, count(*), sum(e.ended_us - e.began_us), sum(m.size)
  from wave w join task t on t.wave = w.id join member m on m.id = t.member join effect e on e.task = t.id
 where w.rollout = :rollout and w.revision = :revision and w.id <> :wave and t.state = 'done' and m.proven > 0
   and e.state = 'done' and e.step not like 'close_window%'
   and e.outcome not like '%"resolved":%' and e.outcome not like '%"by":%' and e.outcome not like '%"already":%'
 group by e.step, m.decade
