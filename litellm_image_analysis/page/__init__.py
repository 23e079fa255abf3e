"""The page of recent analyses, ``GET /image-analysis`` on a proxy, for its admins."""
