// SPDX-License-Identifier: Apache-2.0
#include "config/yaml.hpp"

#include "config/scalars.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace belay::config {

namespace {

constexpr std::size_t deepest = 200;
constexpr std::size_t most_values = 100'000; ///< EVerest's largest file has some 3,000

/// Ends parsing; what is wrong was already reported.
struct Abandoned : std::runtime_error
{
    using std::runtime_error::runtime_error;
};

/// Builds the tree from the parser's events. Aliases are not expanded, so a file cannot grow while it is read.
class TreeBuilder : public YAML::EventHandler
{
public:
    TreeBuilder(std::shared_ptr<const SourceFile> file, Diagnostics& diagnostics)
        : file_(std::move(file)), diagnostics_(diagnostics)
    {}

    [[nodiscard]] Node take() { return std::move(root_); }

    void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
    void OnDocumentEnd() override {}
    void OnAnchor(const YAML::Mark& /*mark*/, const std::string& name) override { pending_anchor_ = name; }

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override
    {
        add(make(mark, Node::Kind::null, 1), anchor);
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override
    {
        auto node = make(mark, Node::Kind::string, 1);
        node.text = '*' + anchors_[anchor];
        node.length = static_cast<int>(node.text.size());
        report_warning(diagnostics_, node, "the alias `" + node.text + "` is not expanded: EVerest takes it as text",
                       "write the value out");
        add(std::move(node), 0);
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override
    {
        constexpr std::size_t widest = 1000;
        auto node = make(mark, Node::Kind::string, static_cast<int>(std::min(value.size(), widest)));
        node.text = value;
        check_text(node);
        if (tag == "?" || tag.empty())
            type_plain(node);
        else
            node.length += tag == "!" ? 2 : 0;
        add(std::move(node), anchor);
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value /*style*/) override
    {
        open(make(mark, Node::Kind::sequence, 1), anchor);
    }
    void OnSequenceEnd() override { close(); }

    void OnMapStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value /*style*/) override
    {
        open(make(mark, Node::Kind::mapping, 1), anchor);
    }
    void OnMapEnd() override { close(); }

private:
    struct Level
    {
        Node node;
        std::optional<Node> key;
        std::map<std::string, std::size_t, std::less<>> seen;
    };

    Node make(const YAML::Mark& mark, Node::Kind kind, int length) const
    {
        Node node;
        node.kind = kind;
        node.file = file_;
        node.line = mark.line + 1;
        node.column = mark.column + 1;
        node.length = length;
        return node;
    }

    /// Escapes in quotes can spell what the file itself could not contain.
    void check_text(const Node& node)
    {
        if (node.text.find('\0') != std::string::npos)
            report_error(diagnostics_, node, "a text must not contain the NUL character");
        else if (!is_utf8(node.text))
            report_error(diagnostics_, node, "this text is not valid Unicode");
    }

    void type_plain(Node& node)
    {
        if (node.text == "true" || node.text == "false") {
            node.kind = Node::Kind::boolean;
            node.boolean = node.text == "true";
        } else if (is_integer(node.text)) {
            type_integer(node);
        } else if (is_prefixed_integer(node.text)) {
            node.kind = Node::Kind::integer;
            report_warning(diagnostics_, node, "`" + node.text + "` is read as 0, as EVerest does",
                           "write the number in decimal, or in quotes if it is text");
        } else if (is_float(node.text)) {
            node.kind = Node::Kind::number;
            const auto digits = node.text.front() == '+' ? node.text.substr(1) : node.text;
            const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), node.number);
            if (code != std::errc{})
                report_error(diagnostics_, node, "`" + node.text + "` is outside the range of a number");
        }
    }

    void type_integer(Node& node)
    {
        node.kind = Node::Kind::integer;
        const auto digits = node.text.front() == '+' ? node.text.substr(1) : node.text;
        const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), node.integer);
        if (code != std::errc{})
            report_error(diagnostics_, node, "the integer `" + node.text + "` does not fit into 32 bits",
                         "write it in quotes if it is text, or with a decimal point if it is a number");
    }

    void note_anchor(YAML::anchor_t anchor)
    {
        if (anchor != 0)
            anchors_[anchor] = pending_anchor_;
    }

    void open(Node node, YAML::anchor_t anchor)
    {
        note_anchor(anchor);
        if (levels_.size() >= deepest) {
            report_error(diagnostics_, node, "nested deeper than " + std::to_string(deepest) + " levels");
            throw Abandoned("depth");
        }
        levels_.push_back({std::move(node), std::nullopt, {}});
    }

    void close()
    {
        auto node = std::move(levels_.back().node);
        levels_.pop_back();
        add(std::move(node), 0);
    }

    void add(Node node, YAML::anchor_t anchor)
    {
        note_anchor(anchor);
        if (++values_ > most_values) {
            report_error(diagnostics_, node,
                         "more than " + std::to_string(most_values) + " values; this cannot be meant as configuration");
            throw Abandoned("size");
        }
        if (levels_.empty()) {
            root_ = std::move(node);
            return;
        }
        auto& level = levels_.back();
        if (level.node.is(Node::Kind::sequence))
            level.node.items.push_back(std::move(node));
        else if (!level.key)
            set_key(level, std::move(node));
        else
            set_value(level, std::move(node));
    }

    void set_key(Level& level, Node node)
    {
        if (node.is(Node::Kind::sequence) || node.is(Node::Kind::mapping)) {
            report_error(diagnostics_, node, "a key must be a word, not a list or a mapping");
            throw Abandoned("key");
        }
        if (node.is(Node::Kind::null))
            node.text = "null";
        level.key = std::move(node);
    }

    void set_value(Level& level, Node value)
    {
        auto key = std::move(*level.key);
        level.key.reset();
        const auto [place, fresh] = level.seen.try_emplace(key.text, level.node.members.size());
        if (fresh) {
            auto text = key.text;
            level.node.members.push_back({std::move(text), std::move(key), std::move(value)});
            return;
        }
        auto& earlier = level.node.members[place->second];
        report_warning(diagnostics_, key,
                       "the key `" + key.text + "` stands twice, the first time in line " +
                           std::to_string(earlier.key_node.line) + "; the last one counts",
                       "remove one of them");
        earlier.key_node = std::move(key);
        earlier.value = std::move(value);
    }

    std::shared_ptr<const SourceFile> file_;
    Diagnostics& diagnostics_;
    Node root_;
    std::vector<Level> levels_;
    std::size_t values_ = 0;
    std::string pending_anchor_;
    std::map<YAML::anchor_t, std::string> anchors_;
};

/// One file is one document: what stands after it would be ignored silently.
class FurtherDocument : public TreeBuilder
{
public:
    FurtherDocument(std::shared_ptr<const SourceFile> file, Diagnostics& diagnostics)
        : TreeBuilder(file, diagnostics), file_(std::move(file)), diagnostics_(diagnostics)
    {}

    void OnDocumentStart(const YAML::Mark& mark) override
    {
        const int line = mark.line + 1;
        diagnostics_.error({file_->name, line, mark.column + 1, 1}, "a second YAML document begins here",
                           "a file is one document; remove the rest, or the `---` above", file_->line(line));
        throw Abandoned("document");
    }

private:
    std::shared_ptr<const SourceFile> file_;
    Diagnostics& diagnostics_;
};

bool check_encoding(const SourceFile& file, Diagnostics& diagnostics)
{
    int line = 1;
    std::size_t line_start = 0;
    for (std::size_t at = 0; at < file.text.size();) {
        const auto length = utf8_length(file.text, at);
        if (length == 0 || file.text[at] == '\0') {
            diagnostics.error({file.name, line, static_cast<int>(at - line_start) + 1, 1},
                              length == 0 ? "this is not valid UTF-8" : "a NUL byte does not belong in a text file",
                              "is this really a YAML file?");
            return false;
        }
        if (file.text[at] == '\n') {
            ++line;
            line_start = at + 1;
        }
        at += length;
    }
    return true;
}

bool run_parser(const std::shared_ptr<const SourceFile>& file, TreeBuilder& builder, Diagnostics& diagnostics)
{
    try {
        std::istringstream stream{file->text};
        YAML::Parser parser{stream};
        parser.HandleNextDocument(builder);
        FurtherDocument further{file, diagnostics};
        parser.HandleNextDocument(further);
        return true;
    } catch (const Abandoned&) {
        return false;
    } catch (const YAML::Exception& error) {
        const int line = std::max(0, error.mark.line) + 1;
        diagnostics.error({file->name, line, std::max(0, error.mark.column) + 1, 1}, "not valid YAML: " + error.msg, {},
                          file->line(line));
        return false;
    }
}

} // namespace

std::optional<Node> parse_yaml(std::string name, std::string text, Diagnostics& diagnostics)
{
    const auto file = std::make_shared<const SourceFile>(std::move(name), std::move(text));
    Diagnostics found;
    TreeBuilder builder{file, found};
    const bool parsed = check_encoding(*file, found) && run_parser(file, builder, found);
    auto root = builder.take();
    if (!root.file) {
        root.file = file;
        root.line = 1;
        root.column = 1;
    }
    if (root.is(Node::Kind::null))
        root.kind = Node::Kind::mapping;
    else if (parsed && !root.is(Node::Kind::mapping))
        report_error(found, root, "the top level must be a mapping, not " + std::string{describe(root.kind)});
    diagnostics.append(found);
    if (found.has_errors())
        return std::nullopt;
    return root;
}

std::optional<Node> load_yaml(const std::filesystem::path& path, Diagnostics& diagnostics, Links links)
{
    auto text = read_file(path, links);
    if (!text) {
        diagnostics.error({path.string(), 0, 0, 0}, "the file " + text.error());
        return std::nullopt;
    }
    return parse_yaml(path.string(), std::move(*text), diagnostics);
}

} // namespace belay::config
