// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <tl/expected.hpp>

#include <filesystem>
#include <optional>
#include <string>

/// What can be said of a program by looking at its file.
namespace belay::config {

/// A regular file that this process may execute.
bool is_program(const std::filesystem::path& path);

/// As a shell looks for it; relative entries of `path` are passed over.
std::optional<std::filesystem::path> find_in_path(const std::string& name, const std::string& path);

/// C++ modules refuse a socket path together with a host, Rust modules demand all three. What tells them apart is a
/// string of Rust's standard library.
bool is_rust_binary(const std::filesystem::path& path);

/// The launcher executes a descriptor, which a script's interpreter could not open again: puts the interpreter of the
/// "#!" line in the program's place, as execve(2) does. The error is a sentence: the kernel could not execute it.
tl::expected<void, std::string> resolve_interpreter(launcher::ProcessPlan& process);

/// "the setuid bit" or "the setgid bit" if the file has it; empty if it has neither.
std::string set_id_bit(const std::filesystem::path& path);

/// The capabilities setcap(8) gave the file, as cap_to_text(3) has them; empty if there are none.
std::string file_capabilities(const std::filesystem::path& path);

} // namespace belay::config
