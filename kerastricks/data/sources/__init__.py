"""Where images come from: folders, archives, tables, shards, built-in data sets."""
