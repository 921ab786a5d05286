"""Sources of images: folders, archives, tables, shards, built-in data sets."""
