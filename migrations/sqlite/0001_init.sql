-- +goose Up

create table entity (
  kind       text not null,
  id         text not null,
  workspace  text not null,
  document   text not null,
  expires_at integer,        -- microseconds since 1970, null: never
  primary key (kind, id)
) strict, without rowid;
create index entity_page on entity (workspace, kind, id);
create index entity_expiry on entity (expires_at) where expires_at is not null;

create table unique_value (
  workspace text not null,
  kind      text not null,
  field     text not null,
  value     text not null,
  id        text not null,
  primary key (workspace, kind, field, value),
  foreign key (kind, id) references entity (kind, id) on delete cascade
) strict, without rowid;
create index unique_value_owner on unique_value (kind, id);

-- The rule says what the store does when the target is deleted. The foreign
-- key to the target is only a net beneath the store: what the database itself
-- deletes would be missing in the change log.
create table reference (
  kind        text not null,
  id          text not null,
  field       text not null,
  target_kind text not null,
  target_id   text not null,
  rule        text not null check (rule in ('restrict', 'cascade', 'set_null')),
  primary key (kind, id, field),
  foreign key (kind, id) references entity (kind, id) on delete cascade,
  constraint reference_target foreign key (target_kind, target_id) references entity (kind, id)
    on delete no action deferrable initially deferred
) strict, without rowid;
create index reference_children on reference (target_kind, target_id, field, kind, id);

create table entity_tag (
  workspace text not null,
  tag       text not null,
  kind      text not null,
  id        text not null,
  primary key (workspace, tag, kind, id),
  foreign key (kind, id) references entity (kind, id) on delete cascade
) strict, without rowid;
create index entity_tag_owner on entity_tag (kind, id);

-- Rows are added to this table and never changed or removed.
create table change (
  version         integer not null,
  ordinal         integer not null,
  time            integer not null,  -- microseconds since 1970
  actor           text not null,
  workspace       text not null,
  kind            text not null,
  id              text not null,
  op              text not null check (op in ('insert', 'update', 'delete')),
  document_before text,
  document_after  text,
  primary key (version, ordinal)
) strict, without rowid;
create index change_entity on change (kind, id, version);

-- One row. Each writing transaction adds one to the number.
create table config_version (
  only_row integer primary key default 1 check (only_row = 1),
  epoch    text not null,
  number   integer not null
) strict;
insert into config_version (epoch, number) values (
  lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a'
    || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))), 0);
