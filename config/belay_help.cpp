// SPDX-License-Identifier: Apache-2.0
//
// A value is: mapping; variables, a mapping of names to texts; boolean; seconds; timeout, seconds from 0.1; user; name;
// device, a path below /dev; names, paths, ports, capabilities (lists of them); 0..9, a whole number, and [0..9], a
// list of them; a|b, one of these words; number, bytes (which may end in K, M, G, T), either or "infinity", and with
// `:` the pair soft:hard; percent.
#include "config/belay_help.hpp"

#include <array>

namespace belay::config {

namespace {

constexpr std::array help{
    KeyHelp{"broker", "mapping", "How the MQTT broker is spoken to. Where it is, the configuration says."},
    KeyHelp{"broker.connect_timeout", "seconds",
            "How long to wait for a broker when the charger starts; 30 unless given."},
    KeyHelp{"broker.dialect", "auto|2024.11|2025.1|2025.6|2025.12|2026.10",
            "The first release of EVerest whose modules speak as these do; in quotes, for it is no number. `auto`, the "
            "default: the first module that asks is believed."},
    KeyHelp{
        "broker.recover", "boolean",
        "Whether a broker that was lost is waited for, and all modules are started again with it. Without this key: "
        "yes with `--recover-module-crashes`, or if every module has `scope: all`."},
    KeyHelp{"broker.reconnect_timeout", "timeout",
            "How long it is waited for before the exit code is 1. No limit unless given."},

    KeyHelp{"manager", "mapping", "The manager's own process, which reads from the network and may nothing."},
    KeyHelp{"manager.user", "user", "Instead of the modules' `run_as_user`; better one that no module has."},
    KeyHelp{"manager.groups", "names", "Groups beside those of its user."},
    KeyHelp{"manager.limits", "mapping", "As for a module, below."},

    KeyHelp{
        "modules", "mapping",
        "What holds for a module: each key is an id, the name of a module, or `\"*\"` for all. What the id says goes "
        "before what the name says, and that before `\"*\"`, for each key below it."},
    KeyHelp{"modules.capabilities", "capabilities",
            "The most that it may ever have. Asking for more in the configuration or a manifest is an error. Without "
            "this key, what is asked for is granted."},
    KeyHelp{"modules.user", "user", "Instead of `run_as_user`. `dynamic`: an id that nobody else has, for this run."},
    KeyHelp{"modules.groups", "names", "Groups beside those of its user."},

    KeyHelp{
        "modules.environment", "variables",
        "Variables of its environment, as systemd's Environment=. Beside them it has of the manager's LANG, LC_*, TZ, "
        "TERM, NO_COLOR, MQTT_SERVER_ADDRESS and MQTT_SERVER_PORT; of its user HOME, USER, LOGNAME and SHELL; a PATH "
        "of the system's directories; and EV_* if it is a script. Only one that has neither a user nor capabilities "
        "of its own also has the caller's PATH, TMPDIR, XDG_RUNTIME_DIR, LD_LIBRARY_PATH, PYTHONPATH, NODE_PATH and "
        "VIRTUAL_ENV. What LD_PRELOAD, LD_LIBRARY_PATH, PATH, PYTHONPATH or NODE_PATH lead to runs with all that "
        "the module may do: let nobody else write there."},
    KeyHelp{"modules.pass_environment", "names",
            "Variables that it gets from the manager's environment, as systemd's PassEnvironment=. One that is not set "
            "there is left out, and one that `environment` has is not taken from there."},

    KeyHelp{"modules.restart", "mapping", "What happens when it has ended, or was not ready in time."},
    KeyHelp{"modules.restart.policy", "never|on-failure|always",
            "`never`, the default, is EVerest's rule: all are stopped, and the exit code is 1."},
    KeyHelp{"modules.restart.scope", "module|all",
            "Whether it is started again alone, which is the default, or all are stopped and started with it."},
    KeyHelp{"modules.restart.delay", "seconds",
            "Before the first restart; doubled for each that follows. 1 unless given."},
    KeyHelp{"modules.restart.max_delay", "seconds", "The longest delay; 60 unless given."},
    KeyHelp{"modules.restart.stable_after", "seconds",
            "A run that was as long forgives those before it; 60 unless given."},
    KeyHelp{"modules.restart.burst", "1..1000",
            "After so many restarts without such a run, EVerest's rule holds; 5 unless given."},
    KeyHelp{"modules.restart.success_exit_status", "[0..255]", "Exit codes that are no failure, beside 0."},
    KeyHelp{"modules.liveness", "mapping",
            "How it is told that it hangs. It is aborted then, killed if that has no effect, and `restart` decides. "
            "README.md tells of the other steps."},
    KeyHelp{
        "modules.liveness.stuck_after", "timeout",
        "How long it may be stopped, or wait in the kernel without progress, where `watchdog` or WatchdogSec= leads "
        "to heartbeats; 30 unless given."},
    KeyHelp{"modules.liveness.watchdog", "timeout",
            "It promises to say WATCHDOG=1 at least so often, as in sd_notify(3), from when it is ready. It finds "
            "NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID in its environment."},
    KeyHelp{"modules.startup", "mapping", "Its start."},
    KeyHelp{"modules.startup.timeout", "timeout", "How long it may take to be ready. No limit unless given."},
    KeyHelp{"modules.shutdown", "mapping", "Its end."},
    KeyHelp{"modules.shutdown.timeout", "timeout", "From SIGTERM to SIGKILL; 5 unless given."},
    KeyHelp{"modules.shutdown.request_timeout", "timeout",
            "With `--graceful-shutdown`, from the request to SIGTERM; as `timeout` unless given."},

    KeyHelp{"modules.sandbox", "standard|strict|off|mapping",
            "What it is kept from. A word is short for `landlock` and `seccomp` with that word."},
    KeyHelp{"modules.sandbox.landlock", "standard|strict|off",
            "Files, TCP ports and other processes. `standard`: no signals to its neighbours, nor their memory, nor "
            "programs that "
            "its user could have written. `strict`: also only the files and ports that a program needs to start, and "
            "those listed."},
    KeyHelp{"modules.sandbox.read", "paths", "With `landlock: strict`: what it may read, and what is below."},
    KeyHelp{"modules.sandbox.write", "paths",
            "With `landlock: strict` or `protect_system`: what it may read and write."},
    KeyHelp{"modules.sandbox.execute", "paths", "With `landlock: strict`: what it may execute."},
    KeyHelp{"modules.sandbox.connect", "ports", "With `landlock: strict`: where it may connect to, beside the broker."},
    KeyHelp{"modules.sandbox.bind", "ports", "With `landlock: strict`: what it may listen on."},
    KeyHelp{"modules.sandbox.seccomp", "standard|strict|off",
            "System calls. `standard`: none that take a capability it does not have. `strict`: those that a program "
            "needs to "
            "start, and those listed; any other ends it."},
    KeyHelp{"modules.sandbox.system_calls", "names",
            "With `seccomp: strict`: names, and groups as of systemd's SystemCallFilter=, such as `\"@resources\"`."},
    KeyHelp{"modules.sandbox.require", "boolean",
            "Whether what the kernel cannot do is an error. Otherwise `--check` tells."},
    KeyHelp{"modules.sandbox.no_new_privileges", "boolean",
            "`false` is for a module that must call sudo(8): it has neither Landlock nor seccomp then."},
    KeyHelp{"modules.sandbox.private_tmp", "boolean", "Whether it has a /tmp and /var/tmp of its own, in memory."},
    KeyHelp{"modules.sandbox.protect_system", "boolean", "Whether everything is read-only, but for `write`."},
    KeyHelp{"modules.sandbox.devices", "paths", "A /dev with these, and those that every program may expect."},
    KeyHelp{"modules.sandbox.network", "host|loopback|off",
            "`off` leaves Unix sockets, and so a broker that listens on one. `loopback`: and a network of its own with "
            "nothing but lo."},

    KeyHelp{"modules.limits", "mapping",
            "As in systemd.exec(5) and systemd.resource-control(5). One value is the soft and the hard limit; "
            "\"soft:hard\" "
            "are two."},
    KeyHelp{"modules.limits.LimitCPU", "number:", "Seconds of processor time."},
    KeyHelp{"modules.limits.LimitFSIZE", "bytes:", "Size of a file that it writes."},
    KeyHelp{"modules.limits.LimitDATA", "bytes:", "Data segment."},
    KeyHelp{"modules.limits.LimitSTACK", "bytes:", "Stack."},
    KeyHelp{"modules.limits.LimitCORE", "bytes:", "Core dump. 0: none, and systemd-coredump gets none."},
    KeyHelp{"modules.limits.LimitRSS", "bytes:", "Has no effect on Linux."},
    KeyHelp{"modules.limits.LimitNOFILE", "number:", "Open files."},
    KeyHelp{"modules.limits.LimitAS", "bytes:", "Address space."},
    KeyHelp{"modules.limits.LimitNPROC", "number:", "Processes and threads of its user."},
    KeyHelp{"modules.limits.LimitMEMLOCK", "bytes:", "Locked memory."},
    KeyHelp{"modules.limits.LimitLOCKS", "number:", "Has no effect on Linux."},
    KeyHelp{"modules.limits.LimitSIGPENDING", "number:", "Pending signals of its user."},
    KeyHelp{"modules.limits.LimitMSGQUEUE", "bytes:", "POSIX message queues of its user."},
    KeyHelp{"modules.limits.LimitNICE", "number:", "How far it may raise its own priority, as in getrlimit(2)."},
    KeyHelp{"modules.limits.LimitRTPRIO", "number:", "Real-time priority that it may give itself."},
    KeyHelp{"modules.limits.LimitRTTIME",
            "number:", "Microseconds of real-time computing without a system call that blocks."},
    KeyHelp{"modules.limits.Nice", "-20..19", "The lower, the more it gets of the processors."},
    KeyHelp{"modules.limits.CPUSchedulingPolicy", "other|batch|idle|fifo|rr", "As in sched(7)."},
    KeyHelp{"modules.limits.CPUSchedulingPriority", "1..99", "With `fifo` and `rr`, which take it."},
    KeyHelp{"modules.limits.CPUAffinity", "[0..1023]", "The processors that it may run on."},
    KeyHelp{"modules.limits.IOSchedulingClass", "realtime|best-effort|idle", "As in ioprio_set(2)."},
    KeyHelp{"modules.limits.IOSchedulingPriority", "0..7", "Within its class; 0 is the most urgent."},
    KeyHelp{"modules.limits.OOMScoreAdjust", "-1000..1000",
            "The higher, the sooner it is killed when memory is short."},
    KeyHelp{"modules.limits.MemoryMax", "bytes",
            "Of all its processes; more ends it. This and the next four take `Delegate=yes` in the unit."},
    KeyHelp{"modules.limits.MemoryHigh", "bytes", "From here on it is slowed down."},
    KeyHelp{"modules.limits.TasksMax", "number", "Processes and threads."},
    KeyHelp{"modules.limits.CPUWeight", "1..10000", "Its share of the processors; 100 unless given."},
    KeyHelp{"modules.limits.CPUQuota", "percent", "Of one processor, as `50%` or `200%`."},

    KeyHelp{
        "watchdog", "mapping",
        "What resets the machine when the charger hangs. The manager vouches for itself, the modules and the broker "
        "by heartbeats, also for WatchdogSec= of the unit, which takes none of these keys."},
    KeyHelp{"watchdog.device", "device", "The hardware's, as /dev/watchdog0. None unless given."},
    KeyHelp{"watchdog.timeout", "1..86400", "Seconds without feeding until the machine is reset; 30 unless given."},
    KeyHelp{"watchdog.pretimeout", "1..86399", "So many seconds before that, the kernel's governor acts."},
    KeyHelp{"watchdog.pretimeout_governor", "name",
            "`panic` or `noop`. Where /sys is read-only (ProtectKernelTunables=), udev must have chosen it already."},
    KeyHelp{"watchdog.heartbeat", "timeout",
            "Between two heartbeats, at most a third of `timeout`; a quarter of the shortest timeout unless given."},
    KeyHelp{"watchdog.require", "boolean",
            "Whether a device that cannot be used is an error, which is the default, or a warning."},
};

} // namespace

std::span<const KeyHelp> belay_yaml_help()
{
    return help;
}

} // namespace belay::config
