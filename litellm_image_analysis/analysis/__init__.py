"""From the images of a request to the texts that replace them. Pure functions, except for the calls passed in."""
