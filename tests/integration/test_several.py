# SPDX-License-Identifier: Apache-2.0
"""Several managers on one machine and one broker, each with a prefix of its own, as test harnesses start them."""

import os
import signal

import harness
from harness import START, STOP, Prefix, alive, wait_until
from mqtt import Broker

# One is the beginning of others, as text or as topic levels.
PREFIXES = ["everest/", "everest/2/", "everest2/", "lab/everest/modules/"]


class Several(harness.Case):
    def setUp(self):
        super().setUp()
        self.broker = Broker(self)
        self.chargers = {topics: Prefix.small(self.scratch / f"charger-{number}") for number, topics in enumerate(PREFIXES)}

    def launch(self, topics, *options, root=False, **more):
        """As root with `run_as_user`, by the option; or as the user, by the configuration."""
        prefix = self.chargers[topics]
        modules = {f"m{i}": "Thing" for i in range(4)}
        if root:
            config = prefix.configure(modules, run_as_user="everest", **self.broker.settings)
            return self.start(prefix, config, "--mqtt_everest_prefix", topics, *options, **more)
        config = prefix.configure(modules, mqtt_everest_prefix=topics.rstrip("/"), **self.broker.settings)
        return self.start(prefix, config, *options, user=self.everest, **more)

    def launch_all(self, *options):
        """At once, half of them as root."""
        managers = {topics: self.launch(topics, *options, root=number % 2 == 0) for number, topics in enumerate(PREFIXES)}
        for manager in managers.values():
            manager.wait_for("ALL_MODULES_STARTED")
            self.assertEqual(manager.status(), START, manager)
        return managers

    def retained(self, topics):
        """What is retained for one of them, and for no other."""
        others = [one for one in PREFIXES if one != topics and one.startswith(topics)]
        return {topic: payload for topic, payload in self.broker.retained().items()
                if topic.startswith(topics) and not topic.startswith(tuple(others))}

    def assert_undisturbed(self, managers, pids):
        for topics, manager in managers.items():
            self.assertEqual(manager.status(), START, manager)
            self.assertEqual(manager.module_pids(), pids[topics])

    def test_at_once(self):
        observer = self.broker.observe()
        managers = self.launch_all()
        for topics, manager in managers.items():
            observer.wait(f"{topics}ready")  # the status line comes first
            self.assertEqual(observer.count(f"{topics}ready"), 1)
            for module in manager.module_pids():
                self.assertEqual(observer.count(f"{topics}modules/{module}/response"), 1)
            self.assertNotIn("warning", manager.log)
            self.assertNotIn("an earlier manager left behind", manager.log)
        for manager in managers.values():
            self.assertEqual(manager.stop(), 0, manager)
            self.assertEqual(manager.status(), START + STOP)
        for manager in managers.values():
            self.assert_nothing_left(manager, self.broker)

    def test_one_is_killed(self):
        """What it leaves behind is cleared by its successor, and nothing else is."""
        managers = self.launch_all("--retain-topics")
        pids = {topics: manager.module_pids() for topics, manager in managers.items()}
        kept = {topics: self.retained(topics) for topics in PREFIXES}
        for topics in PREFIXES:
            self.assertEqual(len(kept[topics]), 6, kept[topics].keys())
        for topics in PREFIXES:
            with self.subTest(killed=topics):
                victim = managers.pop(topics)
                victim.send(signal.SIGKILL)
                victim.wait()
                wait_until(lambda: not any(alive(pid) for pid in pids[topics].values()), "the end of its modules")
                self.assert_undisturbed(managers, pids)
                observer = self.broker.observe()
                observer.publish(f"{topics}manifests/Gone", "{}", retain=True)
                observer.fence()
                managers[topics] = self.launch(topics, "--retain-topics", root=True).wait_for("ALL_MODULES_STARTED")
                self.assertIn("cleared 1 retained topic that an earlier manager left behind", managers[topics].log)
                pids[topics] = managers[topics].module_pids()
                self.assertEqual({one: self.retained(one) for one in PREFIXES}, kept)
                self.assert_undisturbed(managers, pids)
                observer.close()
        for manager in managers.values():
            self.assertEqual(manager.stop(), 0, manager)
        self.assertEqual(self.broker.retained(), {})

    def test_confusing_prefix(self):
        """What one manager has at `everest/manifests/settings` is no manifest that another one left behind."""
        self.chargers["everest/manifests/"] = self.chargers["everest/2/"]
        inner = self.launch("everest/manifests/", "--retain-topics").wait_for("ALL_MODULES_STARTED")
        before = self.broker.retained()
        outer = self.launch("everest/", "--retain-topics").wait_for("ALL_MODULES_STARTED")
        self.assertNotIn("left behind", outer.log)
        self.assertEqual(outer.stop(), 0, outer)
        self.assertEqual(self.broker.retained(), before)
        self.assertEqual(inner.stop(), 0, inner)

    def test_one_is_asked_to_shut_down(self):
        """The request reaches nobody else, nor does a module's failure."""
        managers = self.launch_all("--graceful-shutdown")
        pids = {topics: manager.module_pids() for topics, manager in managers.items()}
        first = managers.pop("everest/")
        self.assertEqual(first.stop(), 0, first)
        self.assertIn("ALL_MODULES_STOPPED_CLEAN", first.status())
        self.assert_undisturbed(managers, pids)
        second = managers.pop("everest/2/")
        os.kill(pids["everest/2/"]["m0"], signal.SIGKILL)
        self.assertEqual(second.wait(), 1, second)
        self.assert_undisturbed(managers, pids)
        for manager in managers.values():
            self.assertEqual(manager.stop(), 0, manager)
        self.assertEqual(self.broker.retained(), {})

    def test_one_installation(self):
        """The same files, started several times by one user and by root."""
        prefix = self.chargers[PREFIXES[0]]
        self.chargers = dict.fromkeys(PREFIXES, prefix)
        config = prefix.configure({"one": "Thing", "two": "Thing"}, run_as_user="everest", **self.broker.settings)
        managers = [self.start(prefix, config, "--mqtt_everest_prefix", topics) for topics in PREFIXES]
        for manager in managers:
            manager.wait_for("ALL_MODULES_STARTED")
        for manager in managers:
            self.assertEqual(manager.stop(), 0, manager)
            self.assertEqual(manager.status(), START + STOP)
        self.assertEqual(prefix.processes(), [])

    def test_refused(self):
        prefix = self.chargers["everest/"]
        config = prefix.configure({"one": "Thing"}, run_as_user="everest", **self.broker.settings)
        for topics, why in (("everest/+", "has a wildcard"), ("#", "has a wildcard"), ("$SYS", "begins with `$`")):
            self.assert_refused(self.start(prefix, config, "--mqtt_everest_prefix", topics), topics, why)


if __name__ == "__main__":
    harness.main()
