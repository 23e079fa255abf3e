"""One module a scenario: ``p04_key.py`` is scenario P4. Each has ``SCENARIO``, a ``benchmarks.measure.Scenario``."""
