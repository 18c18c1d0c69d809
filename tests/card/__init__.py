"""A card that is none: tensors on a device of their own whose numbers lie in ordinary memory.

What a graphics card refuses is refused here too: an operation on tensors of two devices, NumPy on
a tensor of the card, a random generator of the CPU for a tensor of the card. So the roads of those
who own one can be driven where there is none:

    python -m tests.card make-lora footage --base BASE --out OUT --device card --dtype fp32

Not seen here: kernels, memory, speed, autocast, streams, offloading.
"""
