// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

#include <stdlib.h>

/// A new directory, mkdtemp(3), that is removed in the end with all that is in it.
class TemporaryDirectory
{
public:
    /// `name`: for whoever finds it nevertheless.
    explicit TemporaryDirectory(const std::string& name,
                                const std::filesystem::path& parent = std::filesystem::temp_directory_path())
    {
        auto pattern = (parent / ("belay-" + name + "-XXXXXX")).string();
        const char* made = ::mkdtemp(pattern.data());
        if (made == nullptr)
            throw std::system_error(errno, std::generic_category(), pattern);
        path = made;
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    TemporaryDirectory(TemporaryDirectory&&) = delete;
    TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
    ~TemporaryDirectory()
    {
        std::error_code error;
        std::filesystem::remove_all(path, error);
    }

    std::filesystem::path path;
};
