"""Live streams and files: speech is found, handed to a recogniser, and every sample accounted for."""
