// SPDX-License-Identifier: Apache-2.0
#include "manager/database_slot.hpp"
#include "manager/database_types.hpp"
#include "manager/parameter_text.hpp"

#include <array>
#include <chrono>

namespace belay::manager {

namespace {

using nlohmann::json;

/// RFC 3339, in milliseconds, as EVerest's manager writes it.
std::string now()
{
    const auto time = std::chrono::system_clock::now();
    const auto seconds = std::chrono::system_clock::to_time_t(time);
    const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count() % 1000;
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 40> text{};
    const auto length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
    std::snprintf(text.data() + length, text.size() - length, ".%03dZ", static_cast<int>(rest));
    return text.data();
}

/// Once one statement has failed, the others are not tried.
class SlotWriter
{
public:
    SlotWriter(Sqlite& database, int slot) : database_(database), slot_(slot) {}

    Sqlite::Result<void> write(const config::Configuration& configuration)
    {
        auto dump = json::object();
        for (const auto& [id, module] : configuration.modules)
            dump[id] = module.config;
        const auto text = dump.dump();
        const auto updated = now();
        const auto file = configuration.settings.config_file.string();
        run("INSERT INTO CONFIG (ID) VALUES (?) ON CONFLICT DO NOTHING", {slot_});
        // All else of the slot refers to its modules.
        run("DELETE FROM MODULE WHERE CONFIG_ID = ?", {slot_});
        run("INSERT OR REPLACE INTO CONFIG_META (ID, LAST_UPDATED, CONFIG_DUMP, CONFIG_FILE_PATH, DESCRIPTION) "
            "VALUES (?, ?, ?, ?, NULL)",
            {slot_, updated, text, file});
        for (const auto& [id, module] : configuration.modules)
            add_module(module);
        for (const auto& [id, module] : configuration.modules)
            add_parts(module);
        return result_;
    }

private:
    void run(std::string_view sql, std::initializer_list<Sqlite::Value> values)
    {
        if (result_)
            result_ = database_.run(sql, values);
    }

    void add_module(const config::Module& module)
    {
        const bool asks = module.config.contains("capabilities") && !module.capabilities_of_manifest;
        const auto capabilities = asks ? module.config["capabilities"].dump() : std::string{};
        run("INSERT INTO MODULE (CONFIG_ID, ID, NAME, STANDALONE, CAPABILITIES) VALUES (?, ?, ?, ?, ?)",
            {slot_, module.id, module.name, module.config.value("standalone", false) ? 1 : 0,
             asks ? Sqlite::Value{std::string_view{capabilities}} : Sqlite::Value{}});
    }

    /// What refers to modules, which are all there.
    void add_parts(const config::Module& module)
    {
        for (const auto& [requirement, list] : module.config["connections"].items())
            add_connections(module.id, requirement, list);
        const auto& mapping = module.config["mapping"];
        if (mapping.contains("module"))
            add_mapping(module.id, "!module", mapping["module"]);
        if (mapping.contains("implementations"))
            for (const auto& [implementation, tier] : mapping["implementations"].items())
                add_mapping(module.id, implementation, tier);
        for (const auto& [implementation, list] : module.config["configuration_parameters"].items())
            for (const auto& one : list)
                if (result_)
                    result_ = write_value(database_, slot_, {module.id, implementation, one["name"]},
                                          one["characteristics"], value_text(one["value"]));
        if (module.config["access"].is_object() && module.config["access"].contains("config"))
            add_access(module.id, *module.access);
    }

    void add_connections(const std::string& module, const std::string& requirement, const json& list)
    {
        int index = 0;
        for (const auto& connection : list)
            run("INSERT INTO MODULE_FULFILLMENT (CONFIG_ID, MODULE_ID, REQUIREMENT_NAME, REQUIREMENT_INDEX, "
                "IMPLEMENTATION_ID, IMPLEMENTATION_MODULE_ID) VALUES (?, ?, ?, ?, ?, ?)",
                {slot_, module, requirement, index++, connection["implementation_id"].get_ref<const std::string&>(),
                 connection["module_id"].get_ref<const std::string&>()});
    }

    void add_mapping(const std::string& module, const std::string& implementation, const json& tier)
    {
        const auto connector =
            tier.contains("connector") ? Sqlite::Value{tier["connector"].get<int>()} : Sqlite::Value{};
        run("INSERT INTO MODULE_TIER_MAPPING (CONFIG_ID, MODULE_ID, IMPLEMENTATION_ID, EVSE_ID, CONNECTOR_ID) "
            "VALUES (?, ?, ?, ?, ?)",
            {slot_, module, implementation, tier["evse"].get<int>(), connector});
    }

    void add_access(const std::string& module, const config::Access& access)
    {
        run("INSERT INTO CONFIG_ACCESS (CONFIG_ID, MODULE_ID, ALLOW_GLOBAL_READ, ALLOW_GLOBAL_WRITE, "
            "ALLOW_SET_READ_ONLY) VALUES (?, ?, ?, ?, ?)",
            {slot_, module, int{access.allow_global_read}, int{access.allow_global_write},
             int{access.allow_set_read_only}});
        for (const auto& [other, one] : access.modules)
            // An id that does not exist has no row to refer to, and nobody to be allowed for.
            run("INSERT INTO MODULE_CONFIG_ACCESS (CONFIG_ID, MODULE_ID, OTHER_MODULE_ID, ALLOW_READ, ALLOW_WRITE, "
                "ALLOW_SET_READ_ONLY) SELECT CONFIG_ID, ?2, ID, ?4, ?5, ?6 FROM MODULE "
                "WHERE CONFIG_ID = ?1 AND ID = ?3",
                {slot_, module, other, int{one.allow_read}, int{one.allow_write}, int{one.allow_set_read_only}});
    }

    Sqlite& database_;
    int slot_;
    Sqlite::Result<void> result_;
};

} // namespace

Sqlite::Result<void> write_slot(Sqlite& database, int slot, const config::Configuration& configuration)
{
    return SlotWriter{database, slot}.write(configuration);
}

Sqlite::Result<void> write_value(Sqlite& database, int slot, const ParameterName& parameter,
                                 const nlohmann::json& characteristics, const std::string& text)
{
    const auto& mutability = characteristics["mutability"].get_ref<const std::string&>();
    const auto& datatype = characteristics["datatype"].get_ref<const std::string&>();
    return database.run("INSERT INTO CONFIGURATION (CONFIG_ID, MODULE_ID, MODULE_IMPLEMENTATION_ID, PARAMETER_NAME, "
                        "VALUE, MUTABILITY_ID, DATATYPE_ID) VALUES (?, ?, ?, ?, ?, ?, ?) "
                        "ON CONFLICT DO UPDATE SET VALUE = excluded.VALUE, MUTABILITY_ID = excluded.MUTABILITY_ID, "
                        "DATATYPE_ID = excluded.DATATYPE_ID",
                        {slot, parameter.module, parameter.implementation, parameter.name, text,
                         number_of(mutability, mutabilities), number_of(datatype, datatypes)});
}

} // namespace belay::manager
