"""``doctor``: check the config of a proxy, and name the setting that corrects each fault.

Checks are functions that return findings. ``examine.py`` runs them, and ``command.py`` prints the findings.
"""
