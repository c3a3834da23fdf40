// SPDX-License-Identifier: Apache-2.0
#include "config/quoted_list.hpp"

namespace belay::config {

std::string quoted_list(const std::vector<std::string>& items, std::string_view before_last)
{
    std::string result;
    for (std::size_t i = 0; i < items.size(); ++i) {
        if (i > 0)
            result += i + 1 < items.size() ? ", " : before_last;
        result += '`' + items[i] + '`';
    }
    return result;
}

} // namespace belay::config
