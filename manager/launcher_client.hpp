// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"
#include "launcher/protocol.hpp"
#include "manager/event_loop.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace belay::manager {

class LauncherListener
{
public:
    /// `output` is none without `prefix_output`.
    virtual void on_started(const launcher::Started& started, FileDescriptor process, FileDescriptor output) = 0;
    virtual void on_start_failed(const launcher::StartFailed& failed) = 0;
    virtual void on_exited(const launcher::Exited& exited) = 0;
    virtual void on_signal(int signal) = 0;
    virtual void on_watchdog(const launcher::WatchdogState& state) = 0;
    /// Nothing follows.
    virtual void on_launcher_gone(const std::string& why) = 0;

protected:
    ~LauncherListener() = default;
};

/// The manager's end of launcher/protocol.hpp. What cannot be sent is not an error here: the launcher is gone, and its
/// end of the socket says so.
class LauncherClient
{
public:
    LauncherClient(EventLoop& loop, FileDescriptor control, LauncherListener& listener);

    void start(std::uint32_t module, std::uint32_t attempt);
    void signal(std::uint32_t module, int signal, launcher::Scope scope);
    void notify(launcher::Notification kind, std::string_view text = {});
    void heartbeat(std::uint64_t sequence, bool healthy);
    void record(std::string_view text); ///< launcher::Record
    void finish(int exit_code, launcher::After after);

private:
    template <typename Packet>
    void send(const Packet& packet);
    void receive();
    void lose(const std::string& why);
    void dispatch(std::string_view packet, FileDescriptor first, FileDescriptor second);

    FileDescriptor control_;
    LauncherListener& listener_;
    std::optional<IoWatch> watch_;
};

} // namespace belay::manager
