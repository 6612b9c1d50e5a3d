-- works-with: 2
-- How many holders were lost while they had the task: one that kills its workers is parked. Only adds.

alter table task add column deaths integer not null default 0;
