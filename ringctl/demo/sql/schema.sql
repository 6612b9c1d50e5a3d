-- One account of the "builds" product, as it stood before the upgrade. Every name is stored raw.
-- `fmt` marks the stored form of a name: 0 raw, 1 encoded. Nothing ever guesses from the name itself.
CREATE TABLE definition (
  definition_id INTEGER PRIMARY KEY,
  name          TEXT    NOT NULL,
  fmt           INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE build (
  build_id      INTEGER PRIMARY KEY,
  definition_id INTEGER NOT NULL,
  name          TEXT    NOT NULL,
  fmt           INTEGER NOT NULL DEFAULT 0,
  status        TEXT    NOT NULL,
  requested_for TEXT    NOT NULL
);

-- write_form: the form in which the installed version of the product writes new names.
CREATE TABLE settings (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
);
INSERT INTO settings (name, value) VALUES ('write_form', 0);

-- The product reads through views only: they are its installed version. This one knows raw names.
CREATE VIEW definition_view AS
SELECT definition_id, name FROM definition WHERE fmt = 0;

CREATE VIEW build_view AS
SELECT b.build_id, b.definition_id, b.name, b.status, b.requested_for
FROM build b JOIN definition d ON d.definition_id = b.definition_id
WHERE b.fmt = 0 AND d.fmt = 0;
