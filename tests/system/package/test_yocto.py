# SPDX-License-Identifier: Apache-2.0
"""The recipe of examples/yocto says of files, licence and dependencies what the Debian package has."""

import fnmatch
import hashlib
import os
import pathlib
import re
import shlex
import subprocess
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[3]
RECIPE = SOURCE / "examples/yocto/recipes-core/belay/belay.bb"
# bitbake.conf's, with the distribution feature `usrmerge`.
DIRECTORIES = {"bindir": "/usr/bin", "libexecdir": "/usr/libexec", "datadir": "/usr/share", "sysconfdir": "/etc",
               "nonarch_libdir": "/usr/lib", "systemd_system_unitdir": "/usr/lib/systemd/system"}
# Debian's own, and what the recipe leaves out (BELAY_HELP): made by a program for the board.
NOT_IN_THE_RECIPE = ("/usr/share/doc/*", "/usr/share/lintian/*", "/usr/share/man/*", "/usr/share/bash-completion/*",
                     "/usr/share/zsh/*", "/usr/share/belay/belay.json")
# Debian's name of a library → the recipe that has it; the C and C++ libraries come with the compiler.
RECIPES = {"libcap": "libcap", "libseccomp": "libseccomp", "libsystemd": "systemd", "libyaml": "libyaml",
           "libvalijson": "valijson", "nlohmann-json3": "nlohmann-json", "libmosquitto": "mosquitto", "libspdlog": "spdlog",
           "libcli11": "cli11", "libexpected": "expected", "libsqlite3": "sqlite3", "libfmt": "fmt"}

# What is loaded, not linked (manager/shared_library.hpp), by the recipes' names of the packages.
LOADED = {"libmosquitto1", "libsystemd"}


def variables():
    text = RECIPE.read_text().replace("\\\n", " ")
    return {name: value.strip() for name, value in re.findall(r'(?m)^([A-Z_]+(?::\$\{PN\})?) \+?\??= "([^"]*)"', text)}


def expand(text):
    return re.sub(r"\$\{(\w+)\}", lambda match: DIRECTORIES[match[1]], text).split()


def package():
    [found] = pathlib.Path(os.environ["BELAY_PACKAGE_DIR"]).glob("belay_*.deb")
    return found


def dpkg_deb(*arguments):
    return subprocess.run(["dpkg-deb", *arguments], check=True, capture_output=True, text=True).stdout


class Recipe(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.recipe = variables()
        listed = (line.split(maxsplit=5)[5].removeprefix(".") for line in dpkg_deb("--contents", package()).splitlines())
        cls.files = {name for name in listed if not name.endswith("/")
                     and not any(fnmatch.fnmatch(name, pattern) for pattern in NOT_IN_THE_RECIPE)}

    def test_every_file_of_the_package_is_in_the_recipe(self):
        patterns = expand(self.recipe["FILES:${PN}"])
        matched = {pattern: {name for name in self.files if name == pattern or name.startswith(f"{pattern}/")}
                   for pattern in patterns if pattern not in self.created()}
        self.assertEqual([pattern for pattern, names in matched.items() if not names], [], "nothing of it in the package")
        self.assertEqual(self.files, set().union(*matched.values()))

    def created(self):
        """The directories that do_install makes beside the package's: name → mode, user and group."""
        found = re.findall(r"(?m)^ +install -d -m (\d+) -o (\S+) -g (\S+) \$\{D\}(\S+)$", RECIPE.read_text())
        return {expand(name)[0]: owner for *owner, name in found}

    def test_directories_that_nobody_could_make_later(self):
        """All of tmpfiles.d that are not below /var and /run, which are made anew where the root is read-only."""
        text = (SOURCE / "systemd/tmpfiles.conf.in").read_text().replace("@SYSCONFDIR@", "/etc")
        lines = [line.split() for line in text.splitlines() if line.startswith("d ")]
        wanted = {name: [mode, user, group] for _, name, mode, user, group, _ in lines
                  if not name.startswith(("/var/", "/run/")) and user != "root"}
        self.assertEqual(self.created(), wanted)
        self.assertLessEqual(set(wanted), set(expand(self.recipe["FILES:${PN}"])))

    def test_users(self):
        """sysusers.d's, for useradd.bbclass; groups that base-passwd has need not be created."""
        lines = [shlex.split(line, comments=True) for line in (SOURCE / "systemd/sysusers.conf").read_text().splitlines()]
        members = [(line[1], line[2]) for line in lines if line and line[0] == "m"]
        users, groups = ([shlex.split(one) for one in self.recipe[name].split(";") if one.strip()]
                         for name in ("USERADD_PARAM:${PN}", "GROUPADD_PARAM:${PN}"))
        created = {arguments[-1]: arguments[1] if arguments[0] == "--gid" else "-" for arguments in groups}
        self.assertEqual(set(created) | {"dialout", "tty"},
                         {group for _, group in members} | {line[1] for line in lines if line and line[0] == "g"})
        for _, name, number, *_ in (line for line in lines if line and line[0] == "g"):
            self.assertEqual(created[name], number)
        wanted = [line[1:] for line in lines if line and line[0] == "u"]
        self.assertEqual([arguments[-1] for arguments in users], [name for name, *_ in wanted])
        for arguments, (name, number, comment, home, shell) in zip(users, wanted):
            value = dict(zip(arguments, arguments[1:]))
            self.assertEqual((value["--comment"], value["--home-dir"], value["--shell"]), (comment, home, shell))
            self.assertEqual(value["--groups"].split(","), [group for user, group in members if user == name])
            if number != "-":
                self.assertEqual(f"{value['--uid']}:{created[value['--gid']]}", number)
        self.assertRegex(RECIPE.read_text(), r"(?m)^inherit .*\bsystemd\b.*\buseradd\b")

    def test_conffiles(self):
        self.assertEqual(expand(self.recipe["CONFFILES:${PN}"]), dpkg_deb("--info", package(), "conffiles").split())

    def test_units(self):
        for name in self.recipe["SYSTEMD_SERVICE:${PN}"].split():
            self.assertIn(f"{DIRECTORIES['systemd_system_unitdir']}/{name}", self.files)

    def test_the_licence(self):
        name, checksum = re.fullmatch(r"file://(\w+);md5=(\w+)", self.recipe["LIC_FILES_CHKSUM"]).groups()
        self.assertEqual(checksum, hashlib.md5((SOURCE / name).read_bytes(), usedforsecurity=False).hexdigest())
        self.assertIn(f"License: {self.recipe['LICENSE']}\n", (SOURCE / "packaging/debian/copyright").read_text())

    def test_the_version(self):
        self.assertEqual(self.recipe["PV"], dpkg_deb("--field", package(), "Version").strip().partition("-")[0])

    def test_what_it_is_built_with(self):
        text = re.search(r'(?ms)^build="(.*?)"', (SOURCE / "scripts/install-dependencies").read_text())[1]
        built_with = set(re.findall(r"\b(lib\w+|nlohmann-json3)-dev\b", text)) | {"libfmt"}  # which libspdlog-dev brings
        self.assertEqual(set(self.recipe["DEPENDS"].split()), {RECIPES[name] for name in built_with})

    def test_what_it_runs_with(self):
        depends = set(re.findall(r"(?:^|, )([a-z0-9.+-]+)", dpkg_deb("--field", package(), "Depends")))
        self.assertEqual(set(self.recipe["RDEPENDS:${PN}"].split()),
                         {name for name in depends if not name.startswith("lib")} | LOADED)
        self.assertEqual(self.recipe["RRECOMMENDS:${PN}"], dpkg_deb("--field", package(), "Recommends").strip())
        libraries = {re.sub(r"(-0)?-?\d+$", "", name) for name in depends if name.startswith("lib")} - {"libc"}
        known = {re.sub(r"\d+$", "", name): recipe for name, recipe in RECIPES.items()}
        for name in libraries:
            self.assertIn(known[re.sub(r"\d+$", "", name)], self.recipe["DEPENDS"].split(), name)


if __name__ == "__main__":
    unittest.main()
