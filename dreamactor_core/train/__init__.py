"""Training: the small model's autoencoder, the foundation, and the LoRAs of every backbone."""
