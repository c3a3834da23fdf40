// SPDX-License-Identifier: Apache-2.0
#include "launcher/stages.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <set>

using namespace belay::launcher;

TEST_CASE("every stage has a sentence of its own")
{
    std::set<std::string> sentences;
    const auto count = static_cast<std::uint32_t>(StageId::fork) + 1;
    for (std::uint32_t number = 0; number < count; ++number)
        sentences.insert(describe(static_cast<StageId>(number)));
    CHECK(sentences.size() == count);
    CHECK(sentences.count(describe(static_cast<StageId>(count))) == 0);
}

TEST_CASE("a failure is explained: what, why, what to do")
{
    CHECK(explain({StageId::ambient_set, EPERM}) ==
          "could not raise the ambient capabilities: Operation not permitted (EPERM); a declared capability is not in "
          "the service's bounding set; add it to CapabilityBoundingSet= of the unit");
    CHECK(explain({StageId::keyring, EDQUOT}) == "could not join a new session keyring: Disk quota exceeded (EDQUOT)");
}

TEST_CASE("whatever arrives as a failure can be explained")
{
    CHECK_FALSE(explain({static_cast<StageId>(4'000'000'000), 123456}).empty());
    CHECK_FALSE(explain({StageId::execution, -1}).empty());
}
