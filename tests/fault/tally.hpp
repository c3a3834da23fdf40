// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include <array>
#include <cerrno>
#include <cstdio>
#include <map>
#include <regex>
#include <sstream>
#include <string>

namespace belay::fault {

inline constexpr std::array injected_errors{EPERM, ENOMEM, EINTR, EAGAIN};

/// What one process may differ in from another of the same plan is left out.
inline std::string normalised(const std::string& output)
{
    std::istringstream lines{output};
    std::string result;
    for (std::string line; std::getline(lines, line);) {
        auto value = nlohmann::json::parse(line, nullptr, false);
        if (value.is_object() && value.contains("sid")) {
            value["leads_its_session"] = value["sid"] == value["pid"] && value["pgid"] == value["pid"];
            auto status = nlohmann::json::object();
            for (const auto* key : {"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
                                    "NoNewPrivs", "Seccomp", "Seccomp_filters", "SigBlk", "SigIgn", "SigCgt"})
                status[key] = value["status"][key];
            value["status"] = std::move(status);
            for (const auto* key : {"pid", "ppid", "sid", "pgid"})
                value.erase(key);
            line = std::regex_replace(value.dump(), std::regex{"pipe:\\[[0-9]+\\]"}, "pipe");
        }
        result += line + '\n';
    }
    return result;
}

/// What differs between two texts of normalised(), briefly.
inline std::string difference(const std::string& expected, const std::string& found)
{
    std::istringstream left{expected};
    std::istringstream right{found};
    std::string result;
    std::string one;
    std::string other;
    while (std::getline(left, one) && std::getline(right, other)) {
        const auto a = nlohmann::json::parse(one, nullptr, false);
        const auto b = nlohmann::json::parse(other, nullptr, false);
        if (one != other)
            result += a.is_discarded() || b.is_discarded() ? one + " != " + other : nlohmann::json::diff(a, b).dump();
    }
    return result;
}

/// How many injections there were, and how many of them let the program run with anything but its plan.
class Tally
{
public:
    explicit Tally(std::string subject) : subject_(std::move(subject)) {}

    void note(const std::string& part, bool open, bool ran)
    {
        auto& row = rows_[part];
        ++row.injected;
        row.ran += ran ? 1 : 0;
        row.open += open ? 1 : 0;
    }

    [[nodiscard]] std::size_t injected() const
    {
        std::size_t sum = 0;
        for (const auto& [part, row] : rows_)
            sum += static_cast<std::size_t>(row.injected);
        return sum;
    }

    /// Prints the table; the number of failures that were open.
    [[nodiscard]] int print() const
    {
        Row sum;
        for (const auto& [part, row] : rows_) {
            std::printf("  %-52s fail-open %d / injected %4d, harmless %d\n", part.c_str(), row.open, row.injected,
                        row.ran - row.open);
            sum = {sum.injected + row.injected, sum.open + row.open, sum.ran + row.ran};
        }
        std::printf("%s: fail-open %d / injected %d\n\n", subject_.c_str(), sum.open, sum.injected);
        std::fflush(stdout);
        return sum.open;
    }

private:
    struct Row
    {
        int injected = 0;
        int open = 0;
        int ran = 0;
    };
    std::string subject_;
    std::map<std::string, Row> rows_;
};

} // namespace belay::fault
