"""``explain``: show what image analysis would do with a request.

The decisions are those of the proxy's own code. ``explanation.py`` asks for them without I/O. With ``--look``,
``look.py`` also asks the vision model.
"""
