# SPDX-License-Identifier: Apache-2.0
"""Every configuration of EVerest is understood exactly as EVerest's own manager understands it."""

import json
import os
import pathlib
import re
import sys
import tempfile
import unittest

from manager import manager

SHARED = pathlib.Path(os.environ["BELAY_EVEREST_SHARED"]).resolve()  # as diagnostics call files
PREFIX = SHARED / "everest"
GOLDEN = SHARED / "everest-docs" / "golden"
REJECTED = "config-bringup-ovm-sil"
LEAST = 48


def differences(expected, found, where=""):
    """As JSON has it: 1, 1.0 and true are three values."""
    if type(expected) is not type(found):
        return [f"{where}: {expected!r} became {found!r}"]
    if isinstance(expected, dict):
        keys = sorted(expected.keys() | found.keys())
        return [line for key in keys for line in differences(expected.get(key), found.get(key), f"{where}/{key}")]
    if isinstance(expected, list) and len(expected) == len(found):
        return [line for i, pair in enumerate(zip(expected, found)) for line in differences(*pair, f"{where}/{i}")]
    return [] if expected == found else [f"{where}: {expected!r} became {found!r}"]


def read(path):
    return json.loads(path.read_text())


class Golden(unittest.TestCase):
    def assert_equals(self, golden, found):
        self.assertEqual([], differences(read(golden), read(found)), golden)

    def test_configurations(self):
        compared = 0
        for file in sorted((PREFIX / "etc/everest").glob("*.yaml")):
            if file.stem == REJECTED:
                continue
            with self.subTest(file.stem), tempfile.TemporaryDirectory() as scratch:
                dump = pathlib.Path(scratch) / "dump"
                done = manager("--prefix", PREFIX, "--check", "--dump", dump, "--config", file)
                self.assertEqual(0, done.returncode, done.stderr)
                self.assertNotIn("error:", done.stderr)
                self.assert_equals(GOLDEN / "config" / f"{file.stem}.json", dump / "config.json")
                names = {entry["module_name"] for entry in read(dump / "config.json").values()}
                self.assertEqual({f"{name}.json" for name in names} | {"config.json"}, set(os.listdir(dump)))
                for name in names:
                    self.assert_equals(GOLDEN / "manifests" / f"{name}.json", dump / f"{name}.json")
                compared += 1
        print(f"{compared} configurations compared")
        self.assertGreaterEqual(compared, LEAST)

    def test_rejected(self):
        file = PREFIX / "etc/everest" / f"{REJECTED}.yaml"
        with tempfile.TemporaryDirectory() as scratch:
            dump = pathlib.Path(scratch) / "dump"
            done = manager("--prefix", PREFIX, "--check", "--dump", dump, "--config", file)
            self.assertFalse(dump.exists())
        self.assertEqual(1, done.returncode)
        errors = re.findall(rf"{re.escape(str(file))}:(\d+):\d+: error: (.*)", done.stderr)
        self.assertEqual(1, len(errors))
        self.assertIn("module_id: powersupply_dc", file.read_text().splitlines()[int(errors[0][0]) - 1])

    def test_all_manifests(self):
        installed = {path.parent.name for path in (PREFIX / "libexec/everest/modules").glob("*/manifest.yaml")}
        golden = {path.stem for path in (GOLDEN / "manifests").glob("*.json")}
        with tempfile.TemporaryDirectory() as scratch:
            dump = pathlib.Path(scratch) / "dump"
            done = manager("--prefix", PREFIX, "--dumpmanifests", dump)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertEqual({f"{name}.yaml" for name in installed}, set(os.listdir(dump)))
            for name in sorted(golden):
                self.assert_equals(GOLDEN / "manifests" / f"{name}.json", dump / f"{name}.yaml")
        print(f"{len(golden)} of {len(installed)} manifests compared")
        self.assertGreaterEqual(len(golden), LEAST)


if __name__ == "__main__":
    if not GOLDEN.is_dir():
        print(f"skipped: EVerest's data files are not in {SHARED} (BELAY_EVEREST_SHARED)")
        sys.exit(77)
    unittest.main()
