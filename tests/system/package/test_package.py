# SPDX-License-Identifier: Apache-2.0
"""The Debian package: built as its users build it, and again in another directory; judged by lintian."""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[3]
RELEASE = SOURCE / "build/release"
# What a build is made of: neither another build, nor the history.
LEFT_OUT = shutil.ignore_patterns("build", ".git", ".cache", "__pycache__")


def run(*command, cwd=SOURCE, **environment):
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False, env={**os.environ, **environment})
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def build(source, **environment):
    """The package, built in `source`."""
    for old in (source / "build/release").glob("*.deb"):
        old.unlink()
    run("cmake", "--preset", "release", cwd=source, **environment)
    run("cmake", "--build", "--preset", "release", cwd=source, **environment)
    run("cpack", "--preset", "release", cwd=source, **environment)
    [package] = (source / "build/release").glob("*.deb")
    return package


def field(package, name):
    return run("dpkg-deb", "--field", package, name).strip()


class Package(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.package = build(SOURCE)

    def control(self, name):
        return run("dpkg-deb", "--info", self.package, name)

    def listing(self):
        """Path → mode and owner."""
        lines = run("dpkg-deb", "--contents", self.package).splitlines()
        return {line.split()[5].removeprefix("."): tuple(line.split()[:2]) for line in lines}

    def test_another_build_elsewhere_is_the_same_to_the_byte(self):
        with tempfile.TemporaryDirectory(prefix="belay-elsewhere-", dir="/tmp") as directory:
            source = pathlib.Path(directory) / "another name"
            shutil.copytree(SOURCE, source, ignore=LEFT_OUT)
            # Whatever a cache would give back, another machine would have to compile.
            again = build(source, CCACHE_DISABLE="1", TZ="Asia/Tokyo", LC_ALL="C.UTF-8")
            hashes = [hashlib.sha256(one.read_bytes()).hexdigest() for one in (self.package, again)]
            self.assertEqual(again.name, self.package.name)
            self.assertEqual(*hashes, f"these differ: {self.differing(again)}; if sources were changed while {RELEASE} was "
                                      "built, remove it")

    def differing(self, other):
        """Lines of the two lists of checksums that are not in both."""
        lists = [set(run("dpkg-deb", "--info", one, "md5sums").splitlines()) for one in (self.package, other)]
        return sorted(lists[0] ^ lists[1])

    def test_no_path_of_this_machine_is_inside(self):
        with tempfile.TemporaryDirectory(prefix="belay-inside-", dir="/tmp") as directory:
            run("dpkg-deb", "--raw-extract", self.package, directory)
            for path in filter(pathlib.Path.is_file, pathlib.Path(directory).rglob("*")):
                self.assertNotIn(str(SOURCE).encode() + b"/", path.read_bytes(), path)

    def test_lintian_finds_nothing(self):
        output = run("lintian", "--fail-on", "error,warning", "--allow-root", self.package)
        self.assertEqual([line for line in output.splitlines() if re.match("[EW]:", line)], [])

    def test_whose_files_are_whose(self):
        for path, (mode, owner) in self.listing().items():
            executable = path.endswith("/") or path in ("/usr/bin/manager", "/usr/libexec/everest/launcher")
            with self.subTest(path):
                self.assertEqual(owner, "root/root")
                self.assertRegex(mode, "^[-d]rwxr-xr-x$" if executable else "^-rw-r--r--$")

    def test_what_the_pages_refer_to_is_there(self):
        listing = self.listing()
        for name in ("README.md", "examples/belay.yaml", "copyright"):
            self.assertIn(f"/usr/share/doc/belay/{name}", listing)

    def test_conffiles_are_what_is_in_etc(self):
        in_etc = [path for path in self.listing() if path.startswith("/etc/") and not path.endswith("/")]
        self.assertEqual(sorted(self.control("conffiles").split()), sorted(in_etc))
        self.assertIn("/etc/everest/belay.yaml", in_etc)

    def test_the_fields_say_what_it_needs(self):
        version = re.search(r"project\(belay VERSION (\S+)", (SOURCE / "CMakeLists.txt").read_text())[1]
        self.assertRegex(field(self.package, "Version"), rf"^{re.escape(version)}-\d+$")
        needed = set(re.findall(r"(?:^|, )([a-z0-9.+-]+)", field(self.package, "Depends")))
        self.assertEqual(needed, {"libc6", "libcap2", "libmosquitto1", "libsqlite3-0", "libsystemd0", "libyaml-0-2", "systemd"})
        self.assertEqual(field(self.package, "Recommends"), "mosquitto")


if __name__ == "__main__":
    missing = [name for name in ("dpkg-deb", "dpkg-shlibdeps", "dpkg-parsechangelog", "lintian") if not shutil.which(name)]
    if missing:
        print(f"skipped: needs {', '.join(missing)}; scripts/install-dependencies")
        sys.exit(77)
    unittest.main()
