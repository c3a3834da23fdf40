// SPDX-License-Identifier: Apache-2.0
#include "tests/config/prefix.hpp"

#include <catch2/catch.hpp>

/// Manifests, interfaces, types and errors: everest-docs/config.md §7 and §8, and every draft-07 keyword of a
/// parameter.

using namespace belay::config;

namespace {

const std::string head = "active_modules:\n  a:\n    module: Thing\n    config_module: {level: 2}\n";
const std::string manifest_file = "libexec/everest/modules/Thing/manifest.yaml";
const std::string metadata = "metadata: {license: 'x://y', authors: [Tests]}\n";

std::string parameter(const std::string& schema)
{
    return "description: a thing\nconfig:\n  p: {description: it, " + schema + "}\n" + metadata;
}

struct Case
{
    std::string text;
    std::string message;
};

void refuses(Prefix& prefix, const std::string& file, const std::vector<Case>& cases, const std::string& configuration)
{
    for (const auto& [text, message] : cases) {
        INFO(text);
        prefix.write(file, text);
        CHECK_FALSE(prefix.load(configuration));
        INFO(prefix.text());
        CHECK_THAT(prefix.text(), Catch::Contains(message) && Catch::Contains(file + ':'));
    }
}

} // namespace

TEST_CASE("every draft-07 keyword of a parameter counts")
{
    struct Keyword
    {
        std::string schema, good, bad, message;
    };
    const std::vector<Keyword> keywords{
        {"type: integer, minimum: 3", "3", "2", "must be at least 3"},
        {"type: integer, maximum: 3", "3", "4", "must be at most 3"},
        {"type: integer, exclusiveMinimum: 3", "4", "3", "must be more than 3"},
        {"type: integer, exclusiveMaximum: 3", "2", "3", "must be less than 3"},
        {"type: integer, multipleOf: 5", "10", "12", "must be a multiple of 5"},
        {"type: number, multipleOf: 0.1", "1000.1", "0.25", "must be a multiple of 0.1"},
        {"type: number, multipleOf: 2", "4", "4.5", "must be a multiple of 2"},
        {"type: number, minimum: 0.5", "0.5", "0.4999", "must be at least 0.5"},
        {"type: number, enum: [1, 2.5]", "1.0", "2", "is not one of the allowed values"},
        {"type: string, enum: [red, green]", "red", "gren", "did you mean `green`?"},
        {"type: string, const: red", "red", "Red", "must be \"red\""},
        {"type: integer, const: 1.0", "1", "2", "must be 1.0"},
        {"type: boolean, enum: [true]", "true", "false", "is not one of the allowed values"},
        {"type: string, pattern: '^[a-z]+$'", "abc", "Abc", "it must match ^[a-z]+$"},
        {"type: string, minLength: 2", "äö", "ä", "must have at least 2 characters"},
        {"type: string, maxLength: 2", "äö", "äöü", "may have at most 2 characters"},
        {"type: string, format: uri", "x://y", "y", "is not a valid uri"},
        {"type: integer, not: {const: 3}", "2", "3", "has a form that is excluded"},
        {"type: integer, anyOf: [{minimum: 10}, {maximum: 1}]", "0", "5", "has none of the allowed forms"},
        {"type: integer, oneOf: [{minimum: 1}, {minimum: 10}]", "5", "15", "exactly one of the allowed forms"},
        {"type: integer, allOf: [{minimum: 1}, {maximum: 3}]", "2", "4", "all the required forms"},
        {"type: integer, if: {minimum: 10}, then: {multipleOf: 5}, else: {maximum: 3}", "15", "12", "in its case"},
        {"type: integer, if: {minimum: 10}, then: {multipleOf: 5}, else: {maximum: 3}", "2", "4", "in its case"},
        {"type: integer, definitions: {small: {maximum: 3}}, allOf: [{$ref: '#/definitions/small'}]", "3", "4",
         "all the required forms"},
        {"type: integer, anyOf: [false, {minimum: 2}]", "2", "1", "has none of the allowed forms"},
    };
    Prefix prefix;
    for (const auto& [schema, good, bad, message] : keywords) {
        INFO(schema << " good " << good << " bad " << bad);
        prefix.write(manifest_file, parameter(schema));
        const std::string configuration = "active_modules:\n  a:\n    module: Thing\n    config_module: {p: ";
        const bool accepted = prefix.load(configuration + good + "}\n").has_value();
        INFO(prefix.text());
        CHECK(accepted);
        CHECK_FALSE(prefix.load(configuration + bad + "}\n"));
        CHECK_THAT(prefix.text(), Catch::Contains("c.yaml:4:24: error:") && Catch::Contains(message));
        prefix.write(manifest_file, parameter(schema + ", default: " + bad));
        CHECK_FALSE(prefix.load(configuration + good + "}\n"));
        CHECK_THAT(prefix.text(), Catch::Contains("manifest.yaml:3:") && Catch::Contains("the default of"));
    }
}

TEST_CASE("a `required` that is a boolean says nothing, as EVerest reads it")
{
    Prefix prefix;
    for (const auto* value : {"true", "false"}) {
        prefix.write(manifest_file, parameter(std::string{"type: string, default: x, required: "} + value));
        const auto configuration = prefix.load("active_modules: {a: {module: Thing}}\n");
        INFO(prefix.text());
        CHECK(configuration);
    }
}

TEST_CASE("a manifest's invalid schema is a diagnostic at its line")
{
    Prefix prefix;
    std::vector<Case> cases;
    for (const auto& [schema, message] : std::vector<std::pair<std::string, std::string>>{
             {"type: strng", "did you mean `string`?"},
             {"type: string, pattern: '('", "is not a valid regex"},
             {"type: integer, minimum: low", "a string, not a number"},
             {"type: integer, enum: 5", "an integer, not a list"},
             {"type: integer, multipleOf: 0", "must be more than 0"},
             {"type: string, minLength: -1", "must be at least 0"},
             {"type: string, anyOf: []", "at least 1 entries"},
             {"type: string, not: 5", "an integer, not a mapping or a boolean"},
             {"type: integer, if: []", "a list, not"},
             {"type: integer, allOf: [{$ref: '#/nowhere'}]", "leads nowhere"},
             {"type: integer, allOf: [{$ref: '#'}]", "in a circle"},
             {"type: integer, not: {$ref: 'x://y'}", "leads nowhere"},
             {"type: integer, not: {$ref: '#%'}", "leads nowhere"},
             {"type: integer, default: x", "its type is integer"},
             {"type: integer, default: ", "its type is integer"},
             {"type: boolean, default: 'true'", "write true or false, without quotes"},
         })
        cases.push_back({parameter(schema), message});
    refuses(prefix, manifest_file, cases, "active_modules: {a: {module: Thing, config_module: {p: 1}}}\n");
}

TEST_CASE("manifests are checked by the schema")
{
    Prefix prefix;
    const std::string thing = Prefix::thing_manifest;
    refuses(
        prefix, manifest_file,
        {
            {"", "lacks the key `description`"},
            {"description: x\n" + metadata, "must have at least 2 characters"},
            {"description: xx\n", "lacks the key `metadata`"},
            {"description: xx\nmetadata: {license: x, authors: [Tests]}\n", "is not a valid uri"},
            {"description: xx\nmetadata: {license: 'x://y', authors: []}\n", "needs at least 1 entries"},
            {thing + "enable_external_mqt: true\n", "did you mean `enable_external_mqtt`?"},
            {thing + "enable_external_mqtt: 1\n", "an integer, not a boolean"},
            {"description: xx\nprovides: {main: {description: it}}\n" + metadata, "lacks the key `interface`"},
            {"description: xx\nprovides: {main: {description: it, interface: thin}}\n" + metadata,
             "did you mean `thing`?"},
            {"description: xx\nprovides: {main: {description: it, interface: ../thing}}\n" + metadata, "required form"},
            {"description: xx\nrequires: {one: {interface: thing, min_connections: -1}}\n" + metadata,
             "must be at least 0"},
            {"description: xx\nrequires: {one: {interface: thing, max_connections: 0}}\n" + metadata,
             "must be at least 1"},
            {"description: xx\nconfig: {p: {type: integer, description: it, mutability: Often}}\n" + metadata,
             "is not one of the allowed values"},
            {"description: xx\nconfig: {p: {description: it}}\n" + metadata, "lacks the key `type`"},
        },
        "active_modules: {a: {module: Thing}}\n");
}

TEST_CASE("defaults are filled in")
{
    Prefix prefix;
    const auto result = prefix.load(head);
    INFO(prefix.text());
    REQUIRE(result);
    const auto& manifest = result->manifests["Thing"];
    CHECK(manifest["enable_external_mqtt"] == false);
    CHECK(manifest["requires"]["other"]["max_connections"] == 1);
    CHECK(manifest["config"]["level"]["mutability"] == "ReadOnly");
    const auto& parameters = result->modules.at("a").config["configuration_parameters"];
    CHECK(parameters["main"] == nlohmann::json::parse(R"([{"name": "size", "value": 3,
                                     "characteristics": {"datatype": "integer", "mutability": "ReadOnly"}}])"));
    const auto& interface = result->interface_definitions["thing"];
    CHECK(interface["errors"]["thing"].size() == 2);
    CHECK(interface["errors"]["thing"]["Wet"]["namespace"] == "thing");
    CHECK_FALSE(interface.contains("description"));
    CHECK_FALSE(interface["cmds"]["switch_on"]["arguments"]["when"].contains("description"));
    CHECK(result->types.empty());
}

TEST_CASE("interfaces, their schemas and their error references are checked")
{
    Prefix prefix;
    const std::string about = "description: a thing\n";
    const std::string file = "share/everest/interfaces/thing.yaml";
    refuses(prefix, file,
            {
                {"vars: {}\n", "lacks the key `description`"},
                {about + "var: {}\n", "did you mean `vars`?"},
                {about + "vars: {9a: {type: string, description: it}}\n", "not a valid name"},
                {about + "vars: {a: {description: it}}\n", "lacks the key `type`"},
                {about + "vars: {a: {type: strng, description: it}}\n", "did you mean `string`?"},
                {about + "vars: {a: {type: [string, strng], description: it}}\n", "did you mean `string`?"},
                {about + "vars: {a: {type: string, description: it, pattern: '['}}\n", "is not a valid regex"},
                {about + "vars: {a: {type: object, description: it, properties: {b: {minimum: x}}}}\n",
                 "a string, not a number"},
                {about + "vars: {a: {type: object, description: it, $ref: nowhere}}\n", "not a valid uri-reference"},
                {about + "vars: {a: {type: object, description: it, required: [x, x]}}\n", "has \"x\" twice"},
                {about + "vars: {a: {type: object, description: it, patternProperties: {'(': {}}}}\n",
                 "is not a valid regex"},
                {about + "cmds: {a: {description: it, arguments: {b: {type: string, description: it, enum: 1}}}}\n",
                 "an integer, not a list"},
                {about + "cmds: {a: {description: it, result: {type: array, description: it, items: 5}}}\n",
                 "has none of the allowed forms"},
                {about + "errors: [{reference: /errors/thin}]\n", "did you mean `thing`?"},
                {about + "errors: [{reference: errors/thing}]\n", "has none of the allowed forms"},
                {about + "errors: [{reference: /errors/thing}, {reference: /errors/thing}]\n", "is referenced twice"},
                {about + "errors: [{reference: /errors/thing}, {reference: '/errors/thing#/Wet'}]\n",
                 "`Wet` of `thing` is referenced twice"},
                {about + "errors: {}\n", "a mapping, not a list"},
            },
            head);
    prefix.write(file, about + "errors: [{reference: '/errors/thing#/Wed'}]\n");
    CHECK(prefix.load(head));
    CHECK_THAT(prefix.text(), Catch::Contains("thing.yaml:2:22: warning: there is no error `Wed`") &&
                                  Catch::Contains("did you mean `Wet`?"));
}

TEST_CASE("with validate_schema types and errors are checked and published")
{
    Prefix prefix;
    const std::string validated = "settings: {validate_schema: true}\n" + head;
    const auto result = prefix.load(validated);
    INFO(prefix.text());
    REQUIRE(result);
    CHECK(result->types["/thing"]["Colour"]["enum"].size() == 2);
    CHECK(result->schemas.size() == 5);
    CHECK(result->schemas.contains("error_declaration_list"));
    const std::string about = "description: types\n";
    refuses(prefix, "share/everest/types/thing.yaml",
            {{"types: {}\n", "lacks the key `description`"},
             {about + "types: {A: {description: it}}\n", "lacks the key `type`"},
             {about + "types: {A: {type: strng, description: it}}\n", "did you mean `string`?"},
             {about + "types: {A: {type: object, description: it, properties: {b: {$ref: x}}}}\n",
              "not a valid uri-reference"}},
            validated);
    CHECK(prefix.load(head)); // EVerest reads them only when asked to
    prefix.write("share/everest/types/thing.yaml", Prefix::thing_types);
    refuses(prefix, "share/everest/errors/thing.yaml",
            {{"errors: []\n", "lacks the key `description`"},
             {"description: errors\nerrors: [{name: wet, description: it}]\n", "required form"},
             {"description: errors\nerrors: [{nam: Wet, description: it}]\n", "did you mean `name`?"}},
            validated);
}

TEST_CASE("a schema file that is no schema is a diagnostic")
{
    Prefix prefix;
    refuses(prefix, "share/everest/schemas/config.yaml",
            {{"type: objekt\n", "did you mean `object`?"},
             {"type: object\npatternProperties: {'(': {}}\n", "is not a valid regex"},
             {"type: object\nproperties: []\n", "a list, not a mapping"},
             {"type: object\nproperties: {settings: {$ref: 5}}\n", "an integer, not a string"}},
            head);
    prefix.write("share/everest/schemas/config.yaml", "type: object\nproperties: {active_modules: {$ref: '#%'}}\n");
    CHECK_FALSE(prefix.load(head));
    CHECK_THAT(prefix.text(), Catch::Contains("is itself invalid"));
}
