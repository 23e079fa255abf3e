"""Scripts of the project: distributions, the release check, the newcomer's path, and the documentation site's hooks."""
