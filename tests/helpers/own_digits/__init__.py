"""Makes pictures as people have them: a digit on paper, in every state that paper is found in.

`glyphs` has the shapes, `sheets` the paper, `kinds` the pictures of one plain digit, `others`
the pictures of anything else. Everything is deterministic: the same generator of random numbers
makes the same picture.
"""
