-- The product now writes names encoded, and finds encoded names only. Until the data is encoded it
-- finds nothing: this is the window of September 2017.
DROP VIEW IF EXISTS build_view;
DROP VIEW IF EXISTS definition_view;

CREATE VIEW definition_view AS
SELECT definition_id,
  replace(replace(replace(replace(replace(replace(name, '~5', ' '), '~4', '"'), '~3', ''''), '~2', '/'), '~1', '\'), '~0', '~') AS name
FROM definition WHERE fmt = 1;

CREATE VIEW build_view AS
SELECT b.build_id, b.definition_id,
  replace(replace(replace(replace(replace(replace(b.name, '~5', ' '), '~4', '"'), '~3', ''''), '~2', '/'), '~1', '\'), '~0', '~') AS name,
  b.status, b.requested_for
FROM build b JOIN definition d ON d.definition_id = b.definition_id
WHERE b.fmt = 1 AND d.fmt = 1;

UPDATE settings SET value = 1 WHERE name = 'write_form';
