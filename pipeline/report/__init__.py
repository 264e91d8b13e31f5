"""The report that people read: charts, maps, one page."""
