// SPDX-License-Identifier: Apache-2.0
//
// Writes what it is, as it sees itself, as one JSON object to standard output.
#include "tests/integration/inside.hpp"
#include "tests/integration/surroundings.hpp"

#include <cstdio>

int main(int argc, char** argv)
{
    auto result = standin::inside(argc, argv);
    result["surroundings"] = standin::surroundings();
    std::puts(result.dump().c_str());
    return 0;
}
