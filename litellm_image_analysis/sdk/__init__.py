"""Image analysis in programs that use LiteLLM as a library, for asynchronous and blocking calls."""
