"""Skeletal animation: a figure cut out of its picture, whose joints and outline are known.

    picture, joints, mask --> figure.py: a layer for each part, a hinge for each joint
                          `-> ground.py: what lies behind
    driver's joints ------> motion.py: the figure's joints at every time, on_four.py: of animals,
                          | feet.py: feet that stand, moment.py: where it sets out from
                          `-> order.py: what is in front
                                          draw.py: frames

No network has a hand in it. What is drawn is the picture's own pixels, turned and moved, opaque,
at any size and any rate. Pictures are (h, w, 3) uint8, joints (18, 2) in pixels from the left top
edge.
"""
