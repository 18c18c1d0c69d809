"""What training the small model needs and no other."""
