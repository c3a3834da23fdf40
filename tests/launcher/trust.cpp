// SPDX-License-Identifier: Apache-2.0
#include "launcher/trust.hpp"

#include "tests/root.hpp"
#include "tests/temporary_directory.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

#include <sys/stat.h>

namespace fs = std::filesystem;
using belay::launcher::open_trusted;

namespace {

constexpr uid_t somebody = 64999;

/// A directory that only root can write, with a file in it.
class Tree : public TemporaryDirectory
{
public:
    Tree() : TemporaryDirectory(name())
    {
        ::chmod(path.c_str(), 0755);
        fs::create_directory(path / "dir");
        std::ofstream{file()} << "x";
    }

    [[nodiscard]] fs::path file() const { return path / "dir/file"; }
    [[nodiscard]] std::string objection(uid_t trusted = 0) const
    {
        const auto opened = open_trusted(file().string(), trusted);
        return opened ? "" : opened.error();
    }

private:
    static std::string name()
    {
        need_root();
        return "trust";
    }
};

bool contains(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

} // namespace

TEST_CASE("what only root can write is trusted")
{
    const Tree tree;
    CHECK(tree.objection().empty());
    CHECK(open_trusted("/bin/sh", 0));
    CHECK(open_trusted((tree.path / "dir/../dir/./file").string(), 0));
}

TEST_CASE("each component of the path counts")
{
    const Tree tree;
    SECTION("a file of somebody else")
    {
        REQUIRE(::chown(tree.file().c_str(), somebody, 0) == 0);
        CHECK(contains(tree.objection(), "belongs to uid 64999"));
        CHECK(tree.objection(somebody).empty());
    }
    SECTION("a file that a group can write")
    {
        REQUIRE(::chmod(tree.file().c_str(), 0664) == 0);
        CHECK(contains(tree.objection(), "can be written by others than its owner (mode 0664); chmod go-w"));
    }
    SECTION("a directory that everybody can write")
    {
        REQUIRE(::chmod((tree.path / "dir").c_str(), 0777) == 0);
        CHECK(contains(tree.objection(), (tree.path / "dir").string() + " (on the way to"));
    }
    SECTION("a sticky directory, where nobody can replace root's file")
    {
        REQUIRE(::chmod((tree.path / "dir").c_str(), 01777) == 0);
        CHECK(tree.objection().empty());
    }
    SECTION("a directory of somebody else, even a sticky one")
    {
        REQUIRE(::chown((tree.path / "dir").c_str(), somebody, 0) == 0);
        REQUIRE(::chmod((tree.path / "dir").c_str(), 01755) == 0);
        CHECK(contains(tree.objection(), "belongs to uid 64999"));
        CHECK(contains(tree.objection(), "chown root, or put the file below directories of root's"));
    }
}

TEST_CASE("symbolic links are followed by the same rule")
{
    const Tree tree;
    const Tree other;
    const auto link = tree.path / "link";
    const auto judge = [&] { return open_trusted((link / "file").string(), 0); };
    SECTION("relative and absolute")
    {
        fs::create_symlink("dir", link);
        CHECK(judge());
        fs::remove(link);
        fs::create_symlink(other.path / "dir", link);
        CHECK(judge());
    }
    SECTION("to a bad place")
    {
        REQUIRE(::chmod((other.path / "dir").c_str(), 0777) == 0);
        fs::create_symlink(other.path / "dir", link);
        CHECK(contains(judge().error(), "can be written"));
    }
    SECTION("of somebody else")
    {
        fs::create_symlink("dir", link);
        REQUIRE(::lchown(link.c_str(), somebody, 0) == 0);
        CHECK(contains(judge().error(), "belongs to uid 64999"));
    }
    SECTION("in a circle")
    {
        fs::create_symlink("link", link);
        CHECK(contains(judge().error(), "Too many levels of symbolic links"));
    }
}

TEST_CASE("what is missing or relative is named")
{
    need_root();
    CHECK(contains(open_trusted("/nowhere/file", 0).error(), "/nowhere (on the way to /nowhere/file): No such file"));
    CHECK(contains(open_trusted("file", 0).error(), "is not an absolute path"));
}
