"""Where groundbreak's tasks run: a local cluster or a running one. Needs distributed only; knows nothing of rasters."""
