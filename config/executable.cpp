// SPDX-License-Identifier: Apache-2.0
#include "config/executable.hpp"

#include "launcher/descriptor.hpp"

#include <sys/capability.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::config {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view elf = "\177ELF";

/// As much as the kernel looks at; nothing if this process may not read the file.
std::optional<std::string> beginning(const fs::path& path)
{
    std::array<char, 256> buffer{};
    std::ifstream file{path, std::ios::binary};
    if (!file)
        return std::nullopt;
    file.read(buffer.data(), buffer.size());
    return std::string{buffer.data(), static_cast<std::size_t>(file.gcount())};
}

std::string_view trim(std::string_view text)
{
    const auto begin = text.find_first_not_of(" \t\r");
    const auto end = text.find_last_not_of(" \t\r");
    return begin == std::string_view::npos ? std::string_view{} : text.substr(begin, end - begin + 1);
}

/// The interpreter of a "#!" line and its one optional argument.
std::vector<std::string> parse_shebang(std::string_view text)
{
    const auto line = trim(text.substr(2, text.find('\n') - 2));
    const auto space = line.find_first_of(" \t");
    std::vector<std::string> result{std::string{line.substr(0, space)}};
    if (space != std::string_view::npos)
        result.emplace_back(trim(line.substr(space)));
    return result;
}

/// The parts of an ELF file that are loaded as data, elf(5); the whole of it where constants share a segment with code.
std::vector<std::string_view> data_of(std::string_view file)
{
    std::vector<std::string_view> result;
    bool has_constants = false;
    Elf64_Ehdr header{};
    if (file.size() < sizeof header || file[EI_CLASS] != ELFCLASS64)
        return {file};
    std::memcpy(&header, file.data(), sizeof header);
    for (std::size_t i = 0; i < header.e_phnum; ++i) {
        Elf64_Phdr segment{};
        const auto at = header.e_phoff + i * sizeof segment;
        if (at > file.size() || file.size() - at < sizeof segment)
            return {file};
        std::memcpy(&segment, file.data() + at, sizeof segment);
        if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) != 0 || segment.p_offset >= file.size())
            continue;
        result.push_back(file.substr(segment.p_offset, segment.p_filesz));
        has_constants = has_constants || (segment.p_flags & PF_W) == 0;
    }
    return has_constants ? result : std::vector{file};
}

bool contains(std::string_view text, std::string_view wanted)
{
    return ::memmem(text.data(), text.size(), wanted.data(), wanted.size()) != nullptr;
}

} // namespace

bool is_program(const fs::path& path)
{
    std::error_code error;
    return fs::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0;
}

std::optional<fs::path> find_in_path(const std::string& name, const std::string& path)
{
    for (std::size_t begin = 0; begin <= path.size();) {
        const auto end = std::min(path.find(':', begin), path.size());
        const auto candidate = fs::path{path.substr(begin, end - begin)} / name;
        if (candidate.is_absolute() && is_program(candidate))
            return candidate;
        begin = end + 1;
    }
    return std::nullopt;
}

bool is_rust_binary(const fs::path& path)
{
    const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    bool result = false;
    struct stat status
    {};
    if (file && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 4) {
        const auto size = static_cast<std::size_t>(status.st_size);
        void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
        if (memory != MAP_FAILED) {
            constexpr std::string_view mark = "RUST_BACKTRACE";
            const std::string_view all{static_cast<const char*>(memory), size};
            const auto parts = all.starts_with(elf) ? data_of(all) : std::vector<std::string_view>{};
            result = std::any_of(parts.begin(), parts.end(), [&](auto part) { return contains(part, mark); });
            ::munmap(memory, size);
        }
    }
    return result;
}

tl::expected<void, std::string> resolve_interpreter(launcher::ProcessPlan& process)
{
    constexpr int most = 5; // as the kernel
    for (int level = 0; level < most; ++level) {
        const auto text = beginning(process.program);
        if (!text || text->starts_with(elf))
            return {};
        const auto quoted = '`' + process.program + '`';
        if (!text->starts_with("#!"))
            return tl::unexpected(quoted + " is neither an ELF program nor a script that begins with #!");
        auto line = parse_shebang(*text);
        if (!line.front().starts_with('/'))
            return tl::unexpected("the interpreter of " + quoted + " is `" + line.front() + "`, not an absolute path");
        if (!is_program(line.front()))
            return tl::unexpected("the interpreter `" + line.front() + "` of " + quoted +
                                  " does not exist or is not executable");
        line.push_back(process.program);
        line.insert(line.end(), process.arguments.begin() + 1, process.arguments.end());
        process.program = line.front();
        process.arguments = std::move(line);
    }
    return tl::unexpected("the interpreters of `" + process.arguments.back() + "` are scripts of scripts");
}

std::string set_id_bit(const fs::path& path)
{
    std::error_code error;
    const auto mode = fs::status(path, error).permissions();
    const auto has = [&](fs::perms bit) { return !error && (mode & bit) != fs::perms::none; };
    if (has(fs::perms::set_uid))
        return "the setuid bit";
    return has(fs::perms::set_gid) ? "the setgid bit" : "";
}

std::string file_capabilities(const fs::path& path)
{
    const std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> found{::cap_get_file(path.c_str()), ::cap_free};
    if (!found)
        return {};
    const std::unique_ptr<char, int (*)(void*)> text{::cap_to_text(found.get(), nullptr), ::cap_free};
    return text ? std::string{text.get()} : std::string{"unreadable"};
}

} // namespace belay::config
