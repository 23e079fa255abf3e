"""LiteLLM used as a library: its calls, blocking and not, with image analysis."""
