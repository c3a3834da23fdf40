// SPDX-License-Identifier: Apache-2.0
//
// hog MEGABYTES: uses so much memory, and then says so: whoever is limited to less does not come to that.
#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int argc, char** argv)
{
    constexpr std::size_t megabyte = 1U << 20U;
    const auto count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 0;
    for (std::size_t i = 0; i < count; ++i) {
        auto* part = static_cast<volatile char*>(std::malloc(megabyte));
        if (part == nullptr)
            return 1;
        for (std::size_t at = 0; at < megabyte; at += 4096)
            part[at] = 1;
    }
    std::puts("hog: nobody stopped me");
    return 0;
}
