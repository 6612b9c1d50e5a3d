-- One batch: the names of definitions, from raw to encoded.
UPDATE definition SET fmt = 1,
  name = replace(replace(replace(replace(replace(replace(name, '~', '~0'), '\', '~1'), '/', '~2'), '''', '~3'), '"', '~4'), ' ', '~5')
WHERE definition_id BETWEEN :lo AND :hi AND fmt = 0
