# SPDX-License-Identifier: Apache-2.0
"""What the journal of a booted Debian has of the charger, and that journald can be started again under it."""

import signal

import charger
from charger import wait_until


class Journal(charger.RunningCase):
    def user(self, name):
        return self.box.output("id", "--user", name)

    def test_what_a_module_prints_is_its_own_stream(self):
        pid = self.charger.modules()["slac"]
        line = self.wait_for_entries("SYSLOG_IDENTIFIER=slac", f"_PID={pid}")[0]
        self.assertEqual((line["_TRANSPORT"], line["_UID"]), ("stdout", self.user("everest")))
        self.assertEqual((line["_SYSTEMD_UNIT"], line["_SYSTEMD_INVOCATION_ID"]),
                         ("everest.service", self.everest.get("InvocationID")))
        self.assertIn(line["MESSAGE"], self.everest.journal())

    def test_what_the_manager_says_of_it_has_fields(self):
        pid = self.charger.modules()["slac"]
        for event in ("module_started", "module_ready"):
            entry = self.wait_for_entries("EVEREST_MODULE=slac", f"EVEREST_EVENT={event}", f"EVEREST_PID={pid}")[0]
            self.assertEqual((entry["_TRANSPORT"], entry["_UID"], entry["_SYSTEMD_UNIT"], entry["SYSLOG_IDENTIFIER"]),
                             ("journal", self.user("everest-manager"), "everest.service", "manager"))

    def test_a_crash_is_explained(self):
        main, pid = self.everest.main_pid(), self.charger.modules()["meter"]
        self.box.run("kill", f"-{int(signal.SIGKILL)}", str(pid))
        self.charger.wait_until_running(not_as=main)
        crash = self.wait_for_entries("EVEREST_MODULE=meter", "EVEREST_EVENT=module_crashed", f"EVEREST_PID={pid}")[0]
        self.assertEqual((crash["EVEREST_SIGNAL"], crash["PRIORITY"]), ("SIGKILL", "3"))
        # The installation has put the package's catalog into systemd's.
        explained = self.box.output("journalctl", "--no-pager", "-x", f"EVEREST_PID={pid}", "EVEREST_EVENT=module_crashed")
        self.assertIn("Subject: meter has crashed", explained)
        self.assertIn(f"journalctl -b -t meter _PID={pid} -n 20", explained)

    def test_streams_outlive_a_journald_that_is_killed(self):
        main, pid = self.everest.main_pid(), self.charger.modules()["evse"]
        journald = self.box.output("systemctl", "show", "--property=MainPID", "--value", "systemd-journald")
        before = len(self.charger.entries("SYSLOG_IDENTIFIER=evse", f"_PID={pid}"))
        self.box.run("kill", f"-{int(signal.SIGKILL)}", journald)
        wait_until(lambda: len(self.charger.entries("SYSLOG_IDENTIFIER=evse", f"_PID={pid}")) > before + 2, self.everest.describe)
        self.assertEqual((self.everest.main_pid(), self.charger.modules()["evse"]), (main, pid))


if __name__ == "__main__":
    charger.main()
