"""Files of single agencies, supplied by the user, and the counties made of them."""
