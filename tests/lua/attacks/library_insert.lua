-- expect: script_error table is read-only
table.insert(table, "mine")
