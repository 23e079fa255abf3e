"""From the images of a request to the texts that replace them. Pure, except for the functions passed in."""
