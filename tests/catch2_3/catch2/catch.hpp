// SPDX-License-Identifier: Apache-2.0
/// Catch2 3 by the names of Catch2 2, which Debian 12 has: the directory is searched where version 3 is installed.
#pragma once

#include <catch2/catch_all.hpp>

#include <string>

namespace Catch {

using Matchers::StartsWith;
using Matchers::VectorContains;

inline Matchers::StringContainsMatcher Contains(const std::string& text)
{
    return Matchers::ContainsSubstring(text);
}

} // namespace Catch
