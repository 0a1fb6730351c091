-- +goose Up

-- Ids and keys are compared and sorted by their bytes, so that pages come in
-- the same order on every server and as on SQLite.

create table entity (
  kind       text collate "C" not null,
  id         text collate "C" not null,
  workspace  text collate "C" not null,
  document   text not null,  -- not jsonb, which would change the bytes
  expires_at bigint,         -- microseconds since 1970, null: never
  primary key (kind, id)
);
create index entity_page on entity (workspace, kind, id);
create index entity_expiry on entity (expires_at) where expires_at is not null;

create table unique_value (
  workspace text collate "C" not null,
  kind      text collate "C" not null,
  field     text collate "C" not null,
  value     text collate "C" not null,
  id        text collate "C" not null,
  primary key (workspace, kind, field, value),
  foreign key (kind, id) references entity (kind, id) on delete cascade
);
create index unique_value_owner on unique_value (kind, id);

-- The rule says what the store does when the target is deleted. The foreign
-- key to the target is only a net beneath the store: what the database itself
-- deletes would be missing in the change log.
create table reference (
  kind        text collate "C" not null,
  id          text collate "C" not null,
  field       text collate "C" not null,
  target_kind text collate "C" not null,
  target_id   text collate "C" not null,
  rule        text not null check (rule in ('restrict', 'cascade', 'set_null')),
  primary key (kind, id, field),
  foreign key (kind, id) references entity (kind, id) on delete cascade,
  constraint reference_target foreign key (target_kind, target_id) references entity (kind, id)
    on delete no action deferrable initially deferred
);
create index reference_children on reference (target_kind, target_id, field, kind, id);

create table entity_tag (
  workspace text collate "C" not null,
  tag       text collate "C" not null,
  kind      text collate "C" not null,
  id        text collate "C" not null,
  primary key (workspace, tag, kind, id),
  foreign key (kind, id) references entity (kind, id) on delete cascade
);
create index entity_tag_owner on entity_tag (kind, id);

-- Rows are added to this table and never changed or removed.
create table change (
  version         bigint not null,
  ordinal         integer not null,
  time            bigint not null,  -- microseconds since 1970
  actor           text not null,
  workspace       text collate "C" not null,
  kind            text collate "C" not null,
  id              text collate "C" not null,
  op              text not null check (op in ('insert', 'update', 'delete')),
  document_before text,
  document_after  text,
  primary key (version, ordinal)
);
create index change_entity on change (kind, id, version);

-- One row. Each writing transaction locks it last and adds one to the number;
-- a sequence would let a higher number be seen before a lower one.
create table config_version (
  only_row boolean primary key default true check (only_row),
  epoch    text not null,
  number   bigint not null
);
insert into config_version (epoch, number) values (gen_random_uuid()::text, 0);
