"""One request analysed, with the LiteLLM around it. A proxy and the SDK use it alike."""
