"""What is measured of a video that a system made, beside its driver and its reference.

None needs a judge. Each was tried on puppets, whose truth is known (validate.py): one whose rank
correlation with the true error is below LEAST_CORRELATION is not among METERS of scores.py.
"""

LEAST_CORRELATION = 0.6
