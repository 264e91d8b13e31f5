"""Where groundbreak's tasks run: a local cluster or a running one. distributed only; nothing here knows rasters."""

__distribution__ = "groundbreak"
