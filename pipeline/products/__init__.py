"""From layers to published products: mosaics, sites and GeoParquet."""
