-- +goose Up

-- The workspace "default" is there from the start, with the same id in every
-- database. It is part of no version: the change log begins after it.
insert into entity (kind, id, workspace, document)
select 'workspaces', '00000000-0000-4000-8000-000000000000', '',
  '{"id":"00000000-0000-4000-8000-000000000000","name":"default","comment":null,"config":{},'
    || '"meta":{"color":null,"thumbnail":null},"created_at":' || t || ',"updated_at":' || t || '}'
from (select unixepoch() as t);
insert into unique_value (workspace, kind, field, value, id)
values ('', 'workspaces', 'name', 'default', '00000000-0000-4000-8000-000000000000');
