"""Where groundbreak's tasks run: a cluster that is started here, or one that runs. Knows nothing of rasters."""
