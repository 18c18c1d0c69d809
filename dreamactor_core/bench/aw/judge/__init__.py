"""A multimodal language model as the judge of videos, by Video-Bench's protocol in our own words.

    two to four videos of a case --> anonymous, in a drawn order --> asked --> "A: 4, because ..."
    every rotation of that order --> asked as well               --> mean of each video's scores

So each video stands once in each place, shows as many pictures of one size as the others, and is
called by one letter: a judge that likes the first, the longest or the largest likes all alike.
"""
