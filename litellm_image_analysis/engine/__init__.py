"""The analysis of one request through LiteLLM. A proxy and the SDK share it."""
