// SPDX-License-Identifier: Apache-2.0
//
// Writes what it is, as it sees itself, as one JSON object to standard output.
#include "tests/integration/inside.hpp"

#include <cstdio>

int main(int argc, char** argv)
{
    std::puts(standin::inside(argc, argv).dump().c_str());
    return 0;
}
