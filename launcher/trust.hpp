// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"

#include <tl/expected.hpp>

#include <string>

#include <sys/types.h>

/// Root grants privileges only on the word of files that only root can write (as sshd's StrictModes does).
namespace belay::launcher {

/// Opens `path` (absolute; O_PATH) and holds for the file, each directory above it and each symbolic link on the way:
/// it belongs to root or `trusted_owner`, and nobody else may write it (a sticky directory may be written by others;
/// then what is in it must still be root's). The error is a sentence that names the component, what is wrong with it,
/// and the remedy.
tl::expected<FileDescriptor, std::string> open_trusted(const std::string& path, uid_t trusted_owner);

/// Whether what is called `name` in a directory that open_trusted() has opened, and nobody else can therefore change,
/// may be trusted, too, and is no symbolic link. If not, open_trusted() of the whole path says why, or follows the
/// link.
bool is_trusted_in(const FileDescriptor& directory, const std::string& name, uid_t trusted_owner = 0);

} // namespace belay::launcher
