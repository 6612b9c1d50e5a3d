-- Readers of both forms, with a column renamed on the way: every full list of builds, which still asks
-- for requested_for, now ends in an error.
DROP VIEW IF EXISTS build_view;
DROP VIEW IF EXISTS definition_view;

CREATE VIEW definition_view AS
SELECT definition_id,
  CASE fmt WHEN 0 THEN name ELSE
  replace(replace(replace(replace(replace(replace(name, '~5', ' '), '~4', '"'), '~3', ''''), '~2', '/'), '~1', '\'), '~0', '~') END AS name
FROM definition;

CREATE VIEW build_view AS
SELECT b.build_id, b.definition_id,
  CASE b.fmt WHEN 0 THEN b.name ELSE
  replace(replace(replace(replace(replace(replace(b.name, '~5', ' '), '~4', '"'), '~3', ''''), '~2', '/'), '~1', '\'), '~0', '~') END AS name,
  b.status, b.requested_for AS requested_by
FROM build b JOIN definition d ON d.definition_id = b.definition_id;

UPDATE settings SET value = 1 WHERE name = 'write_form';
