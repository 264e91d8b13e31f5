"""From the bytes of a file to the pixels of a window: block by block, or by GDAL."""
