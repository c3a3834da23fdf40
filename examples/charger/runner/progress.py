# SPDX-License-Identifier: Apache-2.0
"""What is printed. Everything goes to standard output; only failures go to standard error."""

import os
import sys
import textwrap

WIDTH = 80


class StageFailed(Exception):
    """A stage that did not work: what it was to do, why it did not, what helps, and what was printed meanwhile."""

    def __init__(self, stage, why, remedy, log=()):
        super().__init__(f"{stage} failed: {why}")
        self.remedy = remedy
        self.log = list(log)


class Interrupted(Exception):
    """Stopped before the charger ran."""


class Screen:
    def __init__(self):
        self.terminal = sys.stdout.isatty()
        self.color = self.terminal and not os.environ.get("NO_COLOR")
        self.reader_gone = False
        self._progress = False

    def _write(self, text):
        """A reader that has gone, `| head` or a closed terminal, must not keep us from stopping in order."""
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())
            self.reader_gone = True

    def progress(self, stage, detail=""):
        """On a terminal, one line that is written over and over; elsewhere, a line for each stage."""
        if self.terminal:
            self._write("\r\033[K" + f"{stage} {detail}"[:WIDTH - 1])
            self._progress = True
        elif not detail:
            self.print(f"{stage} ...")

    def clear(self):
        if self._progress:
            self._write("\r\033[K")
        self._progress = False

    def print(self, text=""):
        self.clear()
        self._write(f"{text}\n")

    def paint(self, text, code):
        return f"\033[{code}m{text}\033[0m" if self.color else text

    def failure(self, failed):
        self.clear()
        for line in failed.log[-40:]:
            print(f"  {line}", file=sys.stderr)
        for text, indent in ((f"run: {failed}.", "     "), (f"     {failed.remedy}", "     ")):
            print(textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False,
                                break_on_hyphens=False), file=sys.stderr)
