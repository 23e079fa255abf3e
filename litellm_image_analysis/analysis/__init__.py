"""From the images found in a request to the texts that take their places. Pure, but for the calls it is given."""
