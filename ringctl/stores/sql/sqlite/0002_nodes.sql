-- Nodes that were told to drain, or ended by themselves; counts of what should be seldom. What is left to do is counted
-- from `progress` alone: a ringctl that knows only schema 1 would miss `ring_count`, and is refused.

alter table node_session add column drained_by text not null default '';  -- who told it to; '' for nobody
alter table node_session add column ended integer not null default 0;  -- it ended by itself: nothing was lost

create table tally (              -- of what should be seldom: fenced writes, double claims
  name text not null,
  session text not null,
  value integer not null,
  primary key (name, session)
) strict, without rowid;

drop table ring_count;
