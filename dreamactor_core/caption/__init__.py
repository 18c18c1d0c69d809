"""Target-oriented text: a caption in which the reference performs the driver's motion."""
