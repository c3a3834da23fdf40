#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""With any one stage of the launcher's table left out, a test goes red: each row's function is replaced by one that does
nothing, in a copy of launcher/stages.cpp, and the launcher's tests run with it. Prints the table.

Usage: test_mutation.py BUILD_DIRECTORY"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
STAGES = SOURCE / "launcher/stages.cpp"
PROGRAM = "tests/launcher/test_launcher_root"
ROW = re.compile(r"(Stage\{StageId::(\w+), \"[^\"]+\",\s*)(\w+)(, (?:true|false)\},)")
NOTHING = "[](const ModuleStart& /*start*/) noexcept { return 0; }"
SECONDS = 120
build = None


class Mutants(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        commands = json.loads((build / "compile_commands.json").read_text())
        self.compilation = next(entry for entry in commands if pathlib.Path(entry["file"]) == STAGES)
        linking = subprocess.run(["ninja", "-C", build, "-t", "commands", PROGRAM], check=True, stdout=subprocess.PIPE,
                                 text=True).stdout.splitlines()[-1]
        self.linking = re.sub(r"^: && | && :$", "", linking)

    def run_tests(self, text):
        """The exit code of the launcher's tests with `text` as its stages."""
        source, mutant, program = (self.scratch / name for name in ("stages.cpp", "stages.o", "test"))
        source.write_text(text)
        compile_ = shlex.split(self.compilation["command"])
        compile_[compile_.index("-o") + 1] = str(mutant)
        compile_[compile_.index("-c") + 1] = str(source)
        subprocess.run(compile_ + ["-Wno-error"], cwd=self.compilation["directory"], check=True,
                       stderr=subprocess.DEVNULL)
        link = shlex.split(self.linking)
        link[link.index("-o") + 1] = str(program)
        # In front of the library, whose own stages are then not taken.
        link.insert(link.index("-o"), str(mutant))
        subprocess.run(link, cwd=build, check=True)
        # A mutant mounts where it should not.
        done = subprocess.run(["unshare", "--mount", "--net", program, "--abort", "~*allocates"], cwd=self.scratch,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=SECONDS, check=False)
        return done.returncode

    def test_each_stage(self):
        text = STAGES.read_text()
        rows = [row for row in ROW.finditer(text) if row[2] not in ("execution", "fork")]
        self.assertGreaterEqual(len(rows), 18)
        self.assertEqual(self.run_tests(text), 0, "unchanged, the tests are green")
        survivors = []
        for row in rows:
            code = self.run_tests(text[:row.start(3)] + NOTHING + text[row.end(3):])
            print(f"  without {row[2]:22} {'red' if code else 'GREEN'}", flush=True)
            if code == 0:
                survivors.append(row[2])
        self.assertEqual(survivors, [])


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("skipped: needs root")
        sys.exit(77)
    build = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
