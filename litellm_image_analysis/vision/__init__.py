"""Asking the vision model: the call, the gate in front of it, and local text recognition."""
