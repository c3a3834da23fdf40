// SPDX-License-Identifier: Apache-2.0
#include "config/yaml.hpp"

#include "config/scalars.hpp"

#include <yaml.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <new>
#include <set>
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

std::string_view text_of(const yaml_char_t* text, std::size_t size)
{
    return {reinterpret_cast<const char*>(text), size};
}

std::string text_of(const yaml_char_t* text)
{
    return reinterpret_cast<const char*>(text);
}

/// Builds the tree from the parser's events. Aliases are not expanded, so a file cannot grow while it is read.
class TreeBuilder
{
public:
    TreeBuilder(std::shared_ptr<const SourceFile> file, Diagnostics& diagnostics, Dialect dialect)
        : file_(std::move(file)), diagnostics_(diagnostics), dialect_(dialect)
    {}

    [[nodiscard]] Node take() { return std::move(root_); }

    void handle(const yaml_event_t& event)
    {
        const auto& mark = event.start_mark;
        switch (event.type) {
        case YAML_DOCUMENT_START_EVENT:
            return begin_document(mark);
        case YAML_ALIAS_EVENT:
            return add_alias(mark, text_of(event.data.alias.anchor));
        case YAML_SCALAR_EVENT:
            note_anchor(event.data.scalar.anchor);
            return add_scalar(mark, event.data.scalar);
        case YAML_SEQUENCE_START_EVENT:
            note_anchor(event.data.sequence_start.anchor);
            return open(make(mark, Node::Kind::sequence, 1));
        case YAML_MAPPING_START_EVENT:
            note_anchor(event.data.mapping_start.anchor);
            return open(make(mark, Node::Kind::mapping, 1));
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
            return close();
        case YAML_NO_EVENT:
        case YAML_STREAM_START_EVENT:
        case YAML_STREAM_END_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        }
    }

private:
    using Scalar = decltype(yaml_event_t::data.scalar);

    struct Level
    {
        Node node;
        std::optional<std::pair<std::string, Place>> key;
        std::map<std::string, std::size_t, std::less<>> seen;
    };

    /// `what` is wrong, or read as EVerest does: each dialect completes the sentence.
    void report_quirk(const Place& place, std::string what, const char* strict, const char* everest, std::string hint)
    {
        if (dialect_ == Dialect::strict)
            report_error(diagnostics_, place, std::move(what) + strict, std::move(hint));
        else
            report_warning(diagnostics_, place, std::move(what) + everest, std::move(hint));
    }

    /// One file is one document: what stands after it would be ignored silently.
    void begin_document(const yaml_mark_t& mark)
    {
        if (!std::exchange(has_document_, true))
            return;
        const auto place = make(mark, Node::Kind::null, 1);
        report_error(diagnostics_, place, "a second YAML document begins here",
                     "a file is one document; remove the rest, or the `---` above");
        throw Abandoned("document");
    }

    void note_anchor(const yaml_char_t* name)
    {
        if (name != nullptr)
            anchors_.insert(text_of(name));
    }

    void add_alias(const yaml_mark_t& mark, const std::string& name)
    {
        auto node = make(mark, Node::Kind::string, static_cast<int>(name.size()) + 1);
        node.text = '*' + name;
        if (!anchors_.contains(name)) {
            report_error(diagnostics_, node, "not valid YAML: the referenced anchor is not defined: " + name);
            throw Abandoned("anchor");
        }
        report_quirk(node, "the alias `" + node.text + "` is not expanded: ", "this file has no anchors",
                     "EVerest takes it as text", "write the value out");
        add(std::move(node));
    }

    void add_scalar(const yaml_mark_t& mark, const Scalar& scalar)
    {
        constexpr std::size_t widest = 1000;
        const auto value = text_of(scalar.value, scalar.length);
        const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE && scalar.tag == nullptr;
        if (plain && is_null(value))
            return add(make(mark, Node::Kind::null, 1));
        auto node = make(mark, Node::Kind::string, static_cast<int>(std::min(value.size(), widest)));
        node.text = value;
        if (scalar.style == YAML_DOUBLE_QUOTED_SCALAR_STYLE)
            check_text(node);
        if (plain)
            type_plain(node);
        else
            node.length += scalar.style != YAML_PLAIN_SCALAR_STYLE ? 2 : 0;
        add(std::move(node));
    }

    static bool is_null(std::string_view text)
    {
        return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
    }

    Node make(const yaml_mark_t& mark, Node::Kind kind, int length) const
    {
        Node node;
        node.kind = kind;
        node.file = file_;
        node.line = static_cast<int>(mark.line) + 1;
        node.column = file_->column(node.line, mark.column);
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
            report_quirk(node, "`" + node.text + "` is ", "not a decimal number", "read as 0, as EVerest does",
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
        const bool strict = dialect_ == Dialect::strict;
        node.kind = Node::Kind::integer;
        const auto digits = node.text.front() == '+' ? node.text.substr(1) : node.text;
        const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), node.integer);
        if (code != std::errc{} || (!strict && !std::in_range<std::int32_t>(node.integer)))
            report_error(diagnostics_, node,
                         "the integer `" + node.text + "` does not fit into " + (strict ? "64" : "32") + " bits",
                         strict ? "write a smaller one"
                                : "write it in quotes if it is text, or with a decimal point if it is a number");
        else if (strict && has_leading_zero(node.text))
            report_error(diagnostics_, node, "`" + node.text + "` is octal to YAML 1.1, and decimal to YAML 1.2",
                         "write it without the leading zero, or in quotes if it is text");
    }

    void open(Node&& node)
    {
        if (levels_.size() >= deepest) {
            report_error(diagnostics_, node, "nested deeper than " + std::to_string(deepest) + " levels");
            throw Abandoned("depth");
        }
        constexpr std::size_t usual = 4;
        if (node.is(Node::Kind::mapping))
            node.members.reserve(usual);
        levels_.push_back({std::move(node), std::nullopt, {}});
    }

    void close()
    {
        auto node = std::move(levels_.back().node);
        levels_.pop_back();
        add(std::move(node));
    }

    void add(Node&& node)
    {
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

    void set_key(Level& level, Node&& node)
    {
        if (node.is(Node::Kind::sequence) || node.is(Node::Kind::mapping)) {
            report_error(diagnostics_, node, "a key must be a word, not a list or a mapping");
            throw Abandoned("key");
        }
        level.key.emplace(node.is(Node::Kind::null) ? "null" : std::move(node.text), std::move(node));
    }

    void set_value(Level& level, Node&& value)
    {
        auto [key, place] = std::move(*level.key);
        level.key.reset();
        // An alias was reported.
        if (dialect_ == Dialect::strict && key == "<<" && !value.text.starts_with('*'))
            report_error(diagnostics_, place, "`<<` merges nothing: this file has no anchors", "write the keys out");
        auto* earlier = find_earlier(level, key);
        if (earlier == nullptr) {
            level.node.members.push_back({std::move(key), std::move(place), std::move(value)});
            return;
        }
        report_quirk(place,
                     "the key `" + key + "` stands twice, the first time in line " +
                         std::to_string(earlier->key_place.line),
                     "", "; the last one counts", "remove one of them");
        earlier->key_place = std::move(place);
        earlier->value = std::move(value);
    }

    /// Most mappings are small; of a large one the keys are sorted, lest a long file take forever.
    static Member* find_earlier(Level& level, const std::string& key)
    {
        constexpr std::size_t few = 16;
        auto& members = level.node.members;
        if (members.size() < few) {
            const auto found =
                std::find_if(members.begin(), members.end(), [&](const Member& member) { return member.key == key; });
            return found == members.end() ? nullptr : &*found;
        }
        for (auto i = level.seen.size(); i < members.size(); ++i)
            level.seen.emplace(members[i].key, i);
        const auto found = level.seen.find(key);
        return found == level.seen.end() ? nullptr : &members[found->second];
    }

    std::shared_ptr<const SourceFile> file_;
    Diagnostics& diagnostics_;
    Dialect dialect_;
    Node root_;
    std::vector<Level> levels_;
    std::size_t values_ = 0;
    bool has_document_ = false;
    std::set<std::string> anchors_;
};

/// libyaml's parser, and the event it came to last.
class Parser
{
public:
    explicit Parser(std::string_view text)
    {
        if (yaml_parser_initialize(&parser_) == 0)
            throw std::bad_alloc{};
        yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    }
    ~Parser()
    {
        yaml_event_delete(&event_);
        yaml_parser_delete(&parser_);
    }
    Parser(const Parser&) = delete;
    Parser& operator=(const Parser&) = delete;
    Parser(Parser&&) = delete;
    Parser& operator=(Parser&&) = delete;

    /// False: what comes next is not YAML.
    bool next()
    {
        yaml_event_delete(&event_);
        if (yaml_parser_parse(&parser_, &event_) != 0)
            return true;
        if (parser_.error == YAML_MEMORY_ERROR)
            throw std::bad_alloc{};
        return false;
    }
    [[nodiscard]] const yaml_event_t& event() const { return event_; }

    /// What is wrong, and where.
    [[nodiscard]] std::string problem() const
    {
        const std::string problem = parser_.problem != nullptr ? parser_.problem : "it cannot be read";
        return parser_.context != nullptr ? problem + ' ' + parser_.context : problem;
    }
    [[nodiscard]] yaml_mark_t place() const
    {
        return parser_.error == YAML_READER_ERROR ? parser_.mark : parser_.problem_mark;
    }

private:
    yaml_parser_t parser_{};
    yaml_event_t event_{};
};

bool check_encoding(const SourceFile& file, Diagnostics& diagnostics)
{
    int line = 1;
    std::size_t line_start = 0;
    for (std::size_t at = 0; at < file.text.size();) {
        if (file.text[at] > '\n') { // ASCII but for what ends a line or a text
            ++at;
            continue;
        }
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
        Parser parser{file->text};
        while (parser.next()) {
            if (parser.event().type == YAML_STREAM_END_EVENT)
                return true;
            builder.handle(parser.event());
        }
        const auto place = parser.place();
        const int line = static_cast<int>(place.line) + 1;
        diagnostics.error({file->name, line, file->column(line, place.column), 1},
                          "not valid YAML: " + parser.problem(), {}, file->line(line));
    } catch (const Abandoned&) { // reported
    }
    return false;
}

} // namespace

std::optional<Node> parse_yaml(std::string name, std::string text, Diagnostics& diagnostics, Dialect dialect)
{
    const auto file = std::make_shared<const SourceFile>(std::move(name), std::move(text));
    Diagnostics found;
    TreeBuilder builder{file, found, dialect};
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

std::optional<Node> load_yaml(const std::filesystem::path& path, Diagnostics& diagnostics, Links links, Dialect dialect)
{
    auto text = read_file(path, links);
    if (!text) {
        diagnostics.error({path.string(), 0, 0, 0}, "the file " + text.error());
        return std::nullopt;
    }
    return parse_yaml(path.string(), std::move(*text), diagnostics, dialect);
}

} // namespace belay::config
