// SPDX-License-Identifier: Apache-2.0
#include "launcher/descriptor.hpp"
#include "launcher/io_priority.hpp"
#include "launcher/raw_calls.hpp"
#include "launcher/stage_functions.hpp"

#include <array>
#include <cstdlib>
#include <string_view>

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

constexpr const char* oom_score_file = "/proc/self/oom_score_adj";
constexpr std::size_t longest_number = 16;

/// A decimal number on the stack: nothing is allocated here.
class Decimal
{
public:
    explicit Decimal(int value) noexcept
    {
        unsigned rest = value < 0 ? 0U - static_cast<unsigned>(value) : static_cast<unsigned>(value);
        do {
            digits_[--begin_] = static_cast<char>('0' + rest % 10);
        } while ((rest /= 10) != 0);
        if (value < 0)
            digits_[--begin_] = '-';
    }

    [[nodiscard]] std::string_view text() const noexcept { return {&digits_[begin_], digits_.size() - begin_}; }

private:
    std::array<char, longest_number> digits_{};
    std::size_t begin_ = longest_number;
};

int write_oom_score(int value) noexcept
{
    const FileDescriptor file{::open(oom_score_file, O_WRONLY | O_CLOEXEC)};
    if (!file)
        return errno;
    const Decimal number{value};
    const auto written = ::write(file.get(), number.text().data(), number.text().size());
    if (written < 0)
        return errno;
    return static_cast<std::size_t>(written) == number.text().size() ? 0 : EIO;
}

int verify_oom_score(int value) noexcept
{
    const FileDescriptor file{::open(oom_score_file, O_RDONLY | O_CLOEXEC)};
    std::array<char, longest_number> buffer{};
    const auto size = file ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
    if (size < 0)
        return errno;
    const Decimal number{value};
    const std::string_view found{buffer.data(), static_cast<std::size_t>(size)};
    return found.starts_with(number.text()) && found.substr(number.text().size()) == "\n" ? 0 : mismatch;
}

cpu_set_t mask_of(const std::vector<std::uint32_t>& cpus) noexcept
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    for (const auto cpu : cpus)
        CPU_SET(cpu, &mask); // the plan has none beyond CPU_SETSIZE
    return mask;
}

/// What the kernel keeps of it: the processors that there are.
int verify_cpus(const std::vector<std::uint32_t>& cpus) noexcept
{
    cpu_set_t found;
    CPU_ZERO(&found);
    if (::syscall(SYS_sched_getaffinity, 0, sizeof found, &found) < 0)
        return errno;
    const auto wanted = mask_of(cpus);
    cpu_set_t both;
    CPU_AND(&both, &wanted, &found);
    return CPU_EQUAL(&both, &found) ? 0 : mismatch;
}

int verify_scheduling(const Priorities& wanted) noexcept
{
    const long policy = ::syscall(SYS_sched_getscheduler, 0);
    struct sched_param parameters
    {};
    if (policy < 0 || ::syscall(SYS_sched_getparam, 0, &parameters) != 0)
        return errno;
    return policy == *wanted.policy && parameters.sched_priority == wanted.static_priority ? 0 : mismatch;
}

} // namespace

int set_priorities(const ModuleStart& start) noexcept
{
    const auto& wanted = *start.priorities;
    if (wanted.oom_score_adj)
        if (const int error = write_oom_score(*wanted.oom_score_adj); error != 0)
            return error;
    const auto mask = mask_of(wanted.cpus);
    if (!wanted.cpus.empty() && ::syscall(SYS_sched_setaffinity, 0, sizeof mask, &mask) != 0)
        return errno;
    const struct sched_param parameters
    {
        wanted.static_priority
    };
    if (wanted.policy && ::syscall(SYS_sched_setscheduler, 0, *wanted.policy, &parameters) != 0)
        return errno;
    if (wanted.nice && ::syscall(SYS_setpriority, PRIO_PROCESS, 0, *wanted.nice) != 0)
        return errno;
    return wanted.io ? errno_of(::syscall(SYS_ioprio_set, io_of_process, 0, *wanted.io)) : 0;
}

int verify_priorities(const ModuleStart& start) noexcept
{
    const auto& wanted = *start.priorities;
    constexpr int nice_of_kernel = 20; // getpriority(2) itself returns 20 - nice, so that nothing is negative
    if (wanted.oom_score_adj)
        if (const int error = verify_oom_score(*wanted.oom_score_adj); error != 0)
            return error;
    if (!wanted.cpus.empty())
        if (const int error = verify_cpus(wanted.cpus); error != 0)
            return error;
    if (wanted.policy)
        if (const int error = verify_scheduling(wanted); error != 0)
            return error;
    if (wanted.nice && ::syscall(SYS_getpriority, PRIO_PROCESS, 0) != nice_of_kernel - *wanted.nice)
        return mismatch;
    return !wanted.io || ::syscall(SYS_ioprio_get, io_of_process, 0) == *wanted.io ? 0 : mismatch;
}

} // namespace belay::launcher
