-- One batch: the names of builds, from raw to encoded. The marker column says which are done.
UPDATE build SET fmt = 1,
  name = replace(replace(replace(replace(replace(replace(name, '~', '~0'), '\', '~1'), '/', '~2'), '''', '~3'), '"', '~4'), ' ', '~5')
WHERE build_id BETWEEN :lo AND :hi AND fmt = 0
