// SPDX-License-Identifier: Apache-2.0
#include "manager/file_text.hpp"

#include <fstream>
#include <iterator>

namespace belay::manager {

std::string text_of(const std::filesystem::path& file)
{
    std::ifstream stream{file};
    return {std::istreambuf_iterator<char>{stream}, {}};
}

} // namespace belay::manager
