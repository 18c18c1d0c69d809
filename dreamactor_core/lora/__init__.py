"""LoRAs on the feed-forward layers, and what other programs call them."""
