"""Measurements of the plugin, each scenario in a process of its own: ``make bench``, ``docs/performance.md``."""
