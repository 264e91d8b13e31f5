"""From a file's bytes to pixels on a window: block by block, or through GDAL."""
