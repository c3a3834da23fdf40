// SPDX-License-Identifier: Apache-2.0
#include "launcher/watchdog.hpp"

#include "launcher/complaint.hpp"
#include "launcher/errno_text.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

using Failure = Watchdog::Failure;
using Result = tl::expected<void, Failure>;

tl::unexpected<Failure> failure(const WatchdogPlan& plan, int error, const std::string& sentence)
{
    return tl::unexpected(Failure{error, "the watchdog " + plan.device + ": " + sentence});
}

tl::unexpected<Failure> failure(const WatchdogPlan& plan, int error, const char* what, const char* remedy)
{
    return failure(plan, error, std::string{what} + ": " + errno_text(error) + "; " + remedy);
}

/// Its attributes (Documentation/ABI/testing/sysfs-class-watchdog). /dev/watchdog is another name of the first one.
std::string attributes_of(dev_t device)
{
    constexpr unsigned misc_major = 10;
    constexpr unsigned watchdog_minor = 130;
    if (major(device) == misc_major && minor(device) == watchdog_minor)
        return "/sys/class/watchdog/watchdog0/";
    return "/sys/dev/char/" + std::to_string(major(device)) + ':' + std::to_string(minor(device)) + '/';
}

/// Its lines in one; empty if the kernel does not tell.
std::string attribute(const std::string& path)
{
    const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    std::array<char, 64> text{};
    const auto size = file ? ::read(file.get(), text.data(), text.size()) : -1;
    std::string result{text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
    while (result.ends_with('\n'))
        result.pop_back();
    std::replace(result.begin(), result.end(), '\n', ' ');
    return result;
}

/// Where it is chosen already, by udev for example, /sys may be read-only.
Result choose_governor(const WatchdogPlan& plan, const std::string& attributes)
{
    const auto& name = plan.pretimeout_governor;
    const auto path = attributes + "pretimeout_governor";
    if (name.empty() || attribute(path) == name)
        return {};
    const FileDescriptor file{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (file && ::write(file.get(), name.data(), name.size()) == static_cast<ssize_t>(name.size()))
        return {};
    const int error = errno;
    auto sentence = "the governor `" + name + "` could not be chosen: " + path + ": " + errno_text(error);
    if (error == EROFS)
        return failure(plan, error, sentence + "; let udev choose it: ATTR{pretimeout_governor}=\"" + name + '"');
    const auto available = attribute(attributes + "pretimeout_available_governors");
    return failure(plan, error,
                   sentence + (available.empty() ? "; the kernel has none for it" : "; there are: " + available));
}

} // namespace

std::string watchdog_attribute(const std::string& device, const char* name)
{
    struct stat status
    {};
    return ::stat(device.c_str(), &status) == 0 ? attribute(attributes_of(status.st_rdev) + name) : std::string{};
}

tl::expected<dev_t, Failure> Watchdog::find(const WatchdogPlan& plan)
{
    struct stat status
    {};
    if (::stat(plan.device.c_str(), &status) != 0)
        return failure(plan, errno, "it is not there", "load its driver, or correct `device` in belay.yaml");
    if (!S_ISCHR(status.st_mode))
        return failure(plan, ENOTTY, "it is no character device; correct `device` in belay.yaml");
    return status.st_rdev;
}

tl::expected<Watchdog, Failure> Watchdog::open(const WatchdogPlan& plan)
{
    const auto number = find(plan);
    if (!number)
        return tl::unexpected(number.error());
    Watchdog result{FileDescriptor{::open(plan.device.c_str(), O_WRONLY | O_CLOEXEC)}};
    if (!result && errno == EBUSY)
        return failure(plan, EBUSY,
                       "it is busy: another program feeds it. If that is systemd (RuntimeWatchdogSec=), let systemd "
                       "watch this service: WatchdogSec= in its unit; otherwise end that program");
    if (!result)
        return failure(plan, errno, "could not open it", "start as root, or remove `device` from belay.yaml");
    const auto attributes = attributes_of(*number);
    const auto nowayout = attribute(attributes + "nowayout");
    result.state_.nowayout = nowayout == "1" ? 1 : 0;
    if (const auto chosen = choose_governor(plan, attributes); !chosen)
        return tl::unexpected(chosen.error());
    if (const auto set = result.set(plan); !set)
        return tl::unexpected(set.error());
    return result;
}

Result Watchdog::set(const WatchdogPlan& plan)
{
    watchdog_info info{};
    if (::ioctl(device_.get(), WDIOC_GETSUPPORT, &info) != 0)
        return failure(plan, errno, "it is no watchdog", "correct `device` in belay.yaml");
    std::copy_n(reinterpret_cast<const char*>(info.identity), sizeof info.identity, state_.identity.begin());
    state_.identity.back() = '\0';
    state_.magic_close = (info.options & WDIOF_MAGICCLOSE) != 0 ? 1 : 0;
    int boot_status = 0;
    if (::ioctl(device_.get(), WDIOC_GETBOOTSTATUS, &boot_status) == 0)
        state_.boot_status = boot_status;
    if (auto timeout = set_timeout(plan, (info.options & WDIOF_SETTIMEOUT) != 0); !timeout)
        return timeout;
    return plan.pretimeout_s == 0 ? Result{} : set_pretimeout(plan);
}

/// The driver may choose another one than is asked for, and says which.
Result Watchdog::set_timeout(const WatchdogPlan& plan, bool settable)
{
    auto seconds = static_cast<int>(plan.timeout_s);
    const auto wanted = std::to_string(plan.timeout_s) + " s";
    if (settable && ::ioctl(device_.get(), WDIOC_SETTIMEOUT, &seconds) != 0)
        return failure(plan, errno, ("its driver refuses a timeout of " + wanted).c_str(),
                       "choose another `timeout` in belay.yaml");
    if (!settable && ::ioctl(device_.get(), WDIOC_GETTIMEOUT, &seconds) != 0)
        return failure(plan, errno, "its driver neither takes a timeout nor tells its own", "use another device");
    if (seconds > static_cast<int>(plan.timeout_s))
        return failure(plan, ERANGE,
                       "it is too slow: it resets the machine after " + std::to_string(seconds) + " s, and not after " +
                           wanted + "; say `timeout: " + std::to_string(seconds) + "` in belay.yaml if that will do");
    if (seconds <= 0)
        return failure(plan, ERANGE, "its driver has chosen no timeout; use another device");
    state_.timeout_ms = static_cast<std::uint32_t>(seconds) * 1000;
    return {};
}

Result Watchdog::set_pretimeout(const WatchdogPlan& plan)
{
    auto seconds = static_cast<int>(plan.pretimeout_s);
    if (::ioctl(device_.get(), WDIOC_SETPRETIMEOUT, &seconds) != 0)
        return failure(plan, errno,
                       ("its driver refuses a pretimeout of " + std::to_string(plan.pretimeout_s) + " s").c_str(),
                       "choose another `pretimeout` in belay.yaml, or none");
    return {};
}

void Watchdog::feed() noexcept
{
    if (!device_ || ::ioctl(device_.get(), WDIOC_KEEPALIVE, 0) == 0 || complained_)
        return;
    complained_ = true;
    report(JournalMessage::watchdog_trouble, LOG_WARNING, "could not feed the watchdog: %s", errno_text(errno));
}

Watchdog& Watchdog::operator=(Watchdog&& other) noexcept
{
    stop();
    device_ = std::move(other.device_);
    state_ = other.state_;
    stops_ = other.stops_;
    complained_ = other.complained_;
    return *this;
}

void Watchdog::stop() noexcept
{
    if (!device_ || !stops_)
        return;
    const bool released = ::write(device_.get(), "V", 1) == 1;
    const auto seconds = state_.timeout_ms / 1000;
    if (!released)
        report(JournalMessage::watchdog_trouble, LOG_WARNING,
               "could not stop the watchdog: %s; the machine is reset within %u s", errno_text(errno), seconds);
    else if (state_.nowayout != 0)
        report(JournalMessage::watchdog_trouble, LOG_WARNING,
               "the watchdog cannot be stopped (nowayout): the machine is reset within %u s unless somebody feeds it",
               seconds);
    device_.reset();
}

} // namespace belay::launcher
