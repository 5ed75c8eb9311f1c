"""What is compared: the one door that every frame passes, and what is read of who is treated when."""
