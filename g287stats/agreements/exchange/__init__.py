"""Records of others, read into our spells."""
