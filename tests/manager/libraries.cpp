// SPDX-License-Identifier: Apache-2.0
//
// What of libsystemd and libmosquitto is loaded late, and what is found out without them.
#include "manager/libmosquitto.hpp"
#include "manager/libsystemd.hpp"
#include "manager/own_unit.hpp"

#include <catch2/catch.hpp>

#include <string_view>

using namespace belay::manager;
using Catch::Contains;

TEST_CASE("a library is loaded with all that is used of it")
{
    CHECK(std::string_view{libmosquitto().strerror(MOSQ_ERR_NOMEM)} == "Out of memory.");
    CHECK(libsystemd().booted() >= 0);
}

TEST_CASE("a library or a function that is missing is named, with what has it")
{
    CHECK_THROWS_WITH(SharedLibrary("libnone.so.1", "libnone1"),
                      Contains("libnone.so.1") && Contains("No such file") && Contains("install libnone1"));
    const SharedLibrary library{"libsystemd.so.0", "libsystemd0"};
    CHECK_THROWS_WITH(library["sd_none"], "libsystemd.so.0 has no function sd_none; install a newer one");
}

TEST_CASE("the own unit is found in the path of the cgroup, as systemd finds it")
{
    CHECK(unit_of("0::/system.slice/everest.service\n") == "everest.service");
    CHECK(unit_of("0::/system.slice/system-everest.slice/everest@left.service/supervisor\n") == "everest@left.service");
    CHECK(unit_of("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n") == "user@1000.service");
    CHECK(unit_of("0::/user.slice/user-1000.slice/session-3.scope\n") == "session-3.scope");
    CHECK(unit_of("9:name=systemd:/system.slice/everest.service\n2:cpu:/b.service\n0::/\n") == "everest.service");
    CHECK(unit_of("0::/system.slice/_cpu.service\n") == "cpu.service");
    for (const auto* text : {"", "\n", "0", "0::", "0::/", "0::/\n", "0::/a.slice\n", "0::/lxc/everest.service\n",
                             "4:memory:/everest.service\n", "0::/init.scope.d\n"})
        CHECK(unit_of(text).empty());
}
