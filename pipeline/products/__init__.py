"""From layers to what is published: mosaics, sites, GeoParquet."""
