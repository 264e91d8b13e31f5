"""The values of the pipeline, its configuration, and what every other part stands on."""
