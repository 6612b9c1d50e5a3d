SQLite's own: the clock (no `unixepoch('subsec')` before 3.42; to the millisecond) and the transaction's ends.

-- name: now
select cast(strftime('%s', 'now') as integer) * 1000000 + cast(substr(strftime('%f', 'now'), 4) as integer) * 1000

-- name: begin_write
begin immediate

-- name: begin_read
begin deferred

-- name: commit
commit

-- name: lock_wave
-- nothing is locked, here and below: a writer of SQLite is alone
select 1

-- name: lock_rollout
select 1

-- name: lock_rollout_of_task
select 1

-- name: lock_member
select 1

-- name: lock_starts
select 1

-- name: reach_table
create table if not exists migration_reach (number integer primary key, works_with integer not null) strict

-- name: has_reach_table
select 1 from sqlite_master where type = 'table' and name = 'migration_reach'

-- name: last_told
select coalesce(max(id), 0) from outbox

-- name: add_reach
insert into migration_reach (number, works_with) values (:number, :works_with)

-- name: all_reaches
select number, works_with from migration_reach

-- name: migration_table
create table if not exists migration (
  number integer primary key, name text not null, checksum text not null, applied_us integer not null
) strict

-- name: has_migration_table
select 1 from sqlite_master where type = 'table' and name = 'migration'

-- name: applied_migrations
select number, name, checksum from migration order by number

-- name: add_migration
insert into migration (number, name, checksum, applied_us) values (:number, :name, :checksum, :now)
