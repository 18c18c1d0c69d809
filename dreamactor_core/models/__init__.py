"""What a model is: found by name, file or folder, then opened."""
