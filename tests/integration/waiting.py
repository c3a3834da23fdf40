# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition, and never longer than is reasonable."""

import time

PATIENCE = 30  # seconds; a wait that takes this long has failed


def wait_until(condition, what, timeout=PATIENCE, pause=0.01):
    """The first true value of `condition()`. `what` may be a function, which is called when time is up."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(pause)
