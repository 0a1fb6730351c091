-- +goose Up

-- What each version is and did as a whole; the table change says it entity by
-- entity. Rows of either that are older than the retention are removed: the
-- versions that can be read are those in this table.
create table history (
  number  integer primary key,
  epoch   text not null,
  time    integer not null,  -- microseconds since 1970
  actor   text not null,
  created integer not null,  -- entities, each counted once
  updated integer not null,
  deleted integer not null,
  hash    text               -- of the snapshot, in hex; null where none was made
) strict;
create index history_time on history (time);

insert into history (number, epoch, time, actor, created, updated, deleted)
select c.version, v.epoch, max(c.time), max(c.actor),
  sum(case when c.first = 'insert' and c.last <> 'delete' then 1 else 0 end),
  sum(case when c.first <> 'insert' and c.last <> 'delete' then 1 else 0 end),
  sum(case when c.first <> 'insert' and c.last = 'delete' then 1 else 0 end)
from (
  select version, time, actor, ordinal,
    first_value(op) over of_entity as first, last_value(op) over of_entity as last,
    row_number() over of_entity as nth
  from change
  window of_entity as (partition by version, kind, id order by ordinal
    rows between unbounded preceding and unbounded following)
) c, config_version v
where c.nth = 1
group by c.version, v.epoch;
