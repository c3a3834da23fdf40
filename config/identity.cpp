// SPDX-License-Identifier: Apache-2.0
#include "config/identity.hpp"

#include "config/files.hpp"
#include "launcher/errno_text.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>

#include <grp.h>
#include <pwd.h>

namespace belay::config {

namespace {

constexpr std::size_t usual_buffer = 4096;
// "Users, Groups, UIDs and GIDs on systemd Systems", special ranges
constexpr uid_t first_dynamic = 61184;
constexpr uid_t last_dynamic = 65519;

/// Calls one of the getXXX_r functions until its buffer suffices. Null with `error` 0: there is no such entry.
template <typename Entry, typename Call>
Entry* retrieve(Entry& entry, std::vector<char>& buffer, int& error, Call call)
{
    Entry* found = nullptr;
    buffer.resize(usual_buffer);
    while ((error = call(&entry, buffer.data(), buffer.size(), &found)) == ERANGE)
        buffer.resize(buffer.size() * 2);
    return found;
}

std::optional<unsigned> number(const std::string& text)
{
    unsigned value = 0;
    const auto* end = text.data() + text.size();
    const auto [stop, code] = std::from_chars(text.data(), end, value);
    return code == std::errc{} && stop == end ? std::optional{value} : std::nullopt;
}

std::vector<gid_t> groups_of(const passwd& entry)
{
    int count = 64;
    std::vector<gid_t> groups(static_cast<std::size_t>(count));
    while (::getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &count) < 0) {
        count = std::max(count, static_cast<int>(groups.size()) * 2);
        groups.resize(static_cast<std::size_t>(count));
    }
    groups.resize(static_cast<std::size_t>(count));
    return groups;
}

bool is_free(uid_t id)
{
    passwd user{};
    group group{};
    std::vector<char> buffer;
    int user_error = 0;
    int group_error = 0;
    const auto by_uid = [=](auto... arguments) { return ::getpwuid_r(id, arguments...); };
    const auto by_gid = [=](auto... arguments) { return ::getgrgid_r(id, arguments...); };
    return retrieve(user, buffer, user_error, by_uid) == nullptr &&
           retrieve(group, buffer, group_error, by_gid) == nullptr && user_error == 0 && group_error == 0 &&
           !entry_exists("/run/systemd/dynamic-uid/" + std::to_string(id));
}

/// FNV-1a: the same on every machine and in every version.
std::uint32_t hash(const std::string& text)
{
    constexpr std::uint32_t basis = 2166136261;
    constexpr std::uint32_t prime = 16777619;
    std::uint32_t result = basis;
    for (const char character : text)
        result = (result ^ static_cast<unsigned char>(character)) * prime;
    return result;
}

} // namespace

tl::expected<Identity, std::string> look_up_user(const std::string& name)
{
    passwd entry{};
    std::vector<char> buffer;
    int error = 0;
    const auto by_name = [&](auto... arguments) { return ::getpwnam_r(name.c_str(), arguments...); };
    const auto* found = retrieve(entry, buffer, error, by_name);
    if (const auto id = number(name); found == nullptr && id) {
        const auto by_id = [&](auto... arguments) { return ::getpwuid_r(*id, arguments...); };
        found = retrieve(entry, buffer, error, by_id);
    }
    if (found == nullptr)
        return tl::unexpected(error == 0 || error == ENOENT ? std::string{} : std::string{errno_text(error)});
    return Identity{entry.pw_uid, entry.pw_gid, groups_of(entry), entry.pw_name, entry.pw_dir, entry.pw_shell};
}

std::optional<gid_t> look_up_group(const std::string& name)
{
    group entry{};
    std::vector<char> buffer;
    int error = 0;
    const auto by_name = [&](auto... arguments) { return ::getgrnam_r(name.c_str(), arguments...); };
    if (retrieve(entry, buffer, error, by_name) != nullptr)
        return entry.gr_gid;
    return number(name);
}

std::optional<Identity> dynamic_user(const std::string& owner, std::set<uid_t>& taken)
{
    constexpr uid_t count = last_dynamic - first_dynamic + 1;
    const auto start = hash(owner) % count;
    for (uid_t i = 0; i < count; ++i) {
        const uid_t id = first_dynamic + (start + i) % count;
        if (taken.contains(id) || !is_free(id))
            continue;
        taken.insert(id);
        return Identity{id, id, {id}, owner, "/", "/usr/sbin/nologin"};
    }
    return std::nullopt;
}

} // namespace belay::config
