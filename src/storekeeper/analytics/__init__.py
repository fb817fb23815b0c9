"""What analysts do with the data: read it in one call, draw it, write it to a file."""
