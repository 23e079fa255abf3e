"""Answers of the vision model that are already known. Knows no LiteLLM."""
