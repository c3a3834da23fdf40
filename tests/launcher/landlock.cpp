// SPDX-License-Identifier: Apache-2.0
#include "launcher/landlock.hpp"

#include <catch2/catch.hpp>

#include <array>

#include <linux/landlock.h>

using namespace belay::launcher;

namespace {

constexpr std::uint64_t execute = LANDLOCK_ACCESS_FS_EXECUTE;
constexpr std::uint64_t all = ~std::uint64_t{0};
constexpr std::uint64_t scopes = landlock_scope_abstract_unix_socket | landlock_scope_signal;
constexpr std::uint64_t ports = landlock_bind_tcp | landlock_connect_tcp;

struct Expected
{
    std::uint64_t files = 0;
    std::uint64_t ports = 0;
    std::uint64_t scoped = 0;
    bool moves_freely = false;
};

using Row = std::array<Expected, 8>; ///< by ABI, from 0

void check(const LandlockPlan& plan, const Row& row)
{
    for (int abi = 0; abi < static_cast<int>(row.size()); ++abi) {
        CAPTURE(abi);
        const auto& expected = row.at(static_cast<std::size_t>(abi));
        const auto ruleset = resolve(plan, abi);
        CHECK(ruleset.attributes.handled_access_fs == expected.files);
        CHECK(ruleset.attributes.handled_access_net == expected.ports);
        CHECK(ruleset.attributes.scoped == expected.scoped);
        CHECK(ruleset.moves_freely == expected.moves_freely);
    }
}

LandlockPlan plan(bool isolate, std::uint64_t files = 0, std::uint64_t net = 0)
{
    LandlockPlan result;
    result.isolate = isolate;
    result.handled_fs = files;
    result.handled_net = net;
    return result;
}

} // namespace

TEST_CASE("a domain asks the kernel for what its ABI knows, and for nothing where there is no Landlock")
{
    constexpr std::uint64_t block = LANDLOCK_ACCESS_FS_MAKE_BLOCK;
    constexpr std::uint64_t first = (1U << 13U) - 1;
    constexpr std::uint64_t second = first | landlock_refer;
    constexpr std::uint64_t third = second | landlock_truncate;
    constexpr std::uint64_t fifth = third | landlock_ioctl_device;
    const Expected nothing{};
    SECTION("off")
    {
        check(plan(false), {});
    }
    SECTION("isolated")
    {
        const Expected unscoped{block | landlock_refer, 0, 0, true};
        const Expected scoped{0, 0, scopes, false};
        check(plan(true), {nothing, {block}, unscoped, unscoped, unscoped, unscoped, scoped, scoped});
    }
    SECTION("isolated, and executing some files: `standard` with run_as_user")
    {
        const Expected unscoped{execute | landlock_refer, 0, 0, true};
        const Expected scoped{execute | landlock_refer, 0, scopes, true};
        check(plan(true, execute), {nothing, {execute}, unscoped, unscoped, unscoped, unscoped, scoped, scoped});
    }
    SECTION("strict")
    {
        check(plan(true, all, all), {nothing,
                                     {first},
                                     {second},
                                     {third},
                                     {third, ports},
                                     {fifth, ports},
                                     {fifth, ports, scopes},
                                     {fifth, ports, scopes}});
    }
    SECTION("strict, of one that keeps its privileges")
    {
        check(plan(false, all, all),
              {nothing, {first}, {second}, {third}, {third, ports}, {fifth, ports}, {fifth, ports}, {fifth, ports}});
    }
}
