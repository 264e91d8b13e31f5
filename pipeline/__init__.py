"""The pipeline: from STAC items to onset and halt dates, region by region. What users call is in ``groundbreak``."""
