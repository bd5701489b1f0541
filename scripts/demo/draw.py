# SPDX-License-Identifier: Apache-2.0
# A seeded source of choices that gives the same sequence on every version of Python.
"""Choices built on `random.Random.random()` alone.

Python promises that `random()` repeats for the same integer seed; it does not promise the same for
`choice`, `sample` or `shuffle`, so those are written out here.
"""

import random
import zlib

HELD_OUT_BUCKETS = 8


class Draw:
    """A seeded stream of choices; `held_out` opens the wordings that the corpus never uses."""

    def __init__(self, seed, held_out=False):
        self._random = random.Random(seed)
        self.held_out = held_out

    def below(self, count):
        """An integer from 0 to `count` - 1."""
        return min(int(self._random.random() * count), count - 1)

    def between(self, low, high):
        """An integer from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def chance(self, probability):
        """True with the given probability."""
        return self._random.random() < probability

    def pick(self, items):
        """One of `items`."""
        return items[self.below(len(items))]

    def some(self, items, count):
        """`count` different ones of `items`, in drawn order."""
        pool = list(items)
        taken = []
        while pool and len(taken) < count:
            taken.append(pool.pop(self.below(len(pool))))
        return taken

    def shuffled(self, items):
        """`items` in drawn order."""
        return self.some(items, len(items))

    def weighted(self, pairs):
        """One value of `pairs` of (weight, value), drawn in proportion to its weight."""
        left = self._random.random() * sum(weight for weight, _ in pairs)
        for weight, value in pairs:
            left -= weight
            if left < 0:
                return value
        return pairs[-1][1]

    def wording(self, subject, wordings):
        """One wording for `subject`; about one in eight is kept out of the corpus for each subject."""
        if self.held_out:
            return self.pick(wordings)
        kept = [w for w in wordings if bucket(subject, w) != 0]
        return self.pick(kept or wordings)


def bucket(subject, wording):
    """The number, the same on every machine, that decides whether a wording is held out."""
    return zlib.crc32((subject + "|" + wording).encode()) % HELD_OUT_BUCKETS
