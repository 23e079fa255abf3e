"""Cached answers of vision models. Does not import LiteLLM."""
