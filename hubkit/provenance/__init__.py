"""Where a publication comes from, what is in it, and who vouches for it."""
