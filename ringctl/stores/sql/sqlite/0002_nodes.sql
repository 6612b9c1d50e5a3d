-- works-with: 1
-- Nodes that were told to drain, or ended by themselves; and counts of what should be seldom. Only adds: a ringctl that
-- knows schema 1 works on beside one that knows this.

alter table node_session add column drained_by text not null default '';  -- who told it to; '' for nobody
alter table node_session add column ended integer not null default 0;  -- it ended by itself: nothing was lost

create table tally (              -- of what should be seldom: fenced writes, double claims
  name text not null,
  session text not null,
  value integer not null,
  primary key (name, session)
) strict, without rowid;
