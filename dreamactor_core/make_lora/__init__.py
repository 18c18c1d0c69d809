"""From a folder of footage to two LoRAs, in one resumable job."""
