"""``litellm-image-analysis eval``: how faithfully vision models report small pictures whose content is known."""
